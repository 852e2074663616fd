"""Tests for `sseserver.apis.admin.missing`."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from sseserver.apis.admin.missing import MISSING, warnMissing


class MissingTests(SynchronousTestCase):
    """Metrics without their package."""

    def test_warn(self) -> None:
        """The log has the same sentence as the answer."""
        with capturedLogs() as events:
            warnMissing()
        self.assertEqual([formatEvent(event) for event in events], [MISSING])
