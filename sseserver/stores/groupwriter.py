"""
GroupWriter: decides when a `PersistentStore` writes its changes.

While one group is being written, and for a moment after a group of many streams, the next one gathers. A group that
could not be written is followed by another attempt.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.counting import Durations
from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IPersistence
from sseserver.stores.groups import Group, PendingChanges
from sseserver.stores.states import StoreState
from sseserver.timing.ticker import Ticker

log = Logger(__name__)

#: Seconds. How long the next group gathers after a group, for every tenth stream that it had. When many streams are
#: busy, groups would otherwise hold one entry of each; a lone stream waits for nothing.
PAUSE = 0.001

#: Seconds. The longest such pause.
LONGEST_PAUSE = 0.005

#: Seconds. Time until the next group is written after one that failed.
RETRY = 1.0

#: Seconds between two checks whether the persistence can be written, if somebody asks.
CHECK = 2.0

#: Seconds. Bounds of the histogram of commits.
COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class GroupStore(Protocol):
    """
    The store whose changes are written.

    Attributes:
        persistence: Writes them.
        state: State of the store.
    """

    persistence: IPersistence
    state: StoreState

    def commitGroup(self, group: Group, now: float) -> None:
        """
        Make the changes of a group visible: they are stored.

        Args:
            group: The changes.
            now: Time in seconds since 1970 at which the streams end that have their terminal entry in the group.
        """

    def refuseGroup(self, group: Group, error: StoreUnavailable) -> None:
        """
        Undo or keep the changes of a group that could not be written.

        Args:
            group: The changes.
            error: The reason.
        """


class GroupWriter:
    """
    Writes the changes of one store, in groups.

    Args:
        clock: The reactor, or a `task.Clock`.
        ticker: The store's ticker, which tells the time.
        store: The store.
        pending: Its changes that are not written yet.

    Attributes:
        commits: Seconds from the begin of a write to its end, of each group that was stored.
        failures: Number of groups that could not be stored.
        problem: Reason why the last group could not be stored; `None` if it was.
    """

    def __init__(self, clock: Any, ticker: Ticker, store: GroupStore, pending: PendingChanges) -> None:
        self.commits = Durations(COMMITS)
        self.failures = 0
        self.problem: str | None = None
        self._clock = clock
        self._ticker = ticker
        self._store = store
        self._pending = pending
        # The call that writes the next group, unless it is written at the end of this turn; whether a group is being
        # written.
        self._next: IDelayedCall | None = None
        self._endsTurn = False
        self._writing = False
        # Whether the next group is written even if it is empty, and when that was wanted last.
        self._checking = False
        self._checkedAt: float = clock.seconds()
        # When the group that is being written was given to the persistence.
        self._began = 0.0
        # The call of `finish` that is not answered yet.
        self._finished: Deferred[None] | None = None

    def schedule(self, delay: float = 0.0) -> None:
        """
        Write the next group, unless that is scheduled, or a group is being written: the next one follows it.

        Args:
            delay: Seconds until then; 0 for the end of the reactor's turn. The entries of a tick are then one group.
        """
        if self._next is not None or self._endsTurn or self._writing or not self._store.state.takesChanges:
            return
        if delay:
            self._next = self._clock.callLater(delay, self._writeGroup)
        else:
            self._endsTurn = True
            self._ticker.turnEnd.atEnd(self._writeGroup)

    def check(self) -> None:
        """Write an empty group if there are no changes, to see whether that is possible; at most one each `CHECK`."""
        now = self._clock.seconds()
        if not 0 <= now - self._checkedAt < CHECK:
            self._checkedAt, self._checking = now, True
            self.schedule()

    def finish(self) -> Deferred[None]:
        """
        Write everything, without a pause and without further attempts.

        Returns:
            Fires when nothing is left to write.
        """
        finished: Deferred[None] = Deferred()
        self._finished = finished
        if self._next is not None:
            self._next.reset(0)
        else:
            self.schedule()
        return finished

    def _writeGroup(self) -> None:
        self._next, self._endsTurn = None, False
        group = self._pending.takeGroup()
        now = self._ticker.wall()
        changes = group.listChanges(now)
        if changes or self._checking:
            self._checking, self._writing = False, True
            self._began = self._ticker.seconds()
            written = maybeDeferred(self._store.persistence.write, changes)
            written.addCallbacks(self._commit, self._refuse, callbackArgs=(group, now), errbackArgs=(group,))
            written.addErrback(lambda failure: log.failure("The store broke", failure))
        elif self._finished is not None:
            finished, self._finished = self._finished, None
            finished.callback(None)

    def _commit(self, _: None, group: Group, now: float) -> None:
        self._writing, self.problem = False, None
        self.commits.note(self._ticker.seconds() - self._began)
        # One batch: the events that the viewers of these streams get are sent at its end.
        turnEnd = self._ticker.turnEnd
        turnEnd.begin()
        try:
            self._store.commitGroup(group, now)
        finally:
            turnEnd.end()
            self.schedule(min(PAUSE * (len(group.added) // 10), LONGEST_PAUSE))

    def _refuse(self, failure: Failure, group: Group) -> None:
        error = failure.value if isinstance(failure.value, StoreUnavailable) else StoreUnavailable("The store broke.")
        if self.problem is None:
            log.failure("The store cannot write; it will try again", failure)
        self._writing, self.problem = False, str(error)
        self.failures += 1
        try:
            self._store.refuseGroup(group, error)
        finally:
            self.schedule(RETRY if self._finished is None else 0.0)
