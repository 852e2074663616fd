"""
StoreCase: the base of the tests of `StoreContract`, with a store for each test and a viewer that records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.errors import SSEServerError
from sseserver.interfaces import IFormat, IRendering, IStreamLog, IStreamStore
from sseserver.values import EndedStream, Kind, ListedPlace, ListedStream, NewEntry, State

T = TypeVar("T")

if TYPE_CHECKING:
    _TestCase = SynchronousTestCase
else:
    _TestCase = object


class RecordingViewer:
    """
    A viewer that reads nothing and records how far it could have read.

    Args:
        streamLog: The log that it follows.

    Attributes:
        cursor: See `sseserver.interfaces.Viewer`.
        seen: Number of the last visible entry, at each call of `wake`.
    """

    def __init__(self, streamLog: IStreamLog) -> None:
        self.cursor = 0
        self.seen: list[int] = []
        self._log = streamLog

    def wake(self) -> None:
        """See `sseserver.interfaces.Viewer`."""
        self.seen.append(self._log.last)

    def dismiss(self) -> None:
        """See `sseserver.interfaces.Viewer`."""
        self._log.leave(self)


class NoRendering:
    """The rendering of a viewer that reads nothing."""

    def renew(self) -> None:
        """See `IRendering.renew`."""


@implementer(IFormat)
class NoFormat:
    """The format of a viewer that reads nothing."""

    name = "none"
    headers = ()
    reconnects = True

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        return cast(IRendering, NoRendering())


class Description(NamedTuple):
    """Everything of a stream that a restart must not change."""

    name: str
    epoch: str
    published: bool
    state: State
    created: float
    ended: float | None
    first: int
    last: int
    tokens: int
    size: int
    question: str
    kinds: bytes
    entries: list[bytes]


class StoreCase(_TestCase):
    """
    Makes a store for each test.

    Attributes:
        survives: Whether the store outlives its process. Then implement `crash`.
        shared: Whether it is an `ISharedStore`, which counts only the streams in memory. Then let `restart` and
            `startAfterCrash` wait until the store works and interrupted runs have ended, and list the ended streams.
        window: Bytes that each stream keeps in these tests.
        clock: The store's clock.
        store: The store, started.
    """

    survives = False
    shared = False
    window = 8000

    def makeStore(self, window: int) -> IStreamStore:
        """
        Make a store on `self.clock`: after `crash`, one on what the dead store left.

        Args:
            window: Bytes that each stream keeps.
        """
        raise NotImplementedError("Make your store in `makeStore`.")

    def settle(self) -> None:
        """Let the store do all its work; its threads, too."""
        self.clock.advance(1)

    def crash(self) -> None:
        """End the store as the sudden end of its process would, for a store that survives it."""
        raise NotImplementedError("End your store in `crash`.")

    def setUp(self) -> None:
        """Make a store and start it."""
        super().setUp()
        self.clock = Clock()
        self.store = self.makeStore(self.window)
        self.assertEqual(list(self.store.start()), [])

    def tearDown(self) -> None:
        """Stop the store, which leaves no call on the clock."""
        self.result(self.store.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def result(self, deferred: Deferred[T]) -> T:
        """Return the result of a Deferred, after the store has done its work."""
        self.settle()
        return self.successResultOf(deferred)

    def assertRefused(self, deferred: Deferred[Any], error: type[SSEServerError]) -> None:
        """
        Check that a Deferred fails, after the store has done its work.

        Args:
            deferred: The Deferred.
            error: Class of the error.
        """
        self.settle()
        self.failureResultOf(deferred, error)

    def create(
        self, name: str | None = None, published: bool = True, tokens: int = 0, question: str = ""
    ) -> IStreamLog:
        """
        Make a stream with the tokens `1`, `2` and so on.

        Args:
            name: Name of the stream; `None` leaves the choice to the store.
            published: Whether it is a published stream.
            tokens: Number of tokens.
            question: Question that the stream answers.
        """
        streamLog = self.result(self.store.create(name, published, question))
        for number in range(1, tokens + 1):
            streamLog.append(Kind.TOKEN, b"%d" % number)
        self.settle()
        return streamLog

    def find(self, name: str) -> IStreamLog:
        """Find a stream that is there."""
        return self.result(self.store.find(name))

    def publish(self, name: str, *tokens: bytes, key: str | None = None, close: bool = False) -> tuple[int, int]:
        """
        Publish tokens into a stream.

        Args:
            name: Name of the stream.
            tokens: Data of the entries.
            key: Idempotency key.
            close: Whether the stream ends after them.

        Returns:
            The numbers of the first and of the last entry.
        """
        entries = [NewEntry(Kind.TOKEN, data) for data in tokens]
        publication = self.result(self.store.publish(name, entries, close, key))
        return publication.first, publication.last

    def listStreams(self, limit: int, before: ListedPlace | None = None) -> list[ListedStream]:
        """
        List streams.

        Args:
            limit: See `IStreamStore.list`.
            before: See `IStreamStore.list`.
        """
        return [*self.result(self.store.list(limit, before))]

    def describe(self, streamLog: IStreamLog) -> Description:
        """Describe a stream."""
        buffer = streamLog.buffer
        return Description(
            streamLog.name,
            streamLog.epoch,
            streamLog.published,
            streamLog.state,
            streamLog.created,
            streamLog.ended,
            buffer.first,
            streamLog.last,
            buffer.tokens,
            buffer.size,
            streamLog.question,
            bytes(buffer.kinds),
            buffer.entries,
        )

    def describeEnd(self, streamLog: IStreamLog) -> EndedStream:
        """Describe an ended stream as `start` returns it."""
        assert streamLog.ended is not None
        return EndedStream(streamLog.ended, streamLog.name, streamLog.epoch, streamLog.published)

    def restart(self) -> list[EndedStream]:
        """Stop the store and start it again; return the list of ended streams."""
        self.result(self.store.stop())
        return list(self.store.start())

    def startAfterCrash(self) -> list[EndedStream]:
        """End the process of the store, and start a store on what it left; return the list of ended streams."""
        self.crash()
        self.store = self.makeStore(self.window)
        return list(self.store.start())
