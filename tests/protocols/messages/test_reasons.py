"""Tests of `sseserver.protocols.messages.reasons`; those of the translator show more."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.chatcompletions import Usage
from sseserver.protocols.messages.reasons import convertReason, convertUsage


class ReasonTests(SynchronousTestCase):
    """Stop reasons and usage."""

    def test_reasons(self) -> None:
        """The reason of the source counts before the content of the answer; anything unknown is the end of a turn."""
        for reason, hasCalls, refuses, stop in (
            ("stop", False, False, "end_turn"),
            (None, False, False, "end_turn"),
            ("stop", True, False, "tool_use"),
            ("stop", True, True, "refusal"),
            ("length", True, True, "max_tokens"),
        ):
            self.assertEqual(convertReason(reason, hasCalls, refuses), stop)

    def test_usage(self) -> None:
        """Tokens from a cache are no input tokens, and no number is negative."""
        self.assertEqual(convertUsage(Usage(9, 4, 6, 1))["input_tokens"], 3)
        self.assertEqual(convertUsage(Usage(1, 4, 6, 1))["input_tokens"], 0)
