"""
Tests for `sseserver.protocols.chatcompletions.content`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.chatcompletions.content import listTexts, textOf


class ContentTests(SynchronousTestCase):
    """The text of a message's content."""

    def test_textOf(self) -> None:
        """
        The text is that of a string, or of the parts that have text; other values have none.
        """
        parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"text": 1}, "x", {"text": "b"}]
        for content, text in (("a", "a"), (parts, "ab"), ([], ""), (None, ""), (1, ""), ({"text": "a"}, "")):
            self.assertEqual(textOf(content), text)
            self.assertEqual("".join(listTexts(content)), text)
        self.assertEqual(listTexts(parts), ["a", "b"])
