"""
Tests for `sseserver.worker.program`: a worker that nobody has assigned. tests/integration/test_workers.py has the rest.
"""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from sseserver.worker import main


class MainTests(SynchronousTestCase):
    """`main` without a pool."""

    def test_alone(self) -> None:
        """A person who starts it by hand is told the command."""
        for words in ([], ["x"], ["99999"]):
            with self.assertRaises(SystemExit) as caught:
                main(words)
            self.assertIn("twistd sseserver --workers", str(caught.exception))

    def test_left(self) -> None:
        """The same holds for a pool that has ended before its first word."""
        ours, theirs = socket.socketpair()
        ours.close()
        with self.assertRaises(SystemExit):
            main([str(theirs.detach())])
