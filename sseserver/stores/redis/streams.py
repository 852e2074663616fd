"""
SharedStream: one stream of a `RedisStore`, as far as this process knows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from twisted.internet.defer import Deferred

from sseserver.errors import StoreUnavailable, StreamNotFound
from sseserver.interfaces import IStreamLog
from sseserver.steps import StateEnum, step
from sseserver.stores.redis.layout import Place
from sseserver.streams.account import Account
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import StreamLog
from sseserver.values import State


class Tracking(StateEnum):
    """How the log of a stream gets the entries that other processes append."""

    NONE = "none"  # it gets none
    JOINING = "joining"  # the channel is being subscribed to
    READING = "reading"  # the channel is subscribed to, and the entries before are being read
    LIVE = "live"  # all entries are there, and new ones come as messages


#: Legal steps of the tracking of a stream.
TRACKING_STEPS = {
    Tracking.NONE: frozenset({Tracking.JOINING, Tracking.READING}),
    Tracking.JOINING: frozenset({Tracking.READING, Tracking.NONE}),
    Tracking.READING: frozenset({Tracking.LIVE, Tracking.JOINING, Tracking.NONE}),
    Tracking.LIVE: frozenset({Tracking.JOINING, Tracking.READING, Tracking.NONE}),
}


class Reaching(NamedTuple):
    """
    A call that waits for an entry.

    Attributes:
        number: Number of the entry.
        reached: Fires when it is visible.
    """

    number: int
    reached: Deferred[None]


class StreamTerms(NamedTuple):
    """
    The limits of streams.

    Attributes:
        window: Bytes that each stream keeps.
        keep: Milliseconds for which Redis keeps an ended stream.
        idle: Seconds. An open published stream ends after this time without use.
    """

    window: int
    keep: int
    idle: float


class SharedStream:
    """
    One stream whose log is in the memory of this process. It is counted as long as it is there.

    Args:
        name: Name of the stream.
        place: Its keys.
        log: Its log.
        own: Whether a run of this process writes the stream.

    Attributes:
        account: Counts the stream, until `uncount`.
        asked: Whether Redis is to be asked about an own stream whose entries are on their way.
        name: See above; so are `place`, `log` and `own`.
        keys: The keys of the script that appends entries.
        epoch: Epoch of the stream.
        gone: Whether the log has left the store.
        stored: Number of the last entry of an own stream that Redis is known to have.
        writing: Whether new entries are on their way to Redis.
        applying: Whether entries that come from Redis are being added to the log.
        tracking: See `Tracking`.
        messages: Messages that wait until the log has the entries before.
        leaving: Whether the stream is being deleted. It is not counted, and nobody finds it.
        usedAt: When the log was asked for last, in seconds on the store's clock.
        heardAt: When the last message came, or was asked for.
        finding: The calls that get the log once it is filled; `None` if it is.
        reaching: Calls that wait for an entry to be visible.
        touchedAt: When Redis was told last that the stream is used.
    """

    __slots__ = (
        "account",
        "applying",
        "asked",
        "epoch",
        "finding",
        "gone",
        "heardAt",
        "keys",
        "leaving",
        "log",
        "messages",
        "name",
        "own",
        "place",
        "reaching",
        "stored",
        "touchedAt",
        "tracking",
        "usedAt",
        "writing",
    )

    def __init__(self, name: str, place: Place, log: StreamLog, own: bool) -> None:
        self.name, self.place, self.account, self.own = name, place, log.account, own
        self.keys = listKeys(place)
        self.log = log
        self.epoch = log.epoch
        self.gone = False
        self.stored = log.last
        self.writing = self.asked = self.applying = self.leaving = False
        self.tracking = Tracking.NONE
        self.messages: list[bytes] = []
        self.usedAt = self.heardAt = self.touchedAt = 0.0
        self.finding: list[Deferred[IStreamLog]] | None = None
        self.reaching: list[Reaching] = []
        self.account.add(log.size, log.state is State.OPEN)

    @property
    def isOpen(self) -> bool:
        """Whether the stream is open, as far as this process knows."""
        return self.log.state is State.OPEN

    @property
    def isCurrent(self) -> bool:
        """Whether the log has all entries, or gets them without being asked for: it need not be looked up."""
        return self.tracking is Tracking.LIVE or (self.own and self.isOpen)

    @property
    def isBusy(self) -> bool:
        """Whether the log must stay in memory, even if no viewer follows it."""
        waiting = self.finding is not None or bool(self.reaching)
        return waiting or self.writing or (self.own and self.isOpen)

    def track(self, tracking: Tracking, now: float) -> None:
        """
        Take another step in tracking the stream.

        Args:
            tracking: The new state.
            now: The time on the store's clock.
        """
        self.tracking = step(TRACKING_STEPS, self.tracking, tracking)
        self.heardAt = now

    def answer(self, error: Exception | None = None) -> None:
        """
        Answer the calls that wait for the log.

        Args:
            error: The reason why they do not get it; `None` gives them the log.
        """
        finding, self.finding = self.finding or [], None
        for found in finding:
            if error is None and not self.leaving:
                found.callback(self.log)
            else:
                found.errback(error or StreamNotFound(self.name))

    def answerReached(self, everything: bool = False) -> None:
        """
        Answer the calls that wait for entries which are visible now.

        Args:
            everything: Answer all of them: the log will get no more, or only later.
        """
        last = self.log.last
        reached = [each for each in self.reaching if everything or each.number <= last]
        self.reaching = [each for each in self.reaching if not everything and each.number > last]
        for each in reached:
            each.reached.callback(None)

    def uncount(self) -> None:
        """Count the stream no longer."""
        if not self.leaving:
            self.leaving = True
            self.account.subtract(self.log.size, self.isOpen)
            # Entries that come from now on are no longer in the account.
            self.log.account = Account()

    def recount(self) -> None:
        """Count the stream again: it could not be deleted."""
        self.leaving = False
        self.account.add(self.log.size, self.isOpen)
        self.log.account = self.account

    def drop(self) -> None:
        """
        Let the log leave the store: an open one ends for the viewers that are still there.

        It gets a new epoch, since another process may have given the number of this end to an entry. Entries that are
        not stored are dropped.
        """
        self.uncount()
        self.gone = True
        if self.isOpen:
            self.log.refuse(StoreUnavailable("The stream was deleted."))
            self.log.renew(makeEpoch())
        self.log.drop()

    def release(self) -> None:
        """Forget the log, which nobody uses."""
        self.uncount()
        self.gone = True
        self.log.release()

    def renew(self, epoch: str, epochs: Mapping[str, int]) -> None:
        """
        Give the log the new epoch of the stream.

        Args:
            epoch: The new epoch.
            epochs: The epoch until now, and maybe others, each with the number of the last entry that is the same in
                both. The log may lack some of these entries, which other processes have shown.
        """
        earlier, most = self.log.earlier, epochs[self.epoch]
        self.log.renew(epoch)
        self.log.earlier = {**{each: min(last, most) for each, last in earlier.items()}, **epochs}
        self.epoch = epoch


def listKeys(place: Place) -> tuple[bytes, ...]:
    """Return the keys of one stream for the script that appends entries."""
    return (place.generation, place.stream, place.entries, place.keys, place.runs, place.tail)


def listAllKeys(place: Place) -> tuple[bytes, ...]:
    """Return the keys of one stream for all other scripts."""
    return (*listKeys(place), place.idle, place.streams)
