"""
An upstream: answers every request with one tool call in many pieces, as fast as they are read.

    python benchmarks/peers/pieces.py PORT PIECES
"""

import json
import socketserver
import sys
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

#: Characters of the arguments in one piece.
SIZE = 100


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """Return the event of a chunk."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode()


def answer(pieces: int) -> bytes:
    """Return the whole answer."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "write", "arguments": ""}}
    piece = event({"tool_calls": [{"index": 0, "function": {"arguments": "x" * SIZE}}]})
    return HEAD + event({"tool_calls": [call]}) + piece * pieces + event({}, "tool_calls") + b"data: [DONE]\n\n"


class Handler(socketserver.StreamRequestHandler):
    """One request."""

    def handle(self) -> None:
        """Read the request and send the answer."""
        length = 0
        while (line := self.rfile.readline()).strip():
            name, _, value = line.lower().partition(b":")
            length = int(value) if name == b"content-length" else length
        self.rfile.read(length)
        self.wfile.write(answer(int(sys.argv[2])))


if __name__ == "__main__":
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
