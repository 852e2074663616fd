"""Tests of `sseserver.protocols.messages.estimate`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.protocols.messages import estimateTokens
from tests.protocols.messages.test_conversion import PNG
from tests.protocols.messages.test_request import ASKED, SOURCE


class EstimateTests(SynchronousTestCase):
    """The estimate of tokens."""

    def test_texts(self) -> None:
        """Four bytes of text are a token, and each message has four more."""
        self.assertEqual(estimateTokens(ASKED, SOURCE), 2 + 4)
        twice = {**ASKED, "system": "0123456789", "max_tokens": 1}
        self.assertEqual(estimateTokens(twice, SOURCE), -(-(10 + 5) // 4) + 8)

    def test_more(self) -> None:
        """Images have a number of their own; tool calls and tools count as text."""
        messages = [
            {"role": "user", "content": [PNG]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]},
        ]
        self.assertEqual(estimateTokens({**ASKED, "messages": messages}, SOURCE), 1600 + 8 + 2)
        tools = [{"name": "f", "description": "x" * 400, "input_schema": {}}]
        self.assertGreater(estimateTokens({**ASKED, "tools": tools}, SOURCE), 100)

    def test_refused(self) -> None:
        """A wrong body is refused, and so is another model. The limit of the answer need not be there."""
        self.assertRaises(InvalidMember, estimateTokens, {"model": "m"}, SOURCE)
        self.assertRaises(ModelNotFound, estimateTokens, {**ASKED, "model": "n"}, SOURCE)
        estimateTokens({name: ASKED[name] for name in ("model", "messages")}, SOURCE)
