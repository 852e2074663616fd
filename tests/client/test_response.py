"""Tests for `sseserver.client.response`: input at odd times, and a walk through the table of states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from sseserver.client import SilenceTimeout
from sseserver.client.response import ResponseReader
from sseserver.client.states import ReaderState
from sseserver.wire import Decoder, Event

END = Failure(ResponseDone())


class ReaderTestCase(SynchronousTestCase):
    """
    A reader on a transport in memory.

    Attributes:
        seen: The data of the events.
        ends: The reasons for which the reading ended.
        onData: Called inside the callback of the next event, once.
    """

    silence: float | None = None

    def setUp(self) -> None:
        self.seen: list[bytes] = []
        self.onData: Callable[[], object] = lambda: None
        self.ends: list[Failure] = []
        self.clock = Clock()
        self.transport = StringTransport()
        self.reader = ResponseReader(
            self.clock, Decoder(), self.silence, self.takeEvent, self.ends.append, self.takeData
        )
        self.reader.makeConnection(self.transport)
        # From the first decoded event on, whole events go past the decoder.
        self.reader.dataReceived(b"data: 0\n\n")
        self.seen.clear()

    def takeEvent(self, event: Event) -> None:
        """Take an event that came through the queue."""
        self.takeData(event.data.encode("utf-8"))

    def takeData(self, data: bytes) -> None:
        """Take the data of an event."""
        self.seen.append(data)
        onData, self.onData = self.onData, lambda: None
        onData()


class ReaderTests(ReaderTestCase):
    """Input while events come one by one."""

    def test_readBeforeThePause(self) -> None:
        """An event that was read before the pause is delivered after it."""
        self.reader.pauseProducing()
        self.reader.dataReceived(b"data: 1\n\n")
        self.assertEqual(self.seen, [])
        self.reader.resumeProducing()
        self.reader.dataReceived(b"data: 2\n\n")
        self.assertEqual(self.seen, [b"1", b"2"])

    def test_insideAnEvent(self) -> None:
        """Bytes that arrive inside a callback are delivered after it, half an event too."""
        for inner, outer in (
            (b"data: 2\n\n", b"data: 3\n\n"),
            (b"da", b"ta: 2\n\ndata: 3\n\n"),
            (b"data: 2\n", b"\ndata: 3\n\n"),
        ):
            self.setUp()
            self.onData = lambda inner=inner: (self.reader.dataReceived(inner), self.assertEqual(self.seen, [b"1"]))
            self.reader.dataReceived(b"data: 1\n\n")
            self.reader.dataReceived(outer)
            self.assertEqual(self.seen, [b"1", b"2", b"3"])

    def test_endInsideAnEvent(self) -> None:
        """An end of the body that arrives inside a callback is reported after it."""
        self.onData = lambda: (self.reader.connectionLost(END), self.assertEqual(self.ends, []))
        self.reader.dataReceived(b"data: 1\n\n")
        self.assertEqual((self.seen, self.ends), ([b"1"], [END]))

    def test_stoppedInsideAnEvent(self) -> None:
        """A reader that is stopped inside a callback calls nothing more."""
        self.onData = self.reader.stopProducing
        self.reader.dataReceived(b"data: 1\n\n")
        self.reader.dataReceived(b"data: 2\n\n")
        self.assertEqual((self.seen, self.ends), ([b"1"], []))

    def test_brokenCallback(self) -> None:
        """An exception of a callback ends the reading, whichever way the event took."""
        for data in (b"data: 1\n\n", b"id: 1\ndata: 1\n\ndata: 2\n\n"):
            self.setUp()
            self.onData = lambda: 1 / 0
            self.reader.dataReceived(data)
            self.assertEqual(self.seen, [b"1"])
            self.assertIsNotNone(self.ends.pop().check(ZeroDivisionError))
            self.assertTrue(self.transport.disconnecting)

    def test_F56_exit(self) -> None:
        """F56: `SystemExit` in a callback ends this reader with it, and does not reach the reactor."""

        def leave() -> None:
            raise SystemExit

        for data in (b"data: 1\n\n", b"id: 1\ndata: 1\n\ndata: 2\n\n"):
            self.setUp()
            self.onData = leave
            self.reader.dataReceived(data)
            self.assertEqual(self.seen, [b"1"])
            self.assertIsNotNone(self.ends.pop().check(SystemExit))


class SilenceTests(ReaderTestCase):
    """The time limit for silence."""

    silence = 5.0

    def test_pause(self) -> None:
        """Silence is measured from each byte and from the end of a pause, and not while paused."""
        self.reader.pauseProducing()
        self.clock.advance(100)
        self.reader.resumeProducing()
        self.clock.advance(4)
        self.reader.dataReceived(b"data: 1\n\n")
        self.clock.advance(4)
        self.assertEqual(self.ends, [])
        self.clock.advance(1)
        self.assertIsNotNone(self.ends.pop().check(SilenceTimeout))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class StateTests(ReaderTestCase):
    """The way through `READER_STATES`."""

    def bring(self, state: ReaderState, act: Callable[[], object]) -> None:
        """Bring a new reader into a state, and do something there."""
        reader = self.reader
        here = lambda: (self.assertIs(reader.state, state), act())  # noqa: E731
        if state is ReaderState.HANDING:
            self.onData = here
            reader.dataReceived(b"data: 1\n\n")
        elif state is ReaderState.DELIVERING:
            self.onData = here
            reader.dataReceived(b"id: 1\ndata: 1\n\n")
        elif state is ReaderState.PAUSING:
            self.onData = lambda: (reader.pauseProducing(), here())
            reader.dataReceived(b"data: 1\n\n")
        else:
            if state is ReaderState.PAUSED:
                reader.pauseProducing()
            elif state is ReaderState.OVER:
                reader.stopProducing()
            here()

    def check(self, act: str, expected: dict[ReaderState, ReaderState]) -> None:
        """Do the same in each state, and compare the states that follow at once."""
        acts: dict[str, Callable[[], object]] = {
            "events": lambda: self.reader.dataReceived(b"data: 2\n\nid: 3\ndata: 3\n\n"),
            "end": lambda: self.reader.connectionLost(END),
            "pause": lambda: self.reader.pauseProducing(),
            "resume": lambda: self.reader.resumeProducing(),
            "stop": lambda: self.reader.stopProducing(),
        }
        found: dict[ReaderState, Any] = {}
        for state in ReaderState:
            self.setUp()
            self.bring(state, lambda state=state: (acts[act](), found.update({state: self.reader.state})))
        self.assertEqual(found, expected)

    def test_pause(self) -> None:
        """A pause inside a callback holds from its return on; elsewhere at once."""
        self.check(
            "pause",
            {
                ReaderState.READING: ReaderState.PAUSED,
                ReaderState.HANDING: ReaderState.PAUSING,
                ReaderState.DELIVERING: ReaderState.PAUSING,
                ReaderState.PAUSING: ReaderState.PAUSING,
                ReaderState.PAUSED: ReaderState.PAUSED,
                ReaderState.OVER: ReaderState.OVER,
            },
        )
        self.setUp()
        self.bring(ReaderState.PAUSING, lambda: None)
        self.assertIs(self.reader.state, ReaderState.PAUSED)

    def test_resume(self) -> None:
        """Only a paused reader, or one that is about to be, changes at a resumption."""
        self.check(
            "resume",
            {state: state for state in ReaderState}
            | {ReaderState.PAUSING: ReaderState.DELIVERING, ReaderState.PAUSED: ReaderState.READING},
        )

    def test_events(self) -> None:
        """Events that arrive inside a callback or a pause are queued and come afterwards, in order."""
        self.check(
            "events",
            {state: state for state in ReaderState} | {ReaderState.HANDING: ReaderState.DELIVERING},
        )
        for state, before in (
            (ReaderState.READING, []),
            (ReaderState.HANDING, [b"1"]),
            (ReaderState.DELIVERING, [b"1"]),
            (ReaderState.PAUSING, [b"1"]),
            (ReaderState.PAUSED, []),
        ):
            self.setUp()
            self.bring(state, lambda: self.reader.dataReceived(b"data: 2\n\nid: 3\ndata: 3\n\n"))
            self.reader.resumeProducing()
            self.assertEqual((self.seen, self.reader.lastEventID), ([*before, b"2", b"3"], "3"))
            self.assertIs(self.reader.state, ReaderState.READING)

    def test_end(self) -> None:
        """The end of the body comes after the callback that runs; with nothing queued a pause does not delay it."""
        self.check(
            "end",
            {
                ReaderState.READING: ReaderState.OVER,
                ReaderState.HANDING: ReaderState.DELIVERING,
                ReaderState.DELIVERING: ReaderState.DELIVERING,
                ReaderState.PAUSING: ReaderState.PAUSING,
                ReaderState.PAUSED: ReaderState.OVER,
                ReaderState.OVER: ReaderState.OVER,
            },
        )
        for state in set(ReaderState) - {ReaderState.OVER}:
            self.setUp()
            self.bring(state, lambda: self.reader.connectionLost(END))
            self.assertEqual((self.reader.state, self.ends), (ReaderState.OVER, [END]))

    def test_endBehindEvents(self) -> None:
        """The end of the body waits while queued events do."""
        self.reader.pauseProducing()
        self.reader.dataReceived(b"data: 1\n\n")
        self.reader.connectionLost(END)
        self.assertEqual((self.reader.state, self.seen, self.ends), (ReaderState.PAUSED, [], []))
        self.reader.resumeProducing()
        self.assertEqual((self.reader.state, self.seen, self.ends), (ReaderState.OVER, [b"1"], [END]))

    def test_stop(self) -> None:
        """A reader can be stopped in every state, and is over at once."""
        self.check("stop", dict.fromkeys(ReaderState, ReaderState.OVER))
        self.assertEqual(self.ends, [])
