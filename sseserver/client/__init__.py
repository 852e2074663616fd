"""Public names of the client: an EventSource for Twisted programs."""

from sseserver.client.errors import (
    ConnectionFailed,
    ConnectTimeout,
    EventSourceError,
    NotHTTP,
    ResponseRefused,
    ResponseTruncated,
    SilenceTimeout,
    StatusError,
    Unanswered,
    Untrusted,
    WrongContentCoding,
    WrongContentType,
)
from sseserver.client.eventsource import EventSource
from sseserver.client.limits import Limits
from sseserver.client.request import Request
from sseserver.client.retry import RetryPolicy
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
    "Limits",
    "NotHTTP",
    "Request",
    "ResponseRefused",
    "ResponseTruncated",
    "RetryPolicy",
    "SilenceTimeout",
    "State",
    "StatusError",
    "Unanswered",
    "Untrusted",
    "WrongContentCoding",
    "WrongContentType",
]
