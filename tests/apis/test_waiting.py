"""
Tests of the memory of clients that wait for an answer in one piece.
"""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

from tests.apis.cases import ScriptedTestCase

#: Characters.
LONG = 1 << 20


class WaitingTests(ScriptedTestCase):
    """Requests for an answer in one piece, of all APIs that have one."""

    takesPrompt = True

    def measure(self, path: str, body: dict[str, Any]) -> int:
        """Return the bytes that a client takes while it waits, after the source has taken the prompt."""
        content = json.dumps(body).encode()
        before = tracemalloc.get_traced_memory()[0]
        wire = self.connect(self.factory)
        length = f"Content-Length: {len(content)}\r\n\r\n"
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{length}"
        runs = len(self.source.runs)
        wire.send(head.encode() + content)
        self.reactor.run(1)
        self.assertEqual(len(self.source.runs), runs + 1, path)
        self.write("a")
        self.source.run.prompt = None
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    def test_prompt(self) -> None:
        """Nothing of the prompt is kept after its run has begun."""
        text = "x" * LONG
        messages = [{"role": "user", "content": text}]
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for path, body in (
            ("/v1/chat/completions", {"messages": messages}),
            ("/v1/completions", {"prompt": text}),
            ("/v1/messages", {"model": "script", "max_tokens": 9, "messages": messages}),
            ("/v1/responses", {"input": text, "store": False}),
        ):
            self.assertLess(self.measure(path, body), LONG // 2, path)
