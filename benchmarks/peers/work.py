"""
The work that every peer in Python does, so that all send events of the same size at the same pace.

Each answers

* `GET /` with an event stream of its own, of the tokens `word1 `, `word2 ` ... `word999 `, `word0 ` ..., `RATE` a
  second (0: as fast as it goes), endless or `COUNT` of them;
* `GET /watch` with the events that are published from now on, and `POST /publish` with that, its body being the data;
* `GET /idle` with a comment each `HEARTBEAT` seconds.

The three numbers are variables of the environment, for not every peer has a command line of its own.
"""

from __future__ import annotations

import os
import time

RATE = float(os.environ.get("RATE", "20"))
COUNT = int(os.environ.get("COUNT", "0"))
HEARTBEAT = float(os.environ.get("HEARTBEAT", "15"))

#: As long as an epoch of sseserver.
EPOCH = "ThisPeerThisPeerThisPe"

#: Beside the content type. What a framework sets by itself it may set.
HEADERS = {
    "Cache-Control": "no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


def frame(number: int, data: bytes) -> bytes:
    """
    An event with this number.
    """
    return b"id: %b-%d\ndata: %b\n\n" % (EPOCH.encode(), number, data)


def token(number: int) -> bytes:
    """
    A token's text.
    """
    return b"word%d " % (number % 1000)


def wait(begin: float, number: int) -> float:
    """
    Seconds until a token is due: a server that is late makes up for it.

    Args:
        begin: When the first one was sent, monotonic.
        number: The token's, from 1.
    """
    return max(0.0, begin + (number - 1) / RATE - time.monotonic()) if RATE else 0.0
