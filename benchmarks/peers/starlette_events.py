"""
Peer: sse-starlette's `EventSourceResponse`, for uvicorn. `work.py` describes its work.

A generator for each response, as its documentation has it; it sends its own comments.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import work
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def event(number: int, data: str) -> ServerSentEvent:
    """Return the event of a number."""
    return ServerSentEvent(data, id=f"{work.EPOCH}-{number}", sep="\n")


async def tokens() -> AsyncIterator[ServerSentEvent]:
    """Yield the tokens of a stream."""
    begin, number = time.monotonic(), 0
    while not work.COUNT or number < work.COUNT:
        number += 1
        if left := work.wait(begin, number):
            await asyncio.sleep(left)
        yield event(number, work.token(number).decode())


async def news() -> AsyncIterator[ServerSentEvent]:
    """Yield the events published from now on."""
    with work.watching() as queue:
        while True:
            yield await queue.get()


async def nothing() -> AsyncIterator[ServerSentEvent]:
    """Yield no event."""
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
    data = (await request.body()).decode()
    work.publish(lambda number: event(number, data))
    return Response(status_code=202)


posts = [Route("/publish", publish, methods=["POST"])]
application = Starlette(routes=[Route("/", run), Route("/watch", watch), Route("/idle", idle), *posts])
