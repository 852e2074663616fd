"""
KeptPrompt: the prompt of one run, counted in the ledger until its source has it.

`RunStarter` packs it, and the run gives it to its source.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from hashlib import sha256
from typing import cast

from sseserver.protocols.jsonpieces import PLAIN, encodePieces, encodeUTF8
from sseserver.protocols.jsonsteps import readSteps
from sseserver.protocols.prompt import cutQuestion
from sseserver.streams.account import Account
from sseserver.values import LargePrompt, Prompt

#: Values of a prompt that was packed here. There are no more than its request was allowed to have.
_ANY = 2**31


class KeptPrompt:
    """
    A prompt on its way to the source.

    Args:
        prompt: The prompt. A large one is not packed yet: see `packSteps`.

    Attributes:
        isLarge: Whether the prompt is packed and unpacked in several turns of the reactor.
        isShared: Whether the store keeps it until the run ends. So long it is counted.
        packed: The prompt as JSON, until it is taken.
        question: The question that the state of the stream shows.
    """

    __slots__ = ("_account", "_digest", "_prompt", "_size", "isLarge", "isShared", "packed", "question")

    def __init__(self, prompt: Prompt) -> None:
        self.isLarge = isinstance(prompt, LargePrompt)
        self.isShared = False
        self.packed = b"" if self.isLarge else _pack(prompt)
        self.question = cutQuestion(prompt.text)
        self._prompt: Prompt | None = prompt
        self._size = len(self.packed)
        self._digest = sha256() if self.isLarge else None
        self._account: Account | None = None

    @property
    def digest(self) -> bytes:
        """Hash of the prompt."""
        return sha256(self.packed).digest() if self._digest is None else self._digest.digest()

    def packSteps(self, account: Account) -> Generator[None, None, None]:
        """
        Pack a large prompt, step by step.

        Args:
            account: Counts the prompt, as `count` does, from the first step on.
        """
        assert self._prompt is not None
        assert self._digest is not None
        self.count(account)
        # It grows in place: a copy of tens of megabytes would take longer than a turn may last.
        packed = bytearray()
        for piece in encodePieces(_list(self._prompt), PLAIN):
            packed += piece
            self._digest.update(piece)
            self._size += len(piece)
            account.used += len(piece)
            yield
        # As good as bytes: nothing changes it any more.
        self.packed = cast("bytes", packed)

    def count(self, account: Account) -> None:
        """Count the prompt in an account, in bytes of JSON, until `release`. Harmless if it is counted."""
        if self._account is None:
            account.add(self._size)
            self._account = account

    def wait(self) -> None:
        """Keep only the bytes: they take far less than the objects."""
        self._prompt = None

    def take(self) -> Prompt:
        """Return the prompt for the source, once; nothing of it is kept here."""
        prompt = self._prompt or unpackPrompt(self.packed)
        self._prompt = None
        self.packed = b""
        return prompt

    def takeSteps(self) -> Generator[None, None, Prompt]:
        """Return a large prompt for the source, step by step. See `take`."""
        if self._prompt is not None:
            return self.take()
        packed, self.packed = self.packed, b""
        text, messages, options = yield from readSteps(packed, _ANY)
        return LargePrompt(text, messages or (), options)

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


def _list(prompt: Prompt) -> list[object]:
    return [prompt.text, list(prompt.messages), dict(prompt.options)]


def _pack(prompt: Prompt) -> bytes:
    """Write a prompt as JSON."""
    # A copy, because msgspec leaves room to grow behind what it writes.
    return bytes(memoryview(encodeUTF8(_list(prompt))))


def unpackPrompt(packed: bytes) -> Prompt:
    """
    Read a prompt that was packed.

    Args:
        packed: See `KeptPrompt.packed`.

    Raises:
        ValueError: It is no such prompt.
        TypeError: It is JSON of something else.
    """
    text, messages, options = json.loads(packed)
    return Prompt(text, messages or (), options)
