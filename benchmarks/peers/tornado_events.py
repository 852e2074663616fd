"""
Peer: tornado, one `write` and `flush` an event. `work.py` describes its work.
"""

import asyncio
import contextlib
import sys
import time

import work
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler


class EventStream(RequestHandler):
    """A response with an event stream."""

    task: asyncio.Task[None] | None = None

    def set_default_headers(self) -> None:
        """Set the headers."""
        self.set_header("Content-Type", "text/event-stream")
        for name, value in work.HEADERS.items():
            self.set_header(name, value)

    def on_connection_close(self) -> None:
        """Stop the task."""
        if self.task is not None:
            self.task.cancel()

    async def get(self) -> None:
        """Answer."""
        self.task = asyncio.current_task()
        with contextlib.suppress(StreamClosedError, asyncio.CancelledError):
            await self.stream()


class Run(EventStream):
    """A stream of its own."""

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
    """The events published from now on."""

    async def stream(self) -> None:
        """Send the events of a queue."""
        with work.watching() as queue:
            self.write(b":\n\n")
            while True:
                await self.flush()
                self.write(await queue.get())


class Idle(EventStream):
    """Heartbeats."""

    async def stream(self) -> None:
        """Send them."""
        while True:
            self.write(b":\n\n")
            await self.flush()
            await asyncio.sleep(work.HEARTBEAT)


class Publish(RequestHandler):
    """Publishing of one event."""

    def post(self) -> None:
        """Put it into all queues."""
        work.publish(lambda number: work.frame(number, self.request.body))
        self.set_status(202)


async def main() -> None:
    """Serve until SIGTERM."""
    routes = [("/", Run), ("/watch", Watch), ("/idle", Idle), ("/publish", Publish)]
    server = HTTPServer(Application(routes, log_function=lambda _: None))
    server.listen(int(sys.argv[1]), "127.0.0.1", backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
