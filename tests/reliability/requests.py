"""
HTTP/1.1 requests of the clients.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.wire import Malformed, ReplyParser

#: Exceptions that the loss of a connection raises.
LOST = (OSError, TimeoutError, asyncio.IncompleteReadError)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A complete response.

    Attributes:
        status: Its status.
        body: Its body as JSON, or `None`.
    """

    status: int
    body: Any


async def send(
    port: int, head: tuple[str, str, dict[str, str]], body: bytes, onBody: Callable[[bytes], object], silence: float
) -> AsyncGenerator[ReplyParser, None]:
    """
    Send a request, and give the parser of its response after each read; once more at the end.

    Args:
        port: Port on 127.0.0.1.
        head: Method, path and header fields.
        body: Body of the request.
        onBody: Called with each piece of the body of the response.
        silence: Seconds without a byte after which the response is lost.

    Raises:
        OSError: The connection was lost; so do `TimeoutError` and `IncompleteReadError`.
    """
    method, path, fields = head
    async with asyncio.timeout(silence):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    parser = ReplyParser(method == "HEAD", onBody)
    try:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        while not parser.reply.complete:
            async with asyncio.timeout(silence):
                data = await reader.read(65_536)
            if not data:
                break
            parser.feed(data)
            yield parser
        if not parser.reply.complete:
            raise asyncio.IncompleteReadError(b"", None)
        yield parser
    finally:
        writer.transport.abort()


async def ask(port: int, method: str, path: str, fields: dict[str, str], body: bytes = b"") -> Answer:
    """
    Send a request, and return the whole response; status 0 if it was lost.

    Args:
        port: Port on 127.0.0.1.
        method: Its method.
        path: Its target.
        fields: Header fields.
        body: Its body.
    """
    parser = None
    try:
        async for each in send(port, (method, path, fields), body, bool, 12.0):
            parser = each
    except LOST:
        return Answer(0, None)
    except Malformed as error:
        return Answer(599, str(error))
    if parser is None:
        return Answer(0, None)
    try:
        return Answer(parser.reply.status, json.loads(parser.reply.body))
    except ValueError:
        return Answer(parser.reply.status, None)
