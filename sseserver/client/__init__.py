"""An EventSource for Twisted."""

from sseserver.client.eventsource import EventSource
from sseserver.client.request import (
    ConnectionFailed,
    ConnectTimeout,
    EventSourceError,
    ResponseRefused,
    ResponseTruncated,
    SilenceTimeout,
    StatusError,
    Untrusted,
    WrongContentType,
)
from sseserver.client.states import State
from sseserver.errors import EventTooLarge
from sseserver.wire import Event

__all__ = [
    "ConnectTimeout",
    "ConnectionFailed",
    "Event",
    "EventSource",
    "EventSourceError",
    "EventTooLarge",
    "ResponseRefused",
    "ResponseTruncated",
    "SilenceTimeout",
    "State",
    "StatusError",
    "Untrusted",
    "WrongContentType",
]
