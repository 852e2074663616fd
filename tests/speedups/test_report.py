"""
Tests of `sseserver.speedups.report`.
"""

from __future__ import annotations

import os
import select

from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups import report
from sseserver.speedups.report import listSpeedups


class ListSpeedupsTests(SynchronousTestCase):
    """The list of the speedups."""

    def test_all(self) -> None:
        """
        With the Twisted that is installed all are on, where the system has epoll.
        """
        modules = [
            "accesslog",
            "body",
            "channel",
            "connecting",
            "direct",
            "heads",
            "headers",
            "intake",
            "readpath",
            "request",
            "tls",
            "transports",
        ]
        if not hasattr(select, "epoll"):
            modules.remove("intake")
            modules.remove("transports")
        if not hasattr(os, "memfd_create"):
            modules.remove("tls")
        self.assertEqual(listSpeedups(False), modules)

    def test_plain(self) -> None:
        """
        None is on where all are to be off.
        """
        self.assertEqual(listSpeedups(True), [])

    def test_failedProbe(self) -> None:
        """
        A speedup whose probe fails is not in the list.
        """
        self.patch(report, "seesChunks", lambda: False)
        self.assertNotIn("readpath", listSpeedups(False))
        self.assertNotIn("intake", listSpeedups(False))
