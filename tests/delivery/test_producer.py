"""
Tests of `sseserver.delivery.producer`: what a viewer is sent.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.protocols.policies import WrappingFactory
from zope.interface.verify import verifyObject

from sseserver.delivery.producer import READ_BYTES
from sseserver.formats import TextFormat
from sseserver.formats import text as textFormat
from sseserver.reading import Reading
from sseserver.streams.log import FLUSH_TICK
from sseserver.values import Kind
from tests.delivery.cases import BrokenFormat, ProducerTestCase
from tests.http import EVENTSOURCE


class ProducerTests(ProducerTestCase):
    """The events that a viewer is sent."""

    def test_interface(self) -> None:
        """
        It is a push producer.
        """
        self.follow()
        self.assertTrue(verifyObject(IPushProducer, self.producers[0]))

    def test_headComesAtOnce(self) -> None:
        """
        The headers and the first event come before the first token, so an EventSource fires `open`.
        """
        response = self.follow().response
        self.assertEqual(response.status, 200)
        self.assertEqual(
            {name: value for name, value in response.headers.items() if name not in {"date", "server"}},
            {
                "content-type": "text/event-stream",
                "cache-control": "no-cache, no-store, no-transform",
                "x-accel-buffering": "no",
                "x-content-type-options": "nosniff",
                "transfer-encoding": "chunked",
            },
        )
        self.assertEqual(
            [(event.type, event.id, event.retry) for event in response.events], [("stream", self.entry(0), 3000)]
        )
        self.assertFalse(response.complete)

    def test_registersBeforeItWrites(self) -> None:
        """
        The producer is registered before the first write: under TLS one that
        comes later is never paused.
        """
        self.follow()
        calls = self.spies[0].calls
        self.assertLess(calls.index("registerProducer"), calls.index("write"))

    def test_tokensAsTheyCome(self) -> None:
        """
        Each token is sent to every viewer as an event with its number; after the terminal event the
        response ends and the connection stays.
        """
        wires = [self.follow(), self.follow()]
        for number, token in enumerate(["Hello", " world", "\n", "!"], 1):
            self.append(token)
            for wire in wires:
                self.assertEqual(wire.response.events[number:], [self.token(number, token)])
        self.end()
        for wire in wires:
            self.assertEqual(wire.response.types[-1], "done")
            self.assertTrue(wire.response.complete)
            self.assertFalse(wire.closed)
        self.assertEqual([producer.reason for producer in self.ended], ["complete", "complete"])
        self.assertEqual(wires[0].response.body, wires[1].response.body)

    def test_lateViewerGetsWhatWasThereJoined(self) -> None:
        """
        Tokens from before a viewer are joined into one event with the last ID; later ones are
        single events.
        """
        self.append("a", "b", "c")
        wire = self.follow()
        self.append("d", "e")
        self.assertEqual(wire.response.events[1:], [self.token(3, "abc"), self.token(4, "d"), self.token(5, "e")])

    def test_resumes(self) -> None:
        """A viewer with the ID of an entry gets the next one."""
        self.append("a", "b", "c")
        for number in range(4):
            events = self.follow(after=number).response.events
            self.assertEqual(events[0].id, self.entry(number))
            self.assertEqual("".join(event.data for event in events[1:]), "abc"[number:])

    def test_unknownID(self) -> None:
        """A viewer with an unknown ID is sent a gap, then everything."""
        self.append("a", "b")
        self.lastEventID = "nonsense"
        wire = self.connect(self.factory)
        response = wire.ask("/", EVENTSOURCE)
        self.assertEqual([event.type for event in response.events if event.type != "stream"], ["gap", "message"])
        self.assertIn('"reason":"unknown"', response.events[response.types.index("gap")].data)
        self.assertEqual(response.texts, ["ab"])

    def test_endedStream(self) -> None:
        """A stream that has ended is replayed, and the response ends."""
        self.append("a")
        self.end()
        wire = self.follow()
        self.assertEqual(wire.response.types, ["stream", "message", "done"])
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.streamLog.viewers, 0)

    def test_HTTP10(self) -> None:
        """A client of HTTP/1.0 gets no chunks; the response ends with the connection."""
        wire = self.follow(version="1.0")
        self.append("a", "b")
        self.assertNotIn("transfer-encoding", wire.response.headers)
        self.assertEqual(wire.response.texts, ["a", "b"])
        self.assertFalse(wire.closed)
        self.end()
        self.assertTrue(wire.response.complete)

    def test_manyTokensInOneTick(self) -> None:
        """Tokens of one flush tick are written in one write, as single events."""
        wire = self.follow()
        self.append("first")
        wire.socket.sends.clear()
        for token in "abc":
            self.streamLog.append(Kind.TOKEN, token.encode())
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.texts, ["first", "a", "b", "c"])
        self.assertLessEqual(len(wire.socket.sends), 2)

    def test_catchesUpInBoundedSteps(self) -> None:
        """A long log is read and written in steps of about 128 KiB."""
        text = [f"{number:06}," * 150 for number in range(2000)]
        for token in text:
            self.streamLog.append(Kind.TOKEN, token.encode())
        wire = self.follow()
        self.assertGreater(len(wire.response.texts), 2000 * 1050 // READ_BYTES - 1)
        self.assertLess(max(map(len, wire.response.texts)), READ_BYTES + 2 * 1050)
        self.assertEqual("".join(wire.response.texts), "".join(text))

    def test_tellsTheLogThatItHasRead(self) -> None:
        """The log's `onChange` is called after each read."""
        read = []
        self.follow()
        self.append("a")
        self.streamLog.onChange = lambda: read.append(self.producers[0].cursor)
        self.append("b", "c")
        self.assertEqual(read, [2, 3])

    def test_counts(self) -> None:
        """`written` is the length of the body."""
        wire = self.follow()
        self.append("a", "zwölf")
        self.assertEqual(self.producers[0].written, len(wire.response.body))

    def test_entriesThatAFormatPassesOver(self) -> None:
        """An entry that a format does not show is read, and nothing is written for it."""
        self.form = BrokenFormat()
        self.patch(BrokenFormat, "read", lambda form, cursor, maxBytes, joined: Reading(self.streamLog.last, b""))
        wire = self.follow()
        before = wire.response.body
        self.append("a", "b")
        self.assertEqual(wire.response.body, before)
        self.assertEqual(self.producers[0].cursor, 2)

    def test_refusedTextEndsAtOnce(self) -> None:
        """
        A text that grows too long for the format `text` ends its response with `failed`; the stream
        goes on.
        """
        self.patch(textFormat, "TEXT_LIMIT", 100)
        self.form = TextFormat()
        wire = self.follow()
        self.append("a" * 60, "b" * 60)
        self.assertEqual(wire.response.types[-2:], ["gap", "failed"])
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.ended, self.producers)


class QueuedProducerTests(ProducerTests):
    """The same on a transport whose queue cannot be bypassed."""

    def makeFactory(self) -> Any:
        return WrappingFactory(super().makeFactory())
