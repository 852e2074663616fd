"""
Upstream: an API in the manner of OpenAI's that answers each prompt with the text of a run, word by word.

Each chunk has a word, so each word is an entry of the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

from tests.reliability.world import PACE, TEXT

#: Seconds. A request that does not come within this time is given up.
_PATIENCE = 30.0

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Upstream:
    """
    The API. It works as long as its server does.

    Attributes:
        port: Its port on 127.0.0.1.
    """

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> Upstream:
        """Listen."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Listen no more. Answers that are under way end with the event loop."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_PATIENCE):
                    await _readRequest(reader)
                writer.write(_HEAD)
                for chunk in makeChunks():
                    writer.write(b"data: %b\n\n" % chunk)
                    await writer.drain()
                    await asyncio.sleep(PACE)
                writer.write(b"data: [DONE]\n\n")
                await writer.drain()
        finally:
            writer.close()


def makeChunks() -> list[bytes]:
    """Return the chunks of an answer. None is without text: it would be an entry that viewers do not see."""
    words = [f"{word} " for word in TEXT.split(" ")]
    chunks = []
    for number, word in enumerate(words, 1):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": "stop" if number == len(words) else None}
        chunks.append(json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode())
    return chunks


async def _readRequest(reader: asyncio.StreamReader) -> None:
    """Read a request with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    await reader.readexactly(int(fields.get(b"content-length", b"0")))
