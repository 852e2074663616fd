"""
Damage: foreign values at our keys, and foreign messages on our channels.

All replies of Redis that show it become one error, `StoreDamaged`, here: an error of the type of a value, the word of a
script that has found nonsense (`scripts.py`), and nonsense that was read (`reader.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from twisted.logger import Logger

from sseserver.errors import StoreDamaged, StoreUnavailable
from sseserver.stores.redis.connection import Refused

log = Logger(__name__)

#: Seconds between two lines in the log about the same stream, key or channel.
PAUSE = 60.0

#: Number. Most streams, keys and channels of which lines are remembered. There are no more lines within the pause.
MANY = 1000

#: First word of the error of a script that has found foreign values. The key follows.
DAMAGED = "DAMAGED"

#: A key or a channel of a stream, as `Layout` names it.
_STREAM = re.compile(rb"[^{]*\{[0-9]+\}:(?:stream|entries|keys|tail):(.+)", re.DOTALL)

_MESSAGE = "The store has a foreign value in place of this, which cannot be read. Delete the stream if it is one."


class Complaints:
    """
    Lines in the log about foreign values and messages, one a minute for each stream.

    Args:
        seconds: Returns the time.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._told: dict[bytes, float] = {}

    def judge(self, refused: Refused, key: bytes) -> StoreUnavailable:
        """
        Return the error that stands for an error of Redis.

        Args:
            refused: The error.
            key: Key of the command.
        """
        if refused.word == DAMAGED:
            return self.report(refused.text.partition(" ")[2].encode("utf-8", "replace") or key)
        return self.report(key) if refused.word == "WRONGTYPE" else refused

    def report(self, key: bytes) -> StoreDamaged:
        """
        Say in the log that a key has a foreign value, and return the error.

        Args:
            key: The key.
        """
        found = _STREAM.fullmatch(key)
        if found is None:
            self._warn(key, "The key {place} has a foreign value.", key)
        else:
            text = "The stream {name} is damaged: its key {place} has a foreign value. Delete it to make a new one."
            self._warn(found[1], text, key, found[1])
        return StoreDamaged(_MESSAGE)

    def reportMessage(self, channel: bytes) -> None:
        """Say in the log that a foreign message has come, which is ignored."""
        self._warn(b"message:" + channel, "A foreign message on the channel {place} is ignored.", channel)

    def _warn(self, topic: bytes, text: str, place: bytes, name: bytes = b"") -> None:
        now = self._seconds()
        if 0 <= now - self._told.get(topic, now - PAUSE) < PAUSE:
            return
        if len(self._told) >= MANY:
            self._told = {each: told for each, told in self._told.items() if 0 <= now - told < PAUSE}
        if len(self._told) < MANY:
            self._told[topic] = now
            log.warn(text, place=place.decode("utf-8", "replace"), name=name.decode("utf-8", "replace"))  # noqa: G010 (a logger of Twisted)
