"""
A peer: tornado, one `write` and `flush` an event. Its work is in `work.py`.

    RATE=20 python benchmarks/peers/tornado_events.py 8123
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

import work
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

viewers: set[asyncio.Queue[bytes]] = set()
published = 0


class EventStream(RequestHandler):
    """
    A response with an event stream.
    """

    def set_default_headers(self) -> None:
        """Set the headers."""
        self.set_header("Content-Type", "text/event-stream")
        for name, value in work.HEADERS.items():
            self.set_header(name, value)

    def initialize(self) -> None:
        """Wait for nothing yet."""
        self.task: asyncio.Task[None] | None = None

    def on_connection_close(self) -> None:
        """Stop what waits for something to send."""
        if self.task is not None:
            self.task.cancel()

    async def get(self) -> None:
        """Answer."""
        self.task = asyncio.current_task()
        with contextlib.suppress(StreamClosedError, asyncio.CancelledError):
            await self.stream()

    async def stream(self) -> None:
        """Send the events."""
        raise NotImplementedError


class Run(EventStream):
    """
    A stream of its own.
    """

    async def stream(self) -> None:
        """Send the tokens."""
        begin, number = time.monotonic(), 0
        while not work.COUNT or number < work.COUNT:
            number += 1
            if left := work.wait(begin, number):
                await asyncio.sleep(left)
            self.write(work.frame(number, work.token(number)))
            await self.flush()


class Watch(EventStream):
    """
    What is published from now on.
    """

    async def stream(self) -> None:
        """Send what the queue has."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        viewers.add(queue)
        try:
            self.write(b":\n\n")
            while True:
                await self.flush()
                self.write(await queue.get())
        finally:
            viewers.discard(queue)


class Idle(EventStream):
    """
    Heartbeats.
    """

    async def stream(self) -> None:
        """Send them."""
        while True:
            self.write(b":\n\n")
            await self.flush()
            await asyncio.sleep(work.HEARTBEAT)


class Publish(RequestHandler):
    """
    Takes one event for all viewers.
    """

    def post(self) -> None:
        """Put it into all queues."""
        global published
        published += 1
        event = work.frame(published, self.request.body)
        for queue in viewers:
            queue.put_nowait(event)
        self.set_status(202)


async def main() -> None:
    """
    Serve until SIGTERM.
    """
    application = Application(
        [("/", Run), ("/watch", Watch), ("/idle", Idle), ("/publish", Publish)], log_function=lambda _: None
    )
    server = HTTPServer(application)
    server.listen(int(sys.argv[1]), "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
