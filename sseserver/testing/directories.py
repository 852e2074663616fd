"""
KeyDirectoryContract: the tests that every directory of keys must pass, public in `sseserver.testing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from sseserver.errors import KeyReused, StoreUnavailable, StreamNotFound
from sseserver.interfaces import IKeyDirectory, KeyedStream
from sseserver.streams.ids import makeEpoch

T = TypeVar("T")

if TYPE_CHECKING:
    _TestCase = SynchronousTestCase
else:
    _TestCase = object


class KeyDirectoryContract(_TestCase):
    """
    The tests that every `IKeyDirectory` must pass.

    Attributes:
        directory: An empty directory.
    """

    def makeDirectory(self) -> IKeyDirectory:
        """Make an empty directory."""
        raise NotImplementedError("Make your directory in `makeDirectory`.")

    def settle(self) -> None:
        """Let the directory do all its work."""

    def setUp(self) -> None:
        """Make a directory."""
        super().setUp()
        self.directory = self.makeDirectory()

    def result(self, deferred: Deferred[T]) -> T:
        """Return the result of a Deferred, after the directory has done its work."""
        self.settle()
        return self.successResultOf(deferred)

    def claim(self, digest: bytes = b"digest") -> KeyedStream | None:
        """Claim the key `key`, which nobody else is claiming."""
        return self.result(self.directory.claim("key", digest))

    def bind(self, key: str = "key") -> KeyedStream:
        """Give a key to a new stream, and return that."""
        epoch = makeEpoch()
        stream = KeyedStream(f"name-{epoch}", epoch)
        self.result(self.directory.bind(key, stream))
        return stream

    def test_interface(self) -> None:
        """A directory has the members that its interface names."""
        verifyObject(IKeyDirectory, self.directory)

    def test_claimed(self) -> None:
        """A new key goes to the first who claims it. Those that claim it later get the stream, when it is bound."""
        self.assertIsNone(self.claim())
        waiting = self.directory.claim("key", b"digest")
        self.settle()
        self.assertNoResult(waiting)
        stream = self.bind()
        self.assertEqual([self.result(waiting), self.claim()], [stream] * 2)
        self.assertEqual(self.result(self.directory.find("key")), stream)

    def test_digest(self) -> None:
        """A key with another digest is refused, before and after it is bound."""
        self.claim()
        for _ in range(2):
            refused = self.directory.claim("key", b"other")
            self.settle()
            self.failureResultOf(refused, KeyReused)
            self.bind()

    def test_released(self) -> None:
        """A claim that is released goes to one of those that wait, then to anyone, with any digest."""
        self.claim()
        waiting = self.directory.claim("key", b"digest")
        self.settle()
        self.directory.release("key")
        self.assertIsNone(self.result(waiting))
        self.directory.release("key")
        self.assertIsNone(self.claim(b"other"))

    def test_error(self) -> None:
        """A claim that is released with an error fails those of this process that wait, and the key is free."""
        self.claim()
        waiting = [self.directory.claim("key", b"digest") for _ in range(2)]
        self.settle()
        self.directory.release("key", error=StoreUnavailable("The disk is full."))
        self.settle()
        for each in waiting:
            self.failureResultOf(each, StoreUnavailable)
        self.assertIsNone(self.claim(b"other"))

    def test_releasedStream(self) -> None:
        """A key is released from its stream by the epoch, and by no other."""
        self.claim()
        stream = self.bind()
        for epoch in ("", makeEpoch()):
            self.directory.release("key", epoch)
            self.directory.release("nokey", epoch)
            self.assertEqual(self.claim(), stream)
        self.directory.release("key", stream.epoch)
        self.assertIsNone(self.claim(b"other"))

    def test_replaced(self) -> None:
        """A key that is given to another stream finds that one; the first one does not take it along."""
        first, second = self.bind(), self.bind()
        self.directory.forget(first.epoch)
        self.settle()
        self.assertEqual(self.result(self.directory.find("key")), second)
        self.result(self.directory.bind("key", second))
        self.assertEqual(self.result(self.directory.find("key")), second)

    def test_forgotten(self) -> None:
        """The keys of a stream that is deleted are free."""
        self.claim()
        stream = self.bind()
        self.result(self.directory.bind("other", stream))
        self.directory.forget(makeEpoch())
        self.assertEqual(self.claim(), stream)
        self.directory.forget(stream.epoch)
        for key in ("key", "other", "never"):
            missing = self.directory.find(key)
            self.settle()
            self.failureResultOf(missing, StreamNotFound)
        self.assertIsNone(self.claim(b"other"))

    def test_manyKeys(self) -> None:
        """A stream has sixteen keys at most: a further one replaces the oldest."""
        stream = self.bind("0")
        for number in range(1, 17):
            self.result(self.directory.bind(str(number), stream))
        missing = self.directory.find("0")
        self.settle()
        self.failureResultOf(missing, StreamNotFound)
        self.assertEqual([self.result(self.directory.find(key)) for key in ("1", "16")], [stream] * 2)
