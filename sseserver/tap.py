"""
`twistd sseserver`: the options, and the service made of them.

This is the one place that chooses concrete parts and knows the reactor. The
docstrings and texts of L{Options} are the command's documentation.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application import strports
from twisted.application.service import MultiService
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.python import usage

from sseserver import __version__, compiled
from sseserver.apis.root import StreamResource
from sseserver.delivery.sockets import TunedEndpoint
from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamStore
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.text import WELCOME
from sseserver.sources.upstream import checkURL
from sseserver.sourcing import KEY_VARIABLE, checkSource, command, makeSource, readText
from sseserver.speedups.garbage import RareCollections
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.web.site import StreamSite
from sseserver.wire import MAX_RECONNECTION_TIME

_LAST_PORT = 65535

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

#: The backlog takes a storm of viewers that all come back at once; 50, the default, does not.
DEFAULT_ENDPOINT = "tcp:8000:interface=127.0.0.1:backlog=4096"


def seconds(minimum: float, inclusive: bool = True) -> Callable[[str], float]:
    """Make a coercion to a number of seconds that is not below a minimum."""

    def coerce(value: str) -> float:
        number = _number(value)
        if not math.isfinite(number) or number < minimum or (number == minimum and not inclusive):
            raise ValueError(
                f"{value} is out of range; it must be {'at least' if inclusive else 'more than'} {minimum:g}"
            )
        return number

    return coerce


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a number") from None


def count(value: str) -> int:
    """Coerce to a whole number that is not below 1."""
    if not (value.isascii() and value.isdigit() and int(value) >= 1):
        raise ValueError(f"{value!r} is not a whole number of 1 or more")
    return int(value)


def retry(value: str) -> int:
    """Coerce to a reconnection time that browsers can wait, also when it is a third more."""
    longest = MAX_RECONNECTION_TIME * 3 // 4
    if len(value) > len(str(longest)) or count(value) > longest:
        raise ValueError(f"{value[:20]!r} is not a whole number from 1 to {longest}")
    return count(value)


def size(value: str) -> int:
    """Coerce to a number of bytes: whole, with K, M or G for powers of 1024 behind it."""
    digits, unit = (value[:-1], value[-1:].upper()) if value[-1:].upper() in _UNITS else (value, "")
    try:
        number = count(digits) * _UNITS[unit]
    except ValueError:
        raise ValueError(f"{value!r} is not a number of bytes, such as 65536, 64K or 16M") from None
    # Logs of the compiled build count in C.
    if number > sys.maxsize:
        raise ValueError(f"{value!r} is more than any machine has")
    return number


def store(value: str) -> str | None:
    """Coerce to the path of an SQLite file; C{None} for memory."""
    kind, _, path = value.partition(":")
    if value == "memory":
        return None
    if kind != "sqlite" or not path:
        raise ValueError(f"{value!r} is no store; there are memory and sqlite:PATH")
    return path


def _named(*parameters: list[Any]) -> list[list[Any]]:
    """Let what coerces an option's value name the option where it refuses the value: Twisted does not."""

    def named(name: str, coerce: Callable[[str], Any]) -> Callable[[str], Any]:
        def coerceNamed(value: str) -> Any:
            try:
                return coerce(value)
            except ValueError as error:
                raise ValueError(f"--{name}: {error}") from None

        return coerceNamed

    return [[*row[:4], *(named(row[0], coerce) for coerce in row[4:])] for row in parameters]


class Options(usage.Options):
    """The options of `twistd sseserver`."""

    synopsis = "[options]"
    longdesc = """\
Streams text token by token to browsers and programs, over Server-Sent Events. \
With no option it serves a page on http://127.0.0.1:8000/ on which a built-in \
text appears word by word. In production put a proxy that speaks TLS and HTTP/2 \
in front of it, with its buffering off."""

    optParameters = _named(
        ["text", "t", None, "Stream this file (UTF-8) instead of the built-in text; - reads standard input."],
        [
            "exec",
            "e",
            None,
            "Stream what this program writes, started anew for each run: no shell, but quoted as in one.",
            command,
        ],
        ["upstream", None, None, "Ask this OpenAI-compatible API, such as http://127.0.0.1:11434/v1.", checkURL],
        ["upstream-key-file", None, None, f"File whose one line is the API's key; without it ${KEY_VARIABLE}."],
        [
            "prompt",
            None,
            None,
            "What the visitors of / ask who cannot ask themselves, where the source takes a prompt.",
        ],
        ["model", None, None, "What the source is called as a model; the one that the API is asked for."],
        ["connect-timeout", None, 10.0, "Seconds for connecting to the API.", seconds(0, False)],
        ["first-token-timeout", None, 60.0, "Seconds until the API's first token.", seconds(0, False)],
        ["token-timeout", None, 60.0, "Seconds from one token of the API to the next.", seconds(0, False)],
        ["interval", "i", 0.1, "Seconds from one word to the next; 0 is as fast as the viewer takes them.", seconds(0)],
        ["heartbeat", None, 15.0, "Seconds of silence after which a viewer is sent a comment.", seconds(0, False)],
        ["retry", None, 3000, "Milliseconds after which a viewer that lost its connection comes back, +- 1/3.", retry],
        [
            "linger",
            None,
            60.0,
            "Seconds that a run goes on without viewers; 0 ends it with the last one.",
            seconds(0),
        ],
        ["stall", None, 30.0, "Seconds after which a viewer that takes nothing is cut.", seconds(0, False)],
        ["max-viewers", None, 10000, "Viewers served at once; who comes above that is told to come back later.", count],
        ["max-runs", None, 10000, "Runs that work at once; the others wait for their turn, in order.", count],
        ["max-waiting", None, 1000, "Runs that may wait for their turn; who comes above that is refused.", count],
        [
            "store",
            None,
            None,
            "Where streams are kept: memory (the default), or sqlite:PATH, which survives a restart.",
            store,
        ],
        ["keep", None, 600.0, "Seconds that a stream is kept after its end.", seconds(0)],
        ["window", None, 16 << 20, "Bytes that one stream takes; its oldest entries go first.", size],
        ["max-bytes", None, 512 << 20, "Bytes that all streams keep; finished ones go first.", size],
        ["max-streams", None, 100000, "Streams that are kept; finished ones go first.", count],
        [
            "access-log",
            None,
            "log",
            "Where each request that was answered gets a line: log, none, or the path of a file.",
        ],
        ["read-ahead", None, 1 << 20, "Bytes that a run may be ahead of its fastest viewer.", size],
    )

    optFlags = [["asks", None, "The program of --exec needs a prompt; one with {prompt} in its command does anyway."]]

    compData = usage.Completions(
        optActions={
            "text": usage.CompleteFiles(descr="text file"),
            "upstream-key-file": usage.CompleteFiles(descr="file with a key"),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []

    def opt_listen(self, endpoint: str) -> None:
        """
        Listen on this endpoint, in Twisted's notation: tcp:8000,
        tcp:8000:interface=127.0.0.1, unix:/run/sseserver.sock,
        ssl:443:privateKey=key.pem:certKey=cert.pem, systemd:domain=INET:index=0.
        May be given more than once. [default: tcp:8000:interface=127.0.0.1]
        """
        self["listen"].append(endpoint)

    opt_l = opt_listen

    def opt_version(self) -> None:
        """Print the version of sseserver, and whether it is compiled, and exit."""
        sys.stdout.write(f"sseserver {__version__}, {'compiled' if compiled else 'pure Python'}\n")
        sys.exit(0)

    def parseArgs(self, *arguments: str) -> None:
        """Refuse what is no option."""
        if arguments:
            raise usage.UsageError(f"{arguments[0]!r} is no option; there are no arguments beside the options.")

    def postOptions(self) -> None:
        """Check everything that can be checked before anything listens."""
        self["listen"] = self["listen"] or [DEFAULT_ENDPOINT]
        for endpoint in self["listen"]:
            checkEndpoint(endpoint)
        checkSource(self)
        self["words"] = WELCOME if self["text"] is None else readText(self["text"])


def checkEndpoint(description: str) -> None:
    """
    Make sure that a string describes an endpoint.

    Raises:
        usage.UsageError: It does not; says why.
    """
    from twisted.internet import reactor  # noqa: PLC0415  (importing it installs it: not before --reactor was read)

    try:
        # Twisted finds out only when it binds: with an OverflowError, and the socket left open.
        if not 0 <= getattr(serverFromString(reactor, description), "_port", 0) <= _LAST_PORT:
            raise ValueError("there is no such port")
    except Exception as error:
        # Plugins for endpoints raise what they like: ValueError, TypeError, OSError of a certificate's file ...
        raise usage.UsageError(f"--listen {description}: {str(error) or type(error).__name__}") from None


def refusal(error: Exception) -> SystemExit:
    """
    Make what ends a server that cannot start: one line and the exit code 1.

    twistd has turned C{sys.stderr} into a log by then. So the line goes where
    whoever started the server looks; and into the log for a daemon, which has
    nobody who looks.
    """
    line = f"sseserver: {error}"
    if sys.__stderr__ is None or os.path.samestat(os.fstat(2), Path(os.devnull).stat()):
        return SystemExit(line)
    sys.__stderr__.write(f"{line}\n")
    return SystemExit(1)


class Server(MultiService):
    """All of it. Starts the streams before the listeners, and stops them after."""

    def privilegedStartService(self) -> None:
        """
        Listen.

        Raises:
            SystemExit: An address cannot be listened on. In one line, where
                twistd would show a traceback.
        """
        try:
            super().privilegedStartService()
        except (CannotListenError, OSError) as error:
            raise refusal(error) from None

    def startService(self) -> None:
        """
        Open the store.

        Raises:
            SystemExit: What is there cannot be used.
        """
        try:
            super().startService()
        except StoreUnavailable as error:
            raise refusal(error) from None


def accessLog(where: str) -> dict[str, Any]:
    """Say to the site what `--access-log` says."""
    return {"accessLog": where != "none", "logPath": None if where in {"none", "log"} else where}


def makeStore(reactor: Any, path: str | None, window: int) -> IStreamStore:
    """Make the store that `--store` asks for."""
    return MemoryStore(reactor, window) if path is None else SQLiteStore(reactor, path, window)


def makeService(options: Options) -> Server:
    """Make the service that `twistd sseserver` runs."""
    from twisted.internet import reactor  # noqa: PLC0415  (importing it installs it: not before --reactor was read)

    settings = Settings(
        heartbeat=options["heartbeat"],
        reconnectionTime=options["retry"],
        linger=options["linger"],
        maxViewers=options["max-viewers"],
        maxRuns=options["max-runs"],
        maxWaiting=options["max-waiting"],
        stall=options["stall"],
        keep=options["keep"],
        window=options["window"],
        maxBytes=options["max-bytes"],
        maxStreams=options["max-streams"],
        readAhead=options["read-ahead"],
    )
    store = makeStore(reactor, options["store"], settings.kept)
    streams = StreamService(reactor, makeSource(reactor, options), settings, store)
    server = Server()
    streams.setServiceParent(server)
    site: Any = StreamSite(StreamResource(streams, options["prompt"]), **accessLog(options["access-log"]))
    for endpoint in options["listen"]:
        listener: Any = strports.service(endpoint, site, reactor)
        listener.endpoint = TunedEndpoint(listener.endpoint)
        listener.setServiceParent(server)
    # The last to start, when everything that stays is there.
    RareCollections().setServiceParent(server)
    return server
