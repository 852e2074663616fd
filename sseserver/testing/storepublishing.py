"""
The parts of `StoreContract` for publishes and for the ends of streams.
"""

from __future__ import annotations

from sseserver.errors import KeyReused, Overloaded, StreamEnded, StreamExists, StreamNotFound
from sseserver.interfaces import Publication
from sseserver.streams.ids import makeEpoch
from sseserver.streams.terminal import packCancelled, packDone
from sseserver.testing.storecase import StoreCase
from sseserver.values import Kind, NewEntry, PackedEntries, Reason, State

_ASKED, _IDLE = packCancelled(Reason.ASKED), packCancelled(Reason.IDLE)


class PublishContract(StoreCase):
    """Entries are published, once for each idempotency key."""

    def test_publish(self) -> None:
        """A publish gives the numbers of its entries when they are visible; those of one publish follow one another."""
        streamLog = self.create("a", tokens=1)
        entries = [NewEntry(Kind.TOKEN, b"b"), NewEntry(Kind.EVENT, b"type\nc")]
        published = [self.store.publish("a", each, False) for each in (PackedEntries(entries), entries[:1])]
        expected = [Publication(streamLog.epoch, 2, 3), Publication(streamLog.epoch, 4, 4)]
        self.assertEqual([self.result(each) for each in published], expected)
        self.assertEqual(streamLog.last, 4)
        self.assertEqual(streamLog.buffer.entries, [b"1", b"b", b"type\nc", b"b"])

    def test_close(self) -> None:
        """A publish that closes the stream appends `done` with the number of tokens, and needs no entry of its own."""
        first, second = self.create("a"), self.create("b", tokens=2)
        self.assertEqual(self.publish("a", b"x", close=True), (1, 2))
        self.assertEqual(self.publish("b", close=True), (3, 3))
        for streamLog, tokens in ((first, 1), (second, 2)):
            self.assertEqual((streamLog.state, streamLog.sealed), (State.DONE, True))
            self.assertEqual(streamLog.buffer.entries[-1], b'{"reason":"stop","tokens":%d}' % tokens)

    def test_key(self) -> None:
        """
        A publish that is repeated with its idempotency key appends nothing and gives the same numbers.

        This also holds while the first one is not visible yet. The key with other entries is refused.
        """
        streamLog = self.create("a")
        entries = [NewEntry(Kind.TOKEN, b"a"), NewEntry(Kind.TOKEN, b"b")]
        both = [self.store.publish("a", each, False, "key") for each in (PackedEntries(entries), entries)]
        expected = [Publication(streamLog.epoch, 1, 2, repeated) for repeated in (False, True)]
        self.assertEqual([self.result(each) for each in both], expected)
        self.assertEqual(self.publish("a", b"a", b"b", key="key"), (1, 2))
        self.assertRefused(self.store.publish("a", entries[:1], False, "key"), KeyReused)
        self.assertRefused(self.store.publish("a", entries, True, "key"), KeyReused)
        self.assertEqual((streamLog.last, self.publish("a", b"a", key="other")), (2, (3, 3)))

    def test_keyOfEnded(self) -> None:
        """A publish that closed its stream can be repeated with its key."""
        self.create("a")
        self.assertEqual(self.publish("a", b"x", key="key", close=True), (1, 2))
        self.assertEqual(self.publish("a", b"x", key="key", close=True), (1, 2))

    def test_keyForgotten(self) -> None:
        """An idempotency key is known as long as its entries are kept; then it can be used anew."""
        self.create("a")
        for first in (1, 5):
            for _ in range(2):
                self.assertEqual(self.publish("a", b"a", b"b", key="key"), (first, first + 1))
            self.assertTrue(self.result(self.store.describe("a", "key")).keyUsed)
            self.publish("a", b"x" * self.window, b"c")
            self.assertFalse(self.result(self.store.describe("a", "key")).keyUsed)

    def test_refused(self) -> None:
        """Nothing is published into a stream that is missing, that a run writes, or that has ended."""
        entries = [NewEntry(Kind.TOKEN, b"x")]
        run, ended = self.create("run", published=False), self.create("ended")
        self.publish("ended", b"x", close=True)
        for name, error in (("none", StreamNotFound), ("run", StreamExists), ("ended", StreamEnded)):
            self.assertRefused(self.store.publish(name, entries, False), error)
        self.assertEqual((run.last, ended.last), (0, 2))

    def test_noRoom(self) -> None:
        """Without room a publish is refused, unless it is a repeat, or there is a better reason to refuse it."""
        streamLog = self.create("a")
        entries = [NewEntry(Kind.TOKEN, b"x")]
        self.publish("a", b"x", key="key")
        self.assertRefused(self.store.publish("a", entries, False, None, False), Overloaded)
        self.assertRefused(self.store.publish("a", entries, False, "other", False), Overloaded)
        repeated = self.result(self.store.publish("a", entries, False, "key", False))
        self.assertEqual(repeated, Publication(streamLog.epoch, 1, 1, True))
        self.assertRefused(self.store.publish("a", entries * 2, False, "key", False), KeyReused)
        self.assertRefused(self.store.publish("b", entries, False, None, False), StreamNotFound)
        self.publish("a", close=True)
        self.assertRefused(self.store.publish("a", entries, False, None, False), StreamEnded)
        self.assertEqual(streamLog.last, 2)

    def test_keyUsed(self) -> None:
        """A description tells whether an idempotency key was used."""
        self.create("a")
        self.publish("a", b"x", key="key")
        used = [self.result(self.store.describe("a", key)).keyUsed for key in ("key", "other", None)]
        self.assertEqual(used, [True, False, False])


class EndContract(StoreCase):
    """Streams are ended from outside."""

    def test_ended(self) -> None:
        """A stream gets the terminal entry once, also while the first end is not visible yet."""
        streamLog = self.create("a", tokens=2)
        ends = [self.store.end("a", entry) for entry in (_ASKED, _IDLE)]
        self.assertEqual([self.result(each) for each in ends], [True, False])
        self.assertEqual((streamLog.state, streamLog.last), (State.CANCELLED, 3))
        self.assertEqual(streamLog.buffer.entries[-1], _ASKED.data)
        self.assertFalse(self.result(self.store.end("a", _IDLE)))
        self.assertEqual((streamLog.last, self.result(self.store.describe("a")).last), (3, 3))

    def test_afterDone(self) -> None:
        """A stream that has ended stays as it is."""
        streamLog = self.create(None, published=False)
        streamLog.append(*packDone(Reason.STOP, 0))
        self.settle()
        self.assertFalse(self.result(self.store.end(streamLog.name, _ASKED)))
        self.assertEqual((streamLog.state, streamLog.last), (State.DONE, 1))

    def test_another(self) -> None:
        """A stream is ended by name and epoch only if both are its own."""
        streamLog = self.create("a")
        self.assertRefused(self.store.end("a", _ASKED, makeEpoch()), StreamNotFound)
        self.assertRefused(self.store.end("b", _ASKED), StreamNotFound)
        self.assertIs(streamLog.state, State.OPEN)
        self.assertTrue(self.result(self.store.end("a", _ASKED, streamLog.epoch)))
        self.assertIs(streamLog.state, State.CANCELLED)
