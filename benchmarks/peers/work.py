"""
The work of every peer in Python, so that all send events of the same size at the same pace.

* `GET /`: an event stream of its own, of the tokens `word1 `, `word2 ` … `word999 `, `word0 ` …, `RATE`
  per second (0: at once), `COUNT` of them (0: endless).
* `GET /watch`: the events published from now on; `POST /publish`: one event, the body is its data.
* `GET /idle`: a comment each `HEARTBEAT` seconds.

The three numbers are environment variables, because not every peer has a command line of its own.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

RATE = float(os.environ.get("RATE", "20"))
COUNT = int(os.environ.get("COUNT", "0"))
HEARTBEAT = float(os.environ.get("HEARTBEAT", "15"))

EPOCH = "ThisPeerThisPeerThisPe"  # 22 characters, as an epoch of sseserver

#: Header lines beside the content type. A framework may add its own.
HEADERS = {
    "Cache-Control": "no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def frame(number: int, data: bytes) -> bytes:
    """Return the event of a number."""
    return b"id: %b-%d\ndata: %b\n\n" % (EPOCH.encode(), number, data)


def token(number: int) -> bytes:
    """Return the text of a token."""
    return b"word%d " % (number % 1000)


def wait(begin: float, number: int) -> float:
    """Return the seconds until a token (from 1) is due, if the first was sent at `begin`: a late server catches up."""
    return max(0.0, begin + (number - 1) / RATE - time.monotonic()) if RATE else 0.0


_queues: set[asyncio.Queue[Any]] = set()
_published = 0


@contextmanager
def watching() -> Iterator[asyncio.Queue[Any]]:
    """Provide the queue of a viewer of published events."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    _queues.add(queue)
    try:
        yield queue
    finally:
        _queues.discard(queue)


def publish(make: Callable[[int], Any]) -> int:
    """Put an event, made of its number, into the queues of all viewers, and return the number."""
    global _published
    _published += 1
    event = make(_published)
    for queue in _queues:
        queue.put_nowait(event)
    return _published
