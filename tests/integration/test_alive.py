"""
Tests of `tests.integration.alive`: what it measures must not depend on its own threads.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.alive import measureWait, readWaits


class WaitTests(SynchronousTestCase):
    """The time that threads wait for a processor."""

    def test_threads(self) -> None:
        """The waits of all threads are added up, those of new threads included."""
        before = {"a": 1_000_000_000, "b": 0}
        self.assertEqual(measureWait(before, {"a": 1_500_000_000, "b": 250_000_000, "c": 250_000_000}), 1.0)

    def test_endedThread(self) -> None:
        """A thread that ends takes nothing away: the last events of a watch were seconds late without it."""
        self.assertEqual(measureWait({"a": 5_000_000_000, "b": 0}, {"b": 1_000_000_000}), 1.0)
        self.assertEqual(measureWait({"a": 5_000_000_000}, {}), 0.0)

    def test_ownThreads(self) -> None:
        """All threads of a process are found, and none of those that have ended."""
        going = threading.Event()
        thread = threading.Thread(target=going.wait)
        thread.start()
        during = readWaits(os.getpid())
        going.set()
        thread.join()
        name = f"/proc/{os.getpid()}/task/{thread.native_id}/schedstat"
        self.assertIn(name, during)
        # The system ends a thread some time after Python does.
        deadline = time.monotonic() + 60
        while Path(name).exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        self.assertNotIn(name, readWaits(os.getpid()))
