"""
A peer: aiohttp-sse on uvloop. Its work is in `work.py`.

    RATE=20 python benchmarks/peers/aiohttp_events.py 8123
"""

from __future__ import annotations

import asyncio
import sys
import time

import uvloop
import work
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

viewers: set[asyncio.Queue[tuple[str, str]]] = set()
published = 0


def identifier(number: int) -> str:
    """An event's ID."""
    return f"{work.EPOCH}-{number}"


async def run(request: web.Request) -> EventSourceResponse:
    """
    Answer `GET /`: a stream of its own.
    """
    async with sse_response(request, headers=work.HEADERS, sep="\n") as response:
        begin, number = time.monotonic(), 0
        while response.is_connected() and (not work.COUNT or number < work.COUNT):
            number += 1
            if left := work.wait(begin, number):
                await asyncio.sleep(left)
            await response.send(work.token(number).decode(), id=identifier(number))
    return response


async def watch(request: web.Request) -> EventSourceResponse:
    """
    Answer `GET /watch`: what is published from now on.
    """
    queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    viewers.add(queue)
    try:
        async with sse_response(request, headers=work.HEADERS, sep="\n") as response:
            while response.is_connected():
                data, number = await queue.get()
                await response.send(data, id=number)
    finally:
        viewers.discard(queue)
    return response


async def idle(request: web.Request) -> EventSourceResponse:
    """
    Answer `GET /idle`: its own comments.
    """
    async with sse_response(request, headers=work.HEADERS, sep="\n", ping_interval=work.HEARTBEAT) as response:
        await response.wait()
    return response


async def publish(request: web.Request) -> web.Response:
    """
    Answer `POST /publish`: one event for all viewers.
    """
    global published
    data = await request.text()
    published += 1
    for queue in viewers:
        queue.put_nowait((data, identifier(published)))
    return web.Response(status=202)


def main() -> None:
    """
    Serve until SIGTERM.
    """
    application = web.Application()
    application.add_routes(
        [web.get("/", run), web.get("/watch", watch), web.get("/idle", idle), web.post("/publish", publish)]
    )
    web.run_app(
        application,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        backlog=4096,
        access_log=None,
        shutdown_timeout=1,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
