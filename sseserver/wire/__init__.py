"""
The event stream format, both ways and without I/O: `encode` writes events, `Decoder` reads them as EventSource does.

The grammar (WHATWG HTML 9.2.5, "Parsing an event stream")::

    stream      = [ bom ] *event
    event       = *( comment / field ) end-of-line
    comment     = colon *any-char end-of-line
    field       = 1*name-char [ colon [ space ] *any-char ] end-of-line
    end-of-line = ( cr lf / cr / lf )

    lf          = %x000A
    cr          = %x000D
    space       = %x0020
    colon       = %x003A
    bom         = %xFEFF
    name-char   = %x0000-0009 / %x000B-000C / %x000E-0039 / %x003B-10FFFF
    any-char    = %x0000-0009 / %x000B-000C / %x000E-10FFFF

The meaning of the lines is in 9.2.6, "Interpreting an event stream". In this module a *block* is the `event` of the
grammar, the lines up to an empty one; an *event* is what EventSource dispatches. A block without data is no event.
"""

from sseserver.wire.block import continued, dataLines, writeBlock
from sseserver.wire.decoder import MAX_EVENT_BYTES, Decoder, wholeEvent
from sseserver.wire.encoder import (
    DEFAULT_TYPE,
    HEARTBEAT,
    MAX_RECONNECTION_TIME,
    Event,
    checkID,
    checkType,
    comment,
    encode,
    encodeRetry,
)

__all__ = [
    "DEFAULT_TYPE",
    "HEARTBEAT",
    "MAX_EVENT_BYTES",
    "MAX_RECONNECTION_TIME",
    "Decoder",
    "Event",
    "checkID",
    "checkType",
    "comment",
    "continued",
    "dataLines",
    "encode",
    "encodeRetry",
    "wholeEvent",
    "writeBlock",
]
