"""
Tests of `sseserver.service.prompts`: the prompt of a run on its way to the source.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.service.prompts import KeptPrompt, takePrompt
from sseserver.streams.account import Account
from sseserver.values import Prompt

PROMPT = Prompt("é📖", [{"role": "user", "content": "é📖"}], {"seed": 10**30, "x": [[], {}, None, 1.5]})


class KeptPromptTests(SynchronousTestCase):
    """One prompt."""

    def test_unchanged(self) -> None:
        """The source gets the same prompt, whether it was kept as bytes or not."""
        for waits in (False, True):
            kept = KeptPrompt(PROMPT)
            if waits:
                kept.wait()
            taken = takePrompt(kept)
            self.assertEqual(taken, PROMPT)
            self.assertEqual(taken is PROMPT, not waits)
            self.assertEqual(kept.packed, b"")
        self.assertIsNone(takePrompt(None))

    def test_surrogate(self) -> None:
        """A lone surrogate, which only a program can send, is kept."""
        kept = KeptPrompt(Prompt("\ud800"))
        kept.wait()
        self.assertEqual(kept.take().text, "\ud800")

    def test_counted(self) -> None:
        """The account has the bytes until the release, which is harmless when it is repeated."""
        account = Account()
        kept = KeptPrompt(PROMPT)
        size = len(kept.packed)
        kept.release()
        kept = KeptPrompt(PROMPT)
        kept.count(account)
        self.assertEqual((account.used, account.count), (size, 1))
        kept.take()
        self.assertEqual(account.used, size)
        kept.release()
        kept.release()
        self.assertEqual((account.used, account.count), (0, 0))
