"""
Runs: all runs of a service, those that work and those that wait for their turn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, maybeDeferred, succeed
from twisted.python.failure import Failure

from sseserver.errors import KeyReused, Overloaded
from sseserver.interfaces import IStreamLog, ITokenSource
from sseserver.service.run import Run
from sseserver.settings import Settings
from sseserver.timing.ticker import Ticker
from sseserver.values import Prompt

T = TypeVar("T")

#: Seconds that sources have to let go of what they hold when the service stops: a little more than a program has
#: between TERM and KILL.
LETTING_GO = 8.0


class RunQueue:
    """
    All runs of a service.

    Args:
        reactor: Tells how long the sources take to let go.
        source: What runs produce their tokens with.
        settings: The service's: how many work at once, how many wait.
        sweep: The ticker of the lingers.
        hasRoom: Tells whether the store can take more.
        onEnd: Called with each run that has written its terminal entry.
    """

    def __init__(
        self,
        reactor: Any,
        source: ITokenSource,
        settings: Settings,
        sweep: Ticker,
        hasRoom: Callable[[], bool],
        onEnd: Callable[[Run], None],
    ) -> None:
        self._reactor = reactor
        self._source = source
        self._settings = settings
        self._sweep = sweep
        self._hasRoom = hasRoom
        self._onEnd = onEnd
        # Those without a terminal entry, by the names of their streams; those whose source holds something yet.
        self._runs: dict[str, Run] = {}
        self._working: set[Run] = set()
        self._turns = DeferredSemaphore(settings.maxRuns)
        # Fires when the last source has let go, after all runs were ended.
        self._released: Deferred[None] | None = None
        # The idempotency keys that runs were started with, and the keys by the epochs of their streams.
        self._keys: dict[str, tuple[bytes, Deferred[IStreamLog]]] = {}
        self._keyOf: dict[str, str] = {}

    def find(self, name: str) -> Run | None:
        """Give the run that writes a stream; C{None} when it has ended, or is none of ours."""
        return self._runs.get(name)

    def checkRoom(self) -> None:
        """
        See whether one more can be started.

        Raises:
            Overloaded: As many wait for their turn as may.
        """
        if not self._turns.tokens and len(self._turns.waiting) >= self._settings.maxWaiting:
            raise Overloaded("As many runs wait for their turn as may; come back later.")

    def start(self, streamLog: IStreamLog, prompt: Prompt | None) -> None:
        """Start a run into a new stream, now or when it is its turn."""
        run = Run(streamLog, self._settings, self._sweep, self._hasRoom, self._ended, prompt)
        self._runs[streamLog.name] = run
        self._working.add(run)
        run.start(partial(self._produce, run, prompt), self._worked)

    def _produce(self, run: Run, prompt: Prompt | None) -> Deferred[Any]:
        turns = self._turns
        if not turns.tokens:
            return turns.run(self._source.produce, run, prompt)
        turns.acquire()
        producing = maybeDeferred(self._source.produce, run, prompt)

        def release(result: T) -> T:
            turns.release()
            return result

        return producing.addBoth(release)

    def shutDown(self) -> Deferred[None]:
        """
        End all runs because the server stops.

        Returns:
            Fires when all sources have let go of what they hold, or have had
            L{LETTING_GO} for it.
        """
        for run in tuple(self._runs.values()):
            run.shutDown()
        if not self._working:
            return succeed(None)
        self._released = Deferred()
        return self._released.addTimeout(LETTING_GO, self._reactor, _letGo)

    def join(self, key: str, digest: bytes) -> Deferred[IStreamLog] | None:
        """
        Find the run that was started with an idempotency key.

        Returns:
            C{None} when there is none; else what fires with its log, as
            starting it does, which may be under way.

        Raises:
            KeyReused: The key came with another request.
        """
        known = self._keys.get(key)
        if known is None:
            return None
        if known[0] != digest:
            raise KeyReused("This idempotency key was used with another request.")
        return _branch(known[1])

    def remember(self, key: str, digest: bytes, creating: Deferred[IStreamLog]) -> Deferred[IStreamLog]:
        """
        Keep an idempotency key as long as the stream that is being made for it.

        Returns:
            Fires as what was given does, which L{join} gives to others.
        """
        self._keys[key] = (digest, creating)

        def keep(streamLog: IStreamLog) -> IStreamLog:
            self._keyOf[streamLog.epoch] = key
            return streamLog

        def drop(failure: Failure) -> Failure:
            del self._keys[key]
            # All who waited are told.
            creating.addErrback(lambda _: None)
            return failure

        return _branch(creating).addCallbacks(keep, drop)

    def forget(self, epoch: str) -> None:
        """Forget the idempotency key of a stream that goes."""
        self._keys.pop(self._keyOf.pop(epoch, ""), None)

    def _ended(self, run: Run) -> None:
        del self._runs[run.streamLog.name]
        self._onEnd(run)

    def _worked(self, run: Run) -> None:
        self._working.remove(run)
        if not self._working and self._released is not None:
            released, self._released = self._released, None
            released.callback(None)


def _letGo(result: object, seconds: float) -> None:
    """Wait for the sources no longer."""


def _branch(deferred: Deferred[T]) -> Deferred[T]:
    """Wait for what another one fires with, and leave that to be waited for again."""
    branch: Deferred[T] = Deferred()

    def tell(result: T) -> T:
        branch.callback(result)
        return result

    def fail(failure: Failure) -> Failure:
        branch.errback(failure)
        return failure

    deferred.addCallbacks(tell, fail)
    return branch
