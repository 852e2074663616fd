"""
KeptPrompt: the prompt of one run, counted in the ledger until its source has it.
"""

from __future__ import annotations

import json

import msgspec

from sseserver.jsontext import toJSON
from sseserver.protocols.prompt import cutQuestion
from sseserver.streams.account import Account
from sseserver.values import Prompt


class KeptPrompt:
    """
    A prompt on its way to the source.

    Args:
        prompt: The prompt.

    Attributes:
        packed: The prompt as JSON, until it is taken.
        question: The question that the state of the stream shows.
    """

    __slots__ = ("_account", "_prompt", "_size", "packed", "question")

    def __init__(self, prompt: Prompt) -> None:
        self.packed = _pack(prompt)
        self.question = cutQuestion(prompt.text)
        self._prompt: Prompt | None = prompt
        self._size = len(self.packed)
        self._account: Account | None = None

    def count(self, account: Account) -> None:
        """Count the prompt in an account, in bytes of JSON, until `release`."""
        account.add(self._size)
        self._account = account

    def wait(self) -> None:
        """Keep only the bytes: they take far less than the objects."""
        self._prompt = None

    def take(self) -> Prompt:
        """Return the prompt for the source, once; nothing of it is kept here."""
        prompt = self._prompt or _unpack(self.packed)
        self._prompt = None
        self.packed = b""
        return prompt

    def release(self) -> None:
        """Count the prompt no longer. Harmless if it is not counted."""
        self.wait()
        self.packed = b""
        if self._account is not None:
            self._account.subtract(self._size)
            self._account = None


def takePrompt(prompt: KeptPrompt | None) -> Prompt | None:
    """Return what a source gets: see `KeptPrompt.take`."""
    return None if prompt is None else prompt.take()


def _pack(prompt: Prompt) -> bytes:
    """Write a prompt as JSON."""
    value = [prompt.text, list(prompt.messages), dict(prompt.options)]
    try:
        # A copy, because msgspec leaves room to grow behind what it writes.
        return bytes(memoryview(msgspec.json.encode(value)))
    except UnicodeEncodeError:
        # A lone surrogate, of a program's own.
        return toJSON(value)


def _unpack(packed: bytes) -> Prompt:
    """Read a prompt that `_pack` wrote."""
    text, messages, options = json.loads(packed)
    return Prompt(text, messages or (), options)
