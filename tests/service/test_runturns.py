"""
Tests of `sseserver.service.runturns`: a limited number of sources works at a time.
"""

from __future__ import annotations

from typing import Any

from sseserver.errors import Overloaded
from sseserver.formats.events import EventsFormat
from sseserver.settings import Settings
from sseserver.values import State
from tests.served import ServedTestCase


class EndingViewer:
    """
    A viewer that ends a run when it is woken.

    Args:
        run: The run.

    Attributes:
        cursor: See `Viewer`.
        wakes: Number of wake-ups.
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        self.cursor = self.wakes = 0

    def wake(self) -> None:
        """See `Viewer.wake`."""
        self.wakes += 1
        self._run.end()

    def dismiss(self) -> None:
        """See `Viewer.dismiss`."""


class TurnTests(ServedTestCase):
    """The limits of working and of waiting runs."""

    settings = Settings(maxRuns=2, maxWaiting=2, linger=30.0)

    def start(self) -> Any:
        """Start a run."""
        return self.successResultOf(self.service.startRun())

    def test_order(self) -> None:
        """Runs above the limit wait; the one that has waited longest goes first."""
        first, second, third, fourth = [self.start() for _ in range(4)]
        self.assertEqual(len(self.source.runs), 2)
        self.source.runs[1].end()
        self.assertEqual(len(self.source.runs), 3)
        self.source.run.write("third")
        self.source.runs[0].end()
        self.source.run.write("fourth")
        self.assertEqual([log.last for log in (first, second, third, fourth)], [1, 1, 1, 1])
        self.assertEqual((third.buffer.entries, fourth.buffer.entries), ([b"third"], [b"fourth"]))

    def test_refused(self) -> None:
        """
        A run above the limit of waiting runs is refused and leaves nothing behind. Later there is
        room again.
        """
        for _ in range(4):
            self.start()
        self.failureResultOf(self.service.startRun(), Overloaded)
        answer = self.ask("/streams", method="POST", body=b"")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "3"))
        self.source.runs[0].end()
        self.start()
        self.assertEqual(self.service.store.count, 5)

    def test_nobodyMayWait(self) -> None:
        """If no run may wait, runs are started as long as there is a turn for them."""
        self.serve(self.source, Settings(maxRuns=1, maxWaiting=0))
        self.start()
        self.failureResultOf(self.service.startRun(), Overloaded)

    def test_waitingViewer(self) -> None:
        """The viewer of a waiting run gets heartbeats, and the answer when the run has its turn."""
        for _ in range(2):
            self.start()
        wire = self.view()
        self.reactor.pump([1.0] * 20)
        self.assertEqual(wire.response.texts, [""])
        self.assertIn(b":\n", wire.response.body)
        self.source.runs[0].end()
        self.source.run.write("now")
        self.reactor.turn()
        self.assertEqual(wire.response.texts, ["", "now"])

    def test_cancelWhileItWaits(self) -> None:
        """A run that is cancelled while it waits never begins; the next one has its turn."""
        logs = [self.start() for _ in range(4)]
        self.successResultOf(self.service.cancel(logs[2].name))
        self.assertIs(logs[2].state, State.CANCELLED)
        self.source.runs[0].end()
        self.source.run.write("fourth")
        self.assertEqual((len(self.source.runs), logs[3].buffer.entries), (3, [b"fourth"]))

    def test_endsAnotherWhileItWaits(self) -> None:
        """A waiting run whose end ends a working one does not begin, though it is the next in the queue."""
        logs = [self.start() for _ in range(4)]
        viewer = EndingViewer(self.source.runs[0])
        logs[2].follow(viewer, EventsFormat())
        self.successResultOf(self.service.cancel(logs[2].name))
        self.assertEqual((viewer.wakes, len(self.source.runs)), (1, 3))
        self.source.run.write("fourth")
        self.assertEqual(logs[3].buffer.entries, [b"fourth"])

    def test_lingerWhileItWaits(self) -> None:
        """A waiting run without viewers is cancelled after the linger, too."""
        self.settings = Settings(maxRuns=1, maxWaiting=2, linger=30.0)
        self.serve(self.source)
        self.start()
        wire = self.view("/")
        waiting = self.start()
        self.reactor.pump([1.0] * 31)
        self.assertIs(waiting.state, State.CANCELLED)
        wire.close()
