"""
The values of options in a TOML file: their conversion to the texts of a command line, and back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sseserver.options.row import Option
from sseserver.options.types import FLAG, Form


def describeForm(option: Option) -> str:
    """Return the form of an option's value in a file, for messages."""
    return f'an array: {option.name} = ["…", "…"]' if option.repeatable else option.type.form.value


def readValue(option: Option, value: Any) -> tuple[str, ...]:
    """
    Convert a value of a file to the texts of a command line.

    Args:
        option: The option.
        value: As `tomllib` returns it.

    Returns:
        A text for each time that the option is given; for a flag `true` or `false`.

    Raises:
        ValueError: The value has another form than the option.
    """
    values = value if isinstance(value, list) and option.repeatable else [value]
    if option.repeatable and not isinstance(value, list | str):
        raise ValueError(f"the value must be {describeForm(option)}")
    return tuple(_readOne(option, each) for each in values)


def _readOne(option: Option, value: Any) -> str:
    form = option.type.form
    if form is Form.FLAG:
        fits = isinstance(value, bool)
    elif form is Form.TEXT:
        fits = isinstance(value, str)
    elif form is Form.SIZE:
        fits = isinstance(value, (int, str)) and not isinstance(value, bool)
    else:
        fits = isinstance(value, int if form is Form.WHOLE else (int, float)) and not isinstance(value, bool)
    if not fits:
        raise ValueError(f"the value must be {describeForm(option)}")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and "\0" in value:
        # Neither a path nor an argument can have one.
        raise ValueError("the value has a NUL character")
    try:
        return str(value)
    except ValueError:
        # Python does not write thousands of digits.
        raise ValueError("the number is too large") from None


def writeValue(option: Option, texts: Sequence[str]) -> str:
    """
    Return the line of a file that gives an option its value.

    Args:
        option: The option.
        texts: The texts of a command line, as `readValue` returns them.
    """
    values = ", ".join(_writeOne(option, text) for text in texts)
    return f"{option.name} = [{values}]" if option.repeatable else f"{option.name} = {values}"


def _writeOne(option: Option, text: str) -> str:
    form = option.type.form
    if option.type is FLAG:
        return text
    if form is Form.NUMBER:
        # Some texts of a `float` are not TOML: ".5".
        number = float(text)
        return str(int(number)) if number.is_integer() else repr(number)
    if form is Form.WHOLE:
        return str(int(text))
    if form is Form.SIZE and text.isdigit():
        return str(int(text))
    return _quote(text)


def _quote(text: str) -> str:
    """Return a text as a basic string of TOML: it is one of JSON, with other escapes for characters above U+FFFF."""
    return "".join(each if each.isprintable() else _escape(each) for each in json.dumps(text, ensure_ascii=False))


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"
