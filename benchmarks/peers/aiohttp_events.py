"""
Peer: aiohttp-sse on uvloop. `work.py` describes its work.
"""

import asyncio
import sys
import time

import uvloop
import work
from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response


async def run(request: web.Request) -> EventSourceResponse:
    """Answer `GET /`."""
    async with sse_response(request, headers=work.HEADERS, sep="\n") as response:
        begin, number = time.monotonic(), 0
        while response.is_connected() and (not work.COUNT or number < work.COUNT):
            number += 1
            if left := work.wait(begin, number):
                await asyncio.sleep(left)
            await response.send(work.token(number).decode(), id=f"{work.EPOCH}-{number}")
    return response


async def watch(request: web.Request) -> EventSourceResponse:
    """Answer `GET /watch`."""
    with work.watching() as queue:
        async with sse_response(request, headers=work.HEADERS, sep="\n") as response:
            while response.is_connected():
                data, number = await queue.get()
                await response.send(data, id=number)
    return response


async def idle(request: web.Request) -> EventSourceResponse:
    """Answer `GET /idle`."""
    async with sse_response(request, headers=work.HEADERS, sep="\n", ping_interval=work.HEARTBEAT) as response:
        await response.wait()
    return response


async def publish(request: web.Request) -> web.Response:
    """Answer `POST /publish`."""
    data = await request.text()
    work.publish(lambda number: (data, f"{work.EPOCH}-{number}"))
    return web.Response(status=202)


if __name__ == "__main__":
    application = web.Application()
    routes = [web.get("/", run), web.get("/watch", watch), web.get("/idle", idle), web.post("/publish", publish)]
    application.add_routes(routes)
    where = {"host": "127.0.0.1", "port": int(sys.argv[1]), "backlog": 4096, "loop": uvloop.new_event_loop()}
    web.run_app(application, access_log=None, shutdown_timeout=1, **where)
