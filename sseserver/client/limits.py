"""
Limits of an `EventSource`: how long it waits, and the largest event that it accepts.

`opening` and `EventSource` keep them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sseserver.wire import MAX_EVENT_BYTES


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Limits of an `EventSource`. Exceeding one ends the response; `RetryPolicy` decides what follows.

    Args:
        connectTimeout: Seconds for the connection and, without `firstTimeout`, for the head of the response too. An
            agent that is passed to `EventSource` has its own limit for the connection.
        firstTimeout: Seconds from the request to the first byte of the body. `None` applies `silence` from the head.
        silence: Seconds without a byte, comments included, after which the connection counts as lost. `None` sets no
            limit: a server that vanishes without closing the connection is then never noticed.
        maxEventBytes: Bytes of the largest event; see `sseserver.wire.Decoder`.
    """

    connectTimeout: float = 30.0
    firstTimeout: float | None = None
    silence: float | None = None
    maxEventBytes: int = MAX_EVENT_BYTES

    @property
    def headTimeout(self) -> float:
        """Seconds from the request to the head of the response."""
        return self.connectTimeout if self.firstTimeout is None else self.firstTimeout


#: The limits without any choice.
DEFAULT_LIMITS = Limits()
