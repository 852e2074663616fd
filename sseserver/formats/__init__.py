"""
How the entries of a stream log are written for a viewer: one module for each format.

`makeFormats` makes all of them. `EntryRendering` is the base class of formats that write entry by entry, and
`translation` has that of formats whose events depend on those before.
"""

from sseserver.formats.agui import AGUIFormat
from sseserver.formats.completions import CompletionsFormat
from sseserver.formats.entries import EntriesFormat
from sseserver.formats.events import EventsFormat
from sseserver.formats.html import HTMLFormat
from sseserver.formats.openai import OpenAIFormat
from sseserver.formats.registry import makeFormats
from sseserver.formats.rendering import EntryRendering
from sseserver.formats.responses import ResponsesFormat
from sseserver.formats.text import TextFormat
from sseserver.formats.uimessages import UIFormat

__all__ = [
    "AGUIFormat",
    "CompletionsFormat",
    "EntriesFormat",
    "EntryRendering",
    "EventsFormat",
    "HTMLFormat",
    "OpenAIFormat",
    "ResponsesFormat",
    "TextFormat",
    "UIFormat",
    "makeFormats",
]
