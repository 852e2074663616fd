"""
Tests for `sseserver.protocols.prompt`.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.errors import InvalidMember, ModelNotFound
from sseserver.interfaces import IModels
from sseserver.protocols.prompt import LONGEST_QUESTION, Part, checkModel, checkText, cutQuestion, lastOfUser, readText
from tests.served import ScriptedSource


@implementer(IModels)
class ManyModels(ScriptedSource):
    """A source that has several models."""

    def models(self) -> Deferred[list[str]]:
        return succeed(["small", "large"])


class PromptTests(SynchronousTestCase):
    """The checks that all requests share."""

    def test_checkModel(self) -> None:
        """
        A source of one model accepts its name or none; one of several accepts every name.
        """
        checkModel(None, ScriptedSource())
        checkModel("script", ScriptedSource())
        checkModel("any", ManyModels())
        self.assertIn("'any'", str(self.assertRaises(ModelNotFound, checkModel, "any", ScriptedSource())))

    def test_checkText(self) -> None:
        """
        Text is required by a source of one model that takes prompts; the error names the member.
        """
        checkText("a", ScriptedSource(takesPrompt=True), "prompt")
        checkText("", ScriptedSource(), "prompt")
        checkText("", ManyModels(takesPrompt=True), "prompt")
        error = self.assertRaises(InvalidMember, checkText, "", ScriptedSource(takesPrompt=True), "prompt")
        self.assertEqual(error.param, "prompt")

    def test_F99_cutQuestion(self) -> None:
        """
        F99: a question of up to `LONGEST_QUESTION` characters is kept as it is; a longer one is cut.
        """
        for text in ("", "Why, ö?\n\x00", "x" * LONGEST_QUESTION):
            self.assertEqual(cutQuestion(text), text)
        self.assertEqual(cutQuestion("x" * (LONGEST_QUESTION + 1)), "x" * (LONGEST_QUESTION - 1) + "…")
        self.assertEqual(cutQuestion("a\ud800b"), "a?b")

    def test_readText(self) -> None:
        """
        The text of a message is a string, or that of its parts of type `text`, which must have one.
        """
        parts = [Part("text", "a"), Part("image"), Part("file", "x"), Part("text", "b")]
        for content, text in (("a", "a"), (None, ""), (parts, "ab"), ([], "")):
            self.assertEqual(readText(content, "content"), text)
        error = self.assertRaises(InvalidMember, readText, [Part("image"), Part("text")], "messages[0].content")
        self.assertEqual(error.param, "messages[0].content[1].text")
        self.assertEqual(str(error), "`messages[0].content[1]`: a part of type `text` needs a member `text`.")

    def test_lastOfUser(self) -> None:
        """
        The text is that of the last message whose role is `user`.
        """
        self.assertEqual(lastOfUser(["user", "user", "tool"], ["a", "b", "c"]), "b")
        self.assertEqual(lastOfUser(["system"], ["a"]), "")
