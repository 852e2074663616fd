"""
The list of the speedups that are on. `StreamService` logs it when it starts.
"""

from __future__ import annotations

import select

from sseserver.speedups.channel import readsHeads
from sseserver.speedups.headers import looksUpHeaders
from sseserver.speedups.privates import seesAbort, seesChunks, seesWaits
from sseserver.speedups.request import servesRequests
from sseserver.speedups.tlscontext import hasFastTLS
from sseserver.speedups.transports import managesReads
from sseserver.speedups.writequeue import resumesProducers, seesQueue


def listSpeedups(plain: bool) -> list[str]:
    """
    List the speedups that a process uses, each by the name of its module. `heads` is the reader of heads in `channel`.

    Args:
        plain: Whether all are off.

    Returns:
        The names, without the speedups whose probe failed or that the system does not support.
    """
    works = {
        "accesslog": True,
        "body": seesQueue(),
        "channel": True,
        "connecting": True,
        "direct": readsHeads() and seesWaits(),
        "heads": readsHeads(),
        "headers": looksUpHeaders(),
        "intake": seesChunks() and seesAbort() and hasattr(select, "epoll"),
        "readpath": seesChunks(),
        "request": servesRequests(),
        "tls": hasFastTLS(),
        "transports": hasattr(select, "epoll") and managesReads() and resumesProducers(),
    }
    return [] if plain else [name for name, isOn in works.items() if isOn]
