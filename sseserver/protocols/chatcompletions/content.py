"""
The content of a chat message: a string, or a list of parts some of which are text.
"""

from __future__ import annotations

from collections.abc import Mapping


def textOf(content: object, between: str = "") -> str:
    """
    Return the text of a message's content; everything that is not text is skipped.

    Args:
        content: A string, a list of parts, or anything else, which has no text.
        between: Joins the texts of the parts.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, Mapping)]
    return between.join(text for text in texts if isinstance(text, str))
