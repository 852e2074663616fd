"""
The test case of the APIs that start runs: the complete server on wires, with a scripted source.
"""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

from sseserver.formats import translatedlog
from sseserver.streams.followed import FLUSH_TICK
from sseserver.timing.turns import awaitTurn
from tests.http import Response
from tests.served import ServedTestCase
from tests.wires import Wire

COMPLETIONS = "/v1/chat/completions"


HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello there"}]}


class ChatTestCase(ServedTestCase):
    """
    The complete server, with a scripted source, and shortcuts for clients that ask for answers.
    """

    def post(self, path: str, body: object, **headers: str) -> Wire:
        """Post a body on a connection of its own; the answer may come later."""
        wire = self.connect(self.factory)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        wire.begin(path, "application/json", "POST", data, headers=told)
        return wire

    def watchTurns(self, module: ModuleType) -> list[object]:
        """Let a module seek a place in steps of ten entries; return a list that grows with each turn that it waits."""
        turns: list[object] = []

        def watch(clock: object) -> object:
            turns.append(clock)
            return awaitTurn(clock)

        self.patch(module, "awaitTurn", watch)
        self.patch(translatedlog, "READ_ENTRIES", 10)
        self.patch(translatedlog, "CHECKPOINT", 4)
        return turns

    def complete(self, **members: Any) -> Wire:
        """Ask for a completion in one piece."""
        return self.post(COMPLETIONS, {**HELLO, **members})

    def stream(self, **members: Any) -> Wire:
        """Ask for a completion as a stream."""
        return self.post(COMPLETIONS, {**HELLO, "stream": True, **members})

    def write(self, *tokens: str) -> None:
        """Let the newest run write tokens, each in a flush tick of its own."""
        for token in tokens:
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)

    def end(self, result: object = None) -> None:
        """Let the newest run end."""
        self.source.run.end(result)
        self.reactor.advance(FLUSH_TICK)

    def breakDown(self, error: Exception) -> None:
        """Let the newest run fail."""
        self.source.run.fail(error)
        self.reactor.advance(FLUSH_TICK)

    def text(self, response: Response) -> str:
        """Join the content of a completion's chunks."""
        chunks = [json.loads(event.data) for event in response.events if event.data != "[DONE]"]
        return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
