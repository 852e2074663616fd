"""
A peer: sse-starlette's `EventSourceResponse`, for uvicorn. Its work is in `work.py`.

    RATE=20 python -m uvicorn --app-dir benchmarks/peers --port 8123 starlette_events:application

A generator for each response, as its documentation has it; it sends its own comments.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import work
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

viewers: set[asyncio.Queue[ServerSentEvent]] = set()
published = 0


def event(number: int, data: str) -> ServerSentEvent:
    """
    An event with this number.
    """
    return ServerSentEvent(data, id=f"{work.EPOCH}-{number}", sep="\n")


async def tokens() -> AsyncIterator[ServerSentEvent]:
    """
    A stream of its own.
    """
    begin, number = time.monotonic(), 0
    while not work.COUNT or number < work.COUNT:
        number += 1
        if left := work.wait(begin, number):
            await asyncio.sleep(left)
        yield event(number, work.token(number).decode())


async def news() -> AsyncIterator[ServerSentEvent]:
    """
    What is published from now on.
    """
    queue: asyncio.Queue[ServerSentEvent] = asyncio.Queue()
    viewers.add(queue)
    try:
        while True:
            yield await queue.get()
    finally:
        viewers.discard(queue)


async def nothing() -> AsyncIterator[ServerSentEvent]:
    """
    No event.
    """
    await asyncio.Event().wait()
    yield event(0, "")


async def run(request: Request) -> Response:
    """Answer `GET /`."""
    return EventSourceResponse(tokens(), headers=work.HEADERS, sep="\n")


async def watch(request: Request) -> Response:
    """Answer `GET /watch`."""
    return EventSourceResponse(news(), headers=work.HEADERS, sep="\n")


async def idle(request: Request) -> Response:
    """Answer `GET /idle`."""
    return EventSourceResponse(nothing(), headers=work.HEADERS, ping=work.HEARTBEAT, sep="\n")


async def publish(request: Request) -> Response:
    """Answer `POST /publish`."""
    global published
    data = (await request.body()).decode()
    published += 1
    new = event(published, data)
    for queue in viewers:
        queue.put_nowait(new)
    return Response(status_code=202)


application = Starlette(
    routes=[
        Route("/", run),
        Route("/watch", watch),
        Route("/idle", idle),
        Route("/publish", publish, methods=["POST"]),
    ]
)
