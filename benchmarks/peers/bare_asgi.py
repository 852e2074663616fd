"""
A peer: bare ASGI, without any framework, for uvicorn. Its work is in `work.py`.

    RATE=20 python -m uvicorn --app-dir benchmarks/peers --port 8123 bare_asgi:application

One task for each request, one `send` for each event, a queue for each viewer of what is published.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import work

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HEADERS = [(name.lower().encode(), value.encode()) for name, value in work.HEADERS.items()]
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), *HEADERS],
}

viewers: set[asyncio.Queue[bytes]] = set()
published = 0


def body(data: bytes, more: bool = True) -> dict[str, Any]:
    """
    A part of the response.
    """
    return {"type": "http.response.body", "body": data, "more_body": more}


async def leftIn(receive: Receive, task: asyncio.Task[None]) -> None:
    """
    End an endless response with its viewer: `send` itself is silent about one that is gone.
    """
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


async def run(send: Send) -> None:
    """
    A stream of its own.
    """
    await send(START)
    begin, number = time.monotonic(), 0
    while not work.COUNT or number < work.COUNT:
        number += 1
        if left := work.wait(begin, number):
            await asyncio.sleep(left)
        await send(body(work.frame(number, work.token(number))))
    await send(body(b"", more=False))


async def watch(send: Send) -> None:
    """
    What is published from now on.
    """
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    viewers.add(queue)
    try:
        await send(START)
        await send(body(b":\n\n"))
        while True:
            await send(body(await queue.get()))
    finally:
        viewers.discard(queue)


async def idle(send: Send) -> None:
    """
    Heartbeats.
    """
    await send(START)
    while True:
        await send(body(b":\n\n"))
        await asyncio.sleep(work.HEARTBEAT)


async def publish(receive: Receive, send: Send) -> None:
    """
    One event for all viewers.
    """
    global published
    data, more = b"", True
    while more:
        part = await receive()
        data, more = data + part.get("body", b""), part.get("more_body", False)
    published += 1
    event = work.frame(published, data)
    for queue in viewers:
        queue.put_nowait(event)
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
    await send(body(b"", more=False))


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """
    One request.
    """
    if scope["method"] == "POST":
        await publish(receive, send)
        return
    response = {"/watch": watch, "/idle": idle}.get(scope["path"], run)
    if response is run and work.COUNT:
        await run(send)  # ends by itself
        return
    task = asyncio.current_task()
    assert task is not None
    watcher = asyncio.ensure_future(leftIn(receive, task))
    try:
        await response(send)
    except asyncio.CancelledError:
        if not watcher.done():  # it was not the viewer that left: the server ends
            raise
    finally:
        watcher.cancel()
