"""
Tests for `sseserver.settings`.
"""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError

from twisted.trial.unittest import SynchronousTestCase

from sseserver.settings import Settings


class SettingsTests(SynchronousTestCase):
    """`Settings`."""

    def test_defaults(self) -> None:
        """The defaults are the documented ones."""
        self.patch(os, "environ", {})
        settings = Settings()
        self.assertEqual(
            settings,
            Settings(
                heartbeat=15.0,
                reconnectionTime=3000,
                linger=60.0,
                maxViewers=10_000,
                idle=86_400,
                maxRuns=10_000,
                maxWaiting=1000,
                stall=30.0,
                keep=600.0,
                window=16 * 1024 * 1024,
                maxBytes=512 * 1024 * 1024,
                maxStreams=100_000,
                readAhead=1024 * 1024,
                drain=30.0,
                plain=False,
            ),
        )
        self.assertEqual(settings.kept, 15 * 1024 * 1024)

    def test_plain(self) -> None:
        """The environment sets the default of `plain`, each time settings are made."""
        self.patch(os, "environ", {"SSESERVER_PLAIN": "1"})
        self.assertIs(Settings().plain, True)
        self.assertIs(Settings(plain=False).plain, False)
        del os.environ["SSESERVER_PLAIN"]
        self.assertIs(Settings().plain, False)

    def test_frozen(self) -> None:
        """Settings do not change while a service runs."""
        with self.assertRaises(FrozenInstanceError):
            Settings().window = 1  # type: ignore[misc]
