"""
The content of a chat message: a string, or a list of parts some of which are text.

`chunk`, `completion` and `usage` read it.
"""

from __future__ import annotations

from collections.abc import Mapping


def textOf(content: object) -> str:
    """
    Return the text of a message's content; everything that is not text is skipped.

    Args:
        content: A string, a list of parts, or anything else, which has no text.
    """
    return "".join(listTexts(content))


def listTexts(content: object) -> list[str]:
    """
    Return the texts in a message's content, each as it is.

    Args:
        content: See `textOf`.
    """
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    texts = [part.get("text") for part in content if isinstance(part, Mapping)]
    return [text for text in texts if isinstance(text, str)]
