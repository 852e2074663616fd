"""
Peer: bare ASGI without a framework, for uvicorn. `work.py` describes its work.

One task for each request, one `send` for each event, one queue for each viewer of published events.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import work

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

HEADERS = [(name.lower().encode(), value.encode()) for name, value in work.HEADERS.items()]
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream"), *HEADERS]}


def body(data: bytes, more: bool = True) -> dict[str, Any]:
    """Return a part of the response."""
    return {"type": "http.response.body", "body": data, "more_body": more}


async def cancelWithViewer(receive: Receive, task: asyncio.Task[None]) -> None:
    """End an endless response with its viewer: `send` itself does not raise after a disconnect."""
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


async def run(send: Send) -> None:
    """Send a stream of its own."""
    await send(START)
    begin, number = time.monotonic(), 0
    while not work.COUNT or number < work.COUNT:
        number += 1
        if left := work.wait(begin, number):
            await asyncio.sleep(left)
        await send(body(work.frame(number, work.token(number))))
    await send(body(b"", more=False))


async def watch(send: Send) -> None:
    """Send the events published from now on."""
    with work.watching() as queue:
        await send(START)
        await send(body(b":\n\n"))
        while True:
            await send(body(await queue.get()))


async def idle(send: Send) -> None:
    """Send heartbeats."""
    await send(START)
    while True:
        await send(body(b":\n\n"))
        await asyncio.sleep(work.HEARTBEAT)


async def publish(receive: Receive, send: Send, isJSON: bool) -> None:
    """Publish one event: the body is its data, or an object with them, which is answered with the event's number."""
    data, more = b"", True
    while more:
        part = await receive()
        data, more = data + part.get("body", b""), part.get("more_body", False)
    if isJSON:
        data = json.loads(data)["data"].encode()
    number = work.publish(lambda number: work.frame(number, data))
    answer = json.dumps({"first": number, "last": number}).encode() if isJSON else b""
    headers = [(b"content-type", b"application/json")] if isJSON else []
    headers.append((b"content-length", b"%d" % len(answer)))
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send(body(answer, more=False))


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer one request."""
    if scope["method"] == "POST":
        await publish(receive, send, scope["path"] == "/publish/json")
        return
    response = {"/watch": watch, "/idle": idle}.get(scope["path"], run)
    if response is run and work.COUNT:
        await run(send)  # ends by itself
        return
    task = asyncio.current_task()
    assert task is not None
    watcher = asyncio.ensure_future(cancelWithViewer(receive, task))
    try:
        await response(send)
    except asyncio.CancelledError:
        if not watcher.done():  # not by its viewer: the server stops
            raise
    finally:
        watcher.cancel()
