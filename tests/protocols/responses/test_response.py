"""
Tests for `sseserver.protocols.responses.response`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.chatcompletions import Usage
from sseserver.protocols.responses.response import Identity, Outcome, describeResponse, readOutcome
from sseserver.values import Kind
from tests.protocols.responses.judge import judgeResponse


class ResponseTests(SynchronousTestCase):
    """The object."""

    def test_described(self) -> None:
        """A response is as the specification says; the members of its request replace the usual ones."""
        identity = Identity("n", 5, "parrot")
        asked = {"temperature": 0.5, "model": "m"}
        response = describeResponse(identity, asked, Outcome("in_progress"), [], Usage(1, 2, 1, 1))
        self.assertEqual((response["temperature"], response["model"], response["top_p"]), (0.5, "m", 1.0))
        self.assertEqual(
            response["usage"],
            {
                "input_tokens": 1,
                "input_tokens_details": {"cached_tokens": 1},
                "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 1},
                "total_tokens": 3,
            },
        )
        judgeResponse(response)

    def test_outcome(self) -> None:
        """A time that is none is left out; a failure without a message has one all the same."""
        self.assertEqual(readOutcome(Kind.DONE, {"ended": "x"}), Outcome("completed"))
        failed = readOutcome(Kind.FAILED, {"reason": "exit"})
        self.assertEqual(failed.error, {"code": "server_error", "message": "The answer failed (exit)."})
