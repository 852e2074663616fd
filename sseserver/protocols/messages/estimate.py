"""
An estimate of the tokens of a request. The token sources have no way to count them: each model cuts text in its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sseserver.interfaces import ITokenSource
from sseserver.jsontext import convert, toJSON
from sseserver.protocols.messages.conversion import convertMessages, convertTools
from sseserver.protocols.messages.request import TokensBody
from sseserver.protocols.prompt import checkModel

#: Bytes of UTF-8 for each token. Usual tokenizers need 3 to 5 for English, and up to 2 for other scripts.
_BYTES_PER_TOKEN = 4

#: Tokens for the role and the ends of each message.
_PER_MESSAGE = 4

#: Tokens for each image and file: those of an image of a megapixel.
_PER_FILE = 1600


def estimateTokens(body: Mapping[str, Any], source: ITokenSource) -> int:
    """
    Estimate the tokens of a request.

    Args:
        body: The decoded JSON.
        source: The source that would answer.

    Returns:
        The number; a quarter of the bytes of its texts, and a fixed number for each message and each image.

    Raises:
        InvalidMember: A member is missing or has a wrong value.
        ModelNotFound: The source does not have the model.
    """
    asked = convert(body, TokensBody)
    checkModel(asked.model, source)
    messages = convertMessages(asked.system, asked.messages)
    size = 0 if asked.tools is None else len(toJSON(convertTools(asked.tools)))
    files = 0
    for message in messages:
        for part in _listParts(message):
            text = part.get("text")
            if isinstance(text, str):
                size += len(text.encode("utf-8", "replace"))
            else:
                files += 1
    return -(-size // _BYTES_PER_TOKEN) + _PER_MESSAGE * len(messages) + _PER_FILE * files


def _listParts(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the parts of a converted message. Tool calls count as text."""
    content = message["content"]
    if isinstance(content, str):
        yield {"text": content}
    else:
        yield from content or ()
    for call in message.get("tool_calls", ()):
        yield {"text": f"{call['function']['name']}{call['function']['arguments']}"}
