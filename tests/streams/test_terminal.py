"""
Tests of `sseserver.streams.terminal`: the bytes of terminal entries, which are stored.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.streams.terminal import packCancelled, packDone, packFailed, packRestart
from sseserver.values import Kind, Reason


class TerminalTests(SynchronousTestCase):
    """Terminal entries."""

    def test_done(self) -> None:
        """
        The entry `done` has its reason and the number of tokens, then the further members.
        """
        self.assertEqual(packDone(Reason.STOP, 2), (Kind.DONE, b'{"reason":"stop","tokens":2}'))
        self.assertEqual(
            packDone("own", 0, {"usage": {"total_tokens": 3}}),
            (Kind.DONE, b'{"reason":"own","tokens":0,"usage":{"total_tokens":3}}'),
        )

    def test_failed(self) -> None:
        """
        The entry `failed` has the members of the error, in ASCII.
        """
        self.assertEqual(
            packFailed(SourceError("Tr\u00e8s lent.", "busy", 429, 7)),
            (Kind.FAILED, b'{"reason":"busy","message":"Tr\\u00e8s lent.","status":429,"retryAfter":7}'),
        )
        self.assertEqual(
            packFailed(SourceError("Stopped.", Reason.SHUTDOWN)),
            (Kind.FAILED, b'{"reason":"shutdown","message":"Stopped."}'),
        )

    def test_cancelled(self) -> None:
        """
        The entry `cancelled` has its reason.
        """
        self.assertEqual(packCancelled(Reason.ASKED), (Kind.CANCELLED, b'{"reason":"asked"}'))

    def test_restart(self) -> None:
        """
        The entry `restart` has its reason and the number of restarts, or a place for it.
        """
        self.assertEqual(packRestart(2), (Kind.RESTART, b'{"reason":"interrupted","restarts":2}'))
        self.assertEqual(packRestart("%d"), (Kind.RESTART, b'{"reason":"interrupted","restarts":%d}'))
