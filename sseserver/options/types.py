"""
Types of the options' values: the conversion of the text of a command line, with a message for each mistake.

Each row of the table has one of these types; `sseserver.command.parsing` calls its `read`.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network
from typing import Any

from sseserver.wire import MAX_RECONNECTION_TIME

#: Multipliers of the size suffixes.
_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

#: The algorithms of JSON Web Tokens.
ALGORITHMS = ("HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA")

#: Milliseconds. Longest reconnection time: viewers are told up to a third more than the setting says.
_MAX_RETRY = MAX_RECONNECTION_TIME * 3 // 4

#: Number, and seconds (30 years). Largest value of an option: it stands for no limit, and sums of it stay exact.
MAX_NUMBER = 1_000_000_000

#: Bytes (1 PiB). Largest size: the compiled build counts bytes in a C integer, in which products of it fit.
_MAX_SIZE = 1 << 50

#: Stands for the prompt in the command of `--exec`.
PLACE = "{prompt}"

#: Characters of a value that a message repeats.
_QUOTED = 40


#: Values of an environment variable that switch a flag on, and off.
ON, OFF = frozenset({"1", "true"}), frozenset({"", "0", "false"})


def readFlag(text: str) -> bool:
    """
    Convert the text of an environment variable to a flag.

    Raises:
        ValueError: The text is neither in `ON` nor in `OFF`.
    """
    if text not in ON | OFF:
        raise ValueError(f"{text[:_QUOTED]!r} is unknown; use true or 1, or false or 0")
    return text in ON


def readCount(text: str) -> int:
    """
    Convert text to a whole number from 1 to `MAX_NUMBER`.

    Raises:
        ValueError: The text is anything but decimal digits, or the number is out of range.
    """
    number = _readWhole(text, MAX_NUMBER)
    if number > MAX_NUMBER:
        raise ValueError(f"{text[:_QUOTED]} is too large; the maximum is {MAX_NUMBER}")
    return number


def readTimes(text: str) -> int:
    """
    Convert text to a whole number from 0 to `MAX_NUMBER`.

    Raises:
        ValueError: The text is anything but decimal digits, or the number is out of range.
    """
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text[:_QUOTED]!r} is not a whole number of 0 or more")
    return readCount(text) if text.strip("0") else 0


def readMilliseconds(text: str) -> int:
    """
    Convert text to a reconnection time that browsers can wait.

    Raises:
        ValueError: The text is not a whole number, or the number is out of range.
    """
    number = _readWhole(text, _MAX_RETRY)
    if number > _MAX_RETRY:
        raise ValueError(f"{text[:_QUOTED]!r} is not a whole number from 1 to {_MAX_RETRY}")
    return number


def _readWhole(text: str, maximum: int) -> int:
    """
    Convert text to a whole number of 1 or more. A number with more digits than the maximum is not exact, but larger.

    Raises:
        ValueError: The text is anything but decimal digits, or the number is 0.
    """
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdigit() and digits):
        raise ValueError(f"{text[:_QUOTED]!r} is not a whole number of 1 or more")
    # Python refuses to convert thousands of digits.
    return int(digits) if len(digits) <= len(str(maximum)) else 10 * maximum


def readSize(text: str) -> int:
    """
    Convert text to a number of bytes; `K`, `M` and `G` stand for powers of 1024.

    Raises:
        ValueError: The text is not a size, or the size is larger than the memory of any machine.
    """
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].upper() in _SIZE_UNITS else (text, "")
    try:
        number = _readWhole(digits, _MAX_SIZE) * _SIZE_UNITS[unit]
    except ValueError:
        raise ValueError(f"{text[:_QUOTED]!r} is not a number of bytes, such as 65536, 64K or 16M") from None
    if number > _MAX_SIZE:
        raise ValueError(f"{text[:_QUOTED]!r} is too large; the maximum is {writeSize(_MAX_SIZE)} bytes")
    return number


def writeSize(size: int) -> str:
    """Return a number of bytes as `readSize` takes it, with the largest unit that leaves it whole."""
    for unit in ("G", "M", "K"):
        if size % _SIZE_UNITS[unit] == 0:
            return f"{size // _SIZE_UNITS[unit]}{unit}"
    return str(size)


def readPause(text: str) -> float:
    """
    Convert text to a number of seconds from 0 to `MAX_NUMBER`.

    Raises:
        ValueError: The text is not a finite number, or the number is out of range.
    """
    number = _readNumber(text)
    if number < 0:
        raise ValueError(f"{text} is out of range; it must be at least 0")
    return number


def readTimeout(text: str) -> float:
    """
    Convert text to a number of seconds above 0, up to `MAX_NUMBER`.

    Raises:
        ValueError: The text is not a finite number, or the number is out of range.
    """
    number = _readNumber(text)
    if number <= 0:
        raise ValueError(f"{text} is out of range; it must be more than 0")
    return number


def _readNumber(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text[:_QUOTED]!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text[:_QUOTED]} is not a finite number")
    if number > MAX_NUMBER:
        raise ValueError(f"{text[:_QUOTED]} is out of range; it must be at most {MAX_NUMBER}")
    return number


def readCommand(text: str) -> list[str]:
    """
    Split a command into program and arguments, with the quoting rules of a POSIX shell.

    Raises:
        ValueError: A quotation is not closed, or there is no program.
    """
    try:
        parts = shlex.split(text)
    except ValueError as error:
        # The command may have a secret.
        raise ValueError(str(error).lower()) from None
    if not parts or not parts[0]:
        raise ValueError("the command does not begin with a program")
    return parts


def readFilled(text: str) -> str:
    """
    Return text unchanged, unless there is none.

    Raises:
        ValueError: The text is empty or blank.
    """
    if not text.strip():
        raise ValueError("the value must not be empty")
    return text


#: Begins of the URLs of a Redis.
REDIS = ("redis://", "rediss://", "redis+unix://", "redis+sentinel://", "rediss+sentinel://")


def readStore(text: str) -> str | None:
    """
    Convert the name of a store to the path of its SQLite file; `memory` becomes `None`, the URL of a Redis stays.

    Raises:
        ValueError: There is no such store, or the path is missing.
    """
    if text == "memory":
        return None
    if text.startswith(REDIS):
        return text
    kind, _, path = text.partition(":")
    if kind != "sqlite" or not path:
        raise ValueError(f"{text!r} is not a store; use memory, sqlite:PATH or redis://HOST")
    return path


#: The protocols of upstreams; `auto` finds out which one an upstream speaks.
AUTO, CHAT_API, RESPONSES_API = UPSTREAM_APIS = ("auto", "chat", "responses")

#: Stands for all Unix sockets in place of a network.
UNIX = "unix"


def readNetwork(text: str) -> str:
    """
    Return an address or a network of addresses in its shortest form, and `unix` unchanged.

    Raises:
        ValueError: The text is neither, or an address of the network has bits beyond its length.
    """
    if text == UNIX:
        return text
    try:
        return str(ip_network(text))
    except ValueError:
        raise ValueError(
            f"{text[:_QUOTED]!r} is not an address or a network, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8; or {UNIX}"
        ) from None


class Form(Enum):
    """Form of a value in a configuration file, as a message describes it."""

    FLAG = "true or false"
    NUMBER = "a number"
    SIZE = 'a whole number, or a text such as "64M"'
    TEXT = "a text in quotes"
    WHOLE = "a whole number"


@dataclass(frozen=True, slots=True)
class ValueType:
    """
    The type of an option's value.

    Attributes:
        metavar: Placeholder of the value in the documentation; empty for a flag.
        form: Form of the value in a configuration file.
        read: Converts the text of the command line to the value. Raises `ValueError` with a
            message that quotes the text.
        write: Returns the text of a value: what `read` converts to it.
    """

    metavar: str
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str
    form: Form = Form.TEXT


def makeChoice(*words: str) -> ValueType:
    """
    Make the type of a value that is one of some words; it is returned unchanged.

    Args:
        words: Two words or more.
    """

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text[:_QUOTED]!r} is unknown; use {', '.join(words[:-1])} or {words[-1]}")
        return text

    return ValueType("|".join(words), read)


FLAG = ValueType("", readFlag, form=Form.FLAG)
ALGORITHM = makeChoice(*ALGORITHMS)
COMMAND = ValueType("COMMAND", readCommand)
COUNT = ValueType("COUNT", readCount, form=Form.WHOLE)
DESTINATION = ValueType("log|none|PATH", readFilled)
ENDPOINT = ValueType("ENDPOINT")
FILE = ValueType("FILE", readFilled)
LEVEL = makeChoice("debug", "info", "warn", "error", "critical")
LOG_FORMAT = makeChoice("text", "json")
HOST = ValueType("NAME[:PORT]", readFilled)
MILLISECONDS = ValueType("MILLISECONDS", readMilliseconds, form=Form.WHOLE)
NAME = ValueType("NAME", readFilled)
NETWORK = ValueType("ADDRESS|NETWORK|unix", readNetwork)
ORIGIN = ValueType("ORIGIN", readFilled)
PAUSE = ValueType("SECONDS", readPause, "{:g}".format, Form.NUMBER)
SIZE = ValueType("SIZE", readSize, writeSize, Form.SIZE)
STORE = ValueType("memory|sqlite:PATH|redis:URL", readStore)
SYNC = makeChoice("normal", "full")
TEXT = ValueType("TEXT", readFilled)
UPSTREAM_API = ValueType("[NAME=]auto|chat|responses")
TIMES = ValueType("COUNT", readTimes, form=Form.WHOLE)
TIMEOUT = ValueType("SECONDS", readTimeout, "{:g}".format, Form.NUMBER)
URL = ValueType("URL")
NAMED_FILE = ValueType("[NAME=]FILE", readFilled)
NAMED_HEADER = ValueType("[NAME=]HEADER")
NAMED_URL = ValueType("[NAME=]URL")
