"""
Test case and constants of the tests of the service.
"""

from __future__ import annotations

import json
from typing import Any

from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.followed import FLUSH_TICK
from sseserver.values import Kind, Prompt
from tests.served import ServedTestCase
from tests.wires import Wire

#: Seconds. Slot width of the sweep ticker, and so the largest delay of a linger or an age.
SLOT = 0.25


#: A token of 16 KiB, the cost of its entry included.
LARGE = "x" * (16 * 1024 - ENTRY_COST)


class ServiceTestCase(ServedTestCase):
    """A service, with shortcuts to its streams."""

    def startLog(self, prompt: Prompt | None = None) -> Any:
        """Start a run and return its stream log."""
        return self.successResultOf(self.service.startRun(prompt))

    def watch(self, streamLog: Any, room: int | None = None) -> Wire:
        """Follow a log in the format `events`."""
        return self.view(f"/streams/{streamLog.name}", room=room)

    def terminal(self, streamLog: Any) -> tuple[str, dict[str, Any]]:
        """Return the kind of a log's terminal entry, as a word, and its members."""
        kind = Kind(streamLog.buffer.kinds[-1])
        return kind.name.lower(), json.loads(streamLog.buffer.entries[-1])

    def text(self, streamLog: Any) -> str:
        """Return the text of a log."""
        pairs = zip(streamLog.buffer.kinds, streamLog.buffer.entries, strict=True)
        return b"".join(data for kind, data in pairs if kind == Kind.TOKEN).decode()

    def write(self, *tokens: str) -> None:
        """Let the newest run write tokens, each in a flush tick of its own."""
        for token in tokens:
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)
