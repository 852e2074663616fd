"""
The table of options: name, type, default and help text of everything that can be set.

The command line and its `--help` (`sseserver.tap`), the defaults of `Settings`, and the option
reference in the documentation are all made from `OPTIONS`. To add an option, add a row here; an
option that is a number of the service also needs a field in `Settings`.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sseserver.wire import MAX_RECONNECTION_TIME

#: Environment variable with the key of the upstream API.
KEY_VARIABLE = "SSESERVER_UPSTREAM_KEY"

#: Multipliers of the size suffixes.
_SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

#: Milliseconds. Longest reconnection time: viewers are told up to a third more than the setting says.
_MAX_RETRY = MAX_RECONNECTION_TIME * 3 // 4


def readCount(text: str) -> int:
    """
    Convert text to a whole number of 1 or more.

    Raises:
        ValueError: The text is anything but decimal digits, or the number is 0.
    """
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ValueError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def readMilliseconds(text: str) -> int:
    """
    Convert text to a reconnection time that browsers can wait.

    Raises:
        ValueError: The text is not a whole number, or the number is out of range.
    """
    if len(text) > len(str(_MAX_RETRY)) or readCount(text) > _MAX_RETRY:
        raise ValueError(f"{text[:20]!r} is not a whole number from 1 to {_MAX_RETRY}")
    return readCount(text)


def readSize(text: str) -> int:
    """
    Convert text to a number of bytes; `K`, `M` and `G` stand for powers of 1024.

    Raises:
        ValueError: The text is not a size, or no process can address that many bytes.
    """
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].upper() in _SIZE_UNITS else (text, "")
    try:
        number = readCount(digits) * _SIZE_UNITS[unit]
    except ValueError:
        raise ValueError(f"{text!r} is not a number of bytes, such as 65536, 64K or 16M") from None
    # The compiled build counts bytes in a C integer of this width.
    if number > sys.maxsize:
        raise ValueError(f"{text!r} is too large; the maximum is {sys.maxsize} bytes")
    return number


def readPause(text: str) -> float:
    """
    Convert text to a number of seconds, 0 or more.

    Raises:
        ValueError: The text is not a finite number, or the number is negative.
    """
    number = _readNumber(text)
    if number < 0:
        raise ValueError(f"{text} is out of range; it must be at least 0")
    return number


def readTimeout(text: str) -> float:
    """
    Convert text to a number of seconds above 0.

    Raises:
        ValueError: The text is not a finite number, or the number is 0 or negative.
    """
    number = _readNumber(text)
    if number <= 0:
        raise ValueError(f"{text} is out of range; it must be more than 0")
    return number


def _readNumber(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
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
        raise ValueError(f"{text!r}: {str(error).lower()}") from None
    if not parts or not parts[0]:
        raise ValueError(f"{text!r} does not begin with a program")
    return parts


def readStore(text: str) -> str | None:
    """
    Convert the name of a store to the path of its SQLite file; `memory` becomes `None`.

    Raises:
        ValueError: There is no such store, or the path is missing.
    """
    if text == "memory":
        return None
    kind, _, path = text.partition(":")
    if kind != "sqlite" or not path:
        raise ValueError(f"{text!r} is not a store; use memory or sqlite:PATH")
    return path


@dataclass(frozen=True, slots=True)
class ValueType:
    """
    The type of an option's value.

    Attributes:
        metavar: Placeholder of the value in the documentation; empty for a flag.
        read: Converts the text of the command line to the value. Raises `ValueError` with a
            message that quotes the text.
    """

    metavar: str
    read: Callable[[str], Any] = str


FLAG = ValueType("")
COMMAND = ValueType("COMMAND", readCommand)
COUNT = ValueType("COUNT", readCount)
DESTINATION = ValueType("log|none|PATH")
ENDPOINT = ValueType("ENDPOINT")
FILE = ValueType("FILE")
HEADER = ValueType("HEADER")
MILLISECONDS = ValueType("MILLISECONDS", readMilliseconds)
NAME = ValueType("NAME")
PAUSE = ValueType("SECONDS", readPause)
SIZE = ValueType("SIZE", readSize)
STORE = ValueType("memory|sqlite:PATH", readStore)
TEXT = ValueType("TEXT")
TIMEOUT = ValueType("SECONDS", readTimeout)
URL = ValueType("URL")


class Group(Enum):
    """Topic of an option; the sections of the option reference, in this order."""

    SOURCE = "Token source"
    LISTENING = "Listening"
    VIEWERS = "Viewers"
    RUNS = "Runs"
    STREAMS = "Streams"
    SPEED = "Speed"


@dataclass(frozen=True, slots=True)
class Option:
    """
    One row of the table.

    Attributes:
        name: Long name, without dashes.
        type: Type of the value.
        default: Value if the option is not given; `None` if there is none.
        group: Topic.
        help: Help text: one to three sentences, with literals in back-quotes.
        short: One-letter name.
        setting: Field of `Settings` that the option fills.
        environment: Environment variable that sets a flag. Unset, empty and `0` leave it off.
        repeatable: Whether the option may be given more than once.
        onCommandLine: Whether the command line has the option; if not, it is a setting for embedders.
    """

    name: str
    type: ValueType
    default: Any
    group: Group
    help: str
    short: str | None = None
    setting: str | None = None
    environment: str | None = None
    repeatable: bool = False
    onCommandLine: bool = True


OPTIONS = (
    Option("text", FILE, None, Group.SOURCE, "Stream this UTF-8 file; `-` is standard input.", short="t"),
    Option(
        "exec",
        COMMAND,
        None,
        Group.SOURCE,
        "Stream the standard output of this command. Each run starts it anew, without a shell.",
        short="e",
    ),
    Option(
        "asks",
        FLAG,
        False,
        Group.SOURCE,
        "The command of `--exec` needs a prompt. Implied if the command contains `{prompt}`.",
    ),
    Option(
        "upstream",
        URL,
        None,
        Group.SOURCE,
        "Stream the answers of this OpenAI-compatible API, for example `http://127.0.0.1:11434/v1`.",
    ),
    Option(
        "upstream-key-file",
        FILE,
        None,
        Group.SOURCE,
        f"File with the API key in one line. Without this option the key is `${KEY_VARIABLE}`.",
    ),
    Option(
        "upstream-header",
        HEADER,
        None,
        Group.SOURCE,
        "Send this header with each request to the API: `NAME: VALUE`, `NAME: @FILE` or `NAME: $VARIABLE`, for example "
        "`api-key: @key.txt`. May be given more than once.",
        repeatable=True,
    ),
    Option(
        "upstream-proxy",
        URL,
        None,
        Group.SOURCE,
        "Reach the API through this HTTP proxy, `none` for no proxy. Without this option the environment decides: "
        "`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`.",
    ),
    Option("connect-timeout", TIMEOUT, 10.0, Group.SOURCE, "Time limit for connecting to the API, in seconds."),
    Option("first-token-timeout", TIMEOUT, 60.0, Group.SOURCE, "Time limit for the API's first token, in seconds."),
    Option("token-timeout", TIMEOUT, 60.0, Group.SOURCE, "Time limit between two tokens of the API, in seconds."),
    Option("max-chunk", SIZE, 16 << 20, Group.SOURCE, "Size of the API's largest chunk, in bytes."),
    Option(
        "interval",
        PAUSE,
        0.1,
        Group.SOURCE,
        "Time between two words of a text, in seconds; 0 is as fast as the viewer reads.",
        short="i",
    ),
    Option(
        "model",
        NAME,
        None,
        Group.SOURCE,
        "Model name of the source; with `--upstream`, the default model to request.",
    ),
    Option(
        "pin-model",
        FLAG,
        False,
        Group.SOURCE,
        "Refuse requests for another model than the one of `--model`. Needs `--upstream`.",
    ),
    Option(
        "prompt",
        TEXT,
        None,
        Group.SOURCE,
        "Prompt for visitors of `/` who cannot type one, if the source takes prompts.",
    ),
    Option(
        "listen",
        ENDPOINT,
        # Twisted's default backlog of 50 refuses connections when thousands of viewers reconnect at once.
        "tcp:8000:interface=127.0.0.1:backlog=4096",
        Group.LISTENING,
        "Listen on this Twisted endpoint: `tcp:8000`, `tcp:8000:interface=127.0.0.1`, `unix:/run/sseserver.sock`, "
        "`ssl:443:privateKey=key.pem:certKey=cert.pem`, `systemd:domain=INET:index=0`. May be given more than once.",
        short="l",
        repeatable=True,
    ),
    Option(
        "access-log",
        DESTINATION,
        "log",
        Group.LISTENING,
        "Destination of the access log: `log` (the log of twistd), `none`, or the path of a file.",
    ),
    Option(
        "heartbeat",
        TIMEOUT,
        15.0,
        Group.VIEWERS,
        "Send a comment to a viewer after this many seconds without a write.",
        setting="heartbeat",
    ),
    Option(
        "retry",
        MILLISECONDS,
        3000,
        Group.VIEWERS,
        "Reconnection time for viewers, in milliseconds; each gets a random value within a third of it.",
        setting="reconnectionTime",
    ),
    Option(
        "stall",
        TIMEOUT,
        30.0,
        Group.VIEWERS,
        "Disconnect a viewer that reads nothing for this many seconds.",
        setting="stall",
    ),
    Option(
        "max-viewers",
        COUNT,
        10_000,
        Group.VIEWERS,
        "Number of viewers at a time; further viewers are told to reconnect later.",
        setting="maxViewers",
    ),
    Option(
        "drain",
        PAUSE,
        5.0,
        Group.VIEWERS,
        "Time for viewers to read the end of their streams when the service stops, in seconds.",
        setting="drain",
        onCommandLine=False,
    ),
    Option(
        "linger",
        PAUSE,
        60.0,
        Group.RUNS,
        "Cancel a run after this many seconds without viewers; 0 cancels it with the last viewer.",
        setting="linger",
    ),
    Option(
        "max-runs",
        COUNT,
        10_000,
        Group.RUNS,
        "Number of runs that work at a time; further runs wait in a queue. With `--exec` the default is four for each "
        "processor core.",
        setting="maxRuns",
    ),
    Option(
        "max-waiting",
        COUNT,
        1000,
        Group.RUNS,
        "Length of the queue of waiting runs; further runs are refused.",
        setting="maxWaiting",
    ),
    Option(
        "read-ahead",
        SIZE,
        1 << 20,
        Group.RUNS,
        "Pause a run that is more than this many bytes ahead of its fastest viewer.",
        setting="readAhead",
    ),
    Option(
        "store",
        STORE,
        None,
        Group.STREAMS,
        "Where streams are kept: `memory` (the default), or `sqlite:PATH`, which survives a restart.",
    ),
    Option("keep", PAUSE, 600.0, Group.STREAMS, "Time to keep a stream after its end, in seconds.", setting="keep"),
    Option(
        "idle",
        TIMEOUT,
        86_400.0,
        Group.STREAMS,
        "Time after which an open published stream ends that has had neither publishes nor viewers, in seconds.",
        setting="idle",
    ),
    Option(
        "window",
        SIZE,
        16 << 20,
        Group.STREAMS,
        "Memory of one stream, in bytes; its oldest entries are dropped first.",
        setting="window",
    ),
    Option(
        "max-bytes",
        SIZE,
        512 << 20,
        Group.STREAMS,
        "Size of all streams of runs together, and of all published streams together, in bytes; ended streams are "
        "dropped first.",
        setting="maxBytes",
    ),
    Option(
        "max-streams",
        COUNT,
        100_000,
        Group.STREAMS,
        "Number of streams of runs, and of published streams; ended streams are dropped first.",
        setting="maxStreams",
    ),
    Option(
        "plain",
        FLAG,
        False,
        Group.SPEED,
        "Turn off all speedups and use Twisted's public interfaces only; for finding faults.",
        setting="plain",
        environment="SSESERVER_PLAIN",
    ),
)


def defaultOf(name: str) -> Any:
    """
    Return the default of an option: from its environment variable, if it has one, or from the table.

    Raises:
        LookupError: There is no such option.
    """
    option = optionNamed(name)
    if option.environment is not None:
        return os.environ.get(option.environment, "0") not in {"", "0"}
    return option.default


def optionNamed(name: str) -> Option:
    """
    Return the row of an option.

    Raises:
        LookupError: There is no such option.
    """
    for option in OPTIONS:
        if option.name == name:
            return option
    raise LookupError(f"There is no option named {name!r}.")
