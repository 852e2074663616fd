"""
The list of formats, which `StreamService` and the parameter `format` of a request use.

To add a format, write its module beside this one (`sseserver.formats.rendering` has the base class)
and add it to `makeFormats`. CONTRIBUTING.md has the steps.
"""

from __future__ import annotations

from sseserver.formats.agui import AGUIFormat
from sseserver.formats.completions import CompletionsFormat
from sseserver.formats.entries import EntriesFormat
from sseserver.formats.events import EventsFormat
from sseserver.formats.html import HTMLFormat
from sseserver.formats.messages import MessagesFormat
from sseserver.formats.openai import OpenAIFormat
from sseserver.formats.responses import ResponsesFormat
from sseserver.formats.text import TextFormat
from sseserver.formats.uimessages import UIFormat
from sseserver.interfaces import IFormat


def makeFormats(model: str) -> dict[str, IFormat]:
    """
    Make all formats that a viewer can ask for.

    Args:
        model: Name of the model in the answers of `openai`, `completions`, `messages` and `responses`.

    Returns:
        The formats by name, in the order in which error messages list them.
    """
    formats: tuple[IFormat, ...] = (
        EventsFormat(),
        EntriesFormat(),
        TextFormat(),
        OpenAIFormat(model),
        CompletionsFormat(model),
        UIFormat(),
        AGUIFormat(),
        HTMLFormat(),
        MessagesFormat(model),
        ResponsesFormat(model),
    )
    return {form.name: form for form in formats}
