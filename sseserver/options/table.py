"""
The table of options: name, type, default and help text of everything that can be set.

The command line (`sseserver.command.parsing`) and its `--help` (`helptext`), the defaults of
`Settings`, and the option reference in the documentation are all made from `OPTIONS`. To add an
option, add a row here, or to the module of its topic; an option that is a number of the service
also needs a field in `Settings`.
"""

from __future__ import annotations

import os
from typing import Any

from sseserver.options.clients import CLIENTS
from sseserver.options.configuration import CONFIGURATION
from sseserver.options.credentials import CREDENTIALS
from sseserver.options.gate import GATE
from sseserver.options.operation import OPERATION
from sseserver.options.row import Group, Option
from sseserver.options.types import (
    COMMAND,
    COUNT,
    DESTINATION,
    ENDPOINT,
    FILE,
    FLAG,
    MILLISECONDS,
    NAME,
    OFF,
    PAUSE,
    SIZE,
    STORE,
    SYNC,
    TEXT,
    TIMEOUT,
)
from sseserver.options.upstream import UPSTREAM
from sseserver.options.variables import REDIS_VARIABLE

OPTIONS = (
    Option(
        "text",
        FILE,
        None,
        Group.SOURCE,
        "Stream this UTF-8 file. `-` is standard input: it is streamed as it arrives, to every visitor.",
        short="t",
        otherNames=("file", "f"),
    ),
    Option(
        "exec",
        COMMAND,
        None,
        Group.SOURCE,
        "Stream the standard output of this command. Each run starts it anew, without a shell.",
        short="e",
        otherNames=("command", "cmd", "program"),
    ),
    Option(
        "asks",
        FLAG,
        False,
        Group.SOURCE,
        "The command of `--exec` needs a prompt. Implied if the command contains `{prompt}`.",
        needs=("exec",),
    ),
    Option(
        "exec-env",
        NAME,
        None,
        Group.SOURCE,
        "Pass this variable of the server's environment to the program of `--exec`, beside a short list: `HOME`, "
        "`LANG`, `LANGUAGE`, `LC_*`, `LOGNAME`, `PATH`, `SHELL`, `TMPDIR`, `TZ`, `USER`. May be given more than once.",
        needs=("exec",),
        repeatable=True,
    ),
    *UPSTREAM,
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
        "Refuse requests for another model than the one of `--model`.",
        needs=("upstream",),
    ),
    Option(
        "prompt",
        TEXT,
        None,
        Group.SOURCE,
        "Prompt for visitors of `/` who cannot type one, if the source takes prompts.",
        needs=("exec", "upstream"),
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
        otherNames=("port", "p", "bind", "address", "interface"),
    ),
    *GATE,
    Option(
        "max-connections",
        COUNT,
        None,
        Group.LISTENING,
        "Number of connections at a time. A new one takes the place of the one that has waited longest for a request; "
        "if there is none, it is closed. By default as many as the limit of open files (`ulimit -n`) allows.",
    ),
    Option(
        "access-log",
        DESTINATION,
        "log",
        Group.LISTENING,
        "Destination of the access log: `log` (the log of twistd), `none`, or the path of a file.",
        otherNames=("log", "log-file"),
    ),
    Option(
        "max-body",
        SIZE,
        None,
        Group.LISTENING,
        "Size of the body of a request, in bytes. Without this option 32M for the chat APIs, and 1M for `/streams`.",
        setting="maxBody",
        minimum=1 << 10,
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
        "Number of viewers at a time; further viewers are told to reconnect later. They leave up to 16 of "
        "the connections to short requests.",
        setting="maxViewers",
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
        minimum=1 << 10,
    ),
    Option(
        "store",
        STORE,
        None,
        Group.STREAMS,
        "Where streams are kept: `memory` (the default), `sqlite:PATH`, which survives a restart, or in a Redis that "
        "several servers share: `redis://HOST:PORT/DATABASE`, or another address of a Redis (see the page on scaling).",
        otherNames=("database", "db"),
    ),
    Option(
        "redis-credentials-file",
        FILE,
        None,
        Group.STREAMS,
        f"File with the password of the Redis, in one line, or with the user and the password, in two. Without this "
        f"option they are in `${REDIS_VARIABLE}`, if any are needed.",
        needs=("store",),
        otherNames=("redis-password", "redis-user", "redis-auth"),
    ),
    Option(
        "redis-prefix",
        NAME,
        "sseserver:",
        Group.STREAMS,
        "Begin of the names of all keys in the Redis. Servers with the same prefix share their streams.",
        needs=("store",),
    ),
    Option(
        "sync",
        SYNC,
        "normal",
        Group.STREAMS,
        "Durability of `--store sqlite:PATH`: with `normal` entries survive the end of the process, with `full` also a "
        "loss of power; then each group of entries waits for the disk.",
        needs=("store",),
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
        # An event is written with up to 32 KiB of text.
        minimum=64 << 10,
    ),
    Option(
        "max-bytes",
        SIZE,
        512 << 20,
        Group.STREAMS,
        "Size of all streams of runs together, and of all published streams together, in bytes; ended streams are "
        "dropped first.",
        setting="maxBytes",
        minimum=1 << 20,
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
        inPrograms=True,
    ),
    *CLIENTS,
    *CREDENTIALS,
    *OPERATION,
    *CONFIGURATION,
)


def defaultOf(name: str) -> Any:
    """
    Return the default of an option: from its variable, if programs obey it, or from the table.

    Raises:
        LookupError: There is no such option.
    """
    option = optionNamed(name)
    if option.inPrograms:
        return os.environ.get(option.variable, "") not in OFF
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
