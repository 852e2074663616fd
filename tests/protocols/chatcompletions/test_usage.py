"""
Tests for `sseserver.protocols.chatcompletions.usage`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.chatcompletions.usage import COUNTED, countWords, wantsUsage
from sseserver.values import Prompt


class UsageTests(SynchronousTestCase):
    """The usage of an answer."""

    def test_words(self) -> None:
        """
        Each word of each message counts as a token, in parts as well; without messages, each word
        of the prompt.
        """
        messages = [{"content": "one two"}, {"content": [{"text": "three"}, {"type": "image"}]}, {"content": None}]
        self.assertEqual(countWords(Prompt("two", messages)), 3)
        self.assertEqual(countWords(Prompt(" one\ntwo ")), 2)

    def test_longText(self) -> None:
        """
        The words of a long text are estimated from its beginning, so that a prompt of 32 MiB does
        not stop the reactor.
        """
        self.assertEqual(countWords(Prompt("word " * (COUNTED // 5))), COUNTED // 5)
        self.assertEqual(countWords(Prompt("a " * (COUNTED // 2) + "x" * 3 * COUNTED)), COUNTED * 2)
        self.assertEqual(countWords(Prompt("", [{"content": "x" * COUNTED + " y z"}])), 1)

    def test_wanted(self) -> None:
        """
        The usage is reported only if the request asks for it with `true`.
        """
        self.assertTrue(wantsUsage(Prompt("", options={"stream_options": {"include_usage": True}})))
        for options in ({}, {"stream_options": None}, {"stream_options": {"include_usage": 1}}, {"stream_options": 1}):
            self.assertFalse(wantsUsage(Prompt("", options=options)), options)
