"""
The `twistd sseserver` command: parses the options and builds the service from them.

This module chooses the concrete store, token source and listeners, and it is the only one in the
server that imports the reactor. twistd finds it through `twisted/plugins/sseserver_plugin.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.application import strports
from twisted.application.service import MultiService
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.python import usage

from sseserver import __version__, compiled
from sseserver.apis.root import StreamResource
from sseserver.delivery.socketoptions import TunedEndpoint
from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IStreamStore, ITokenSource
from sseserver.options import OPTIONS, Option, defaultOf, optionNamed
from sseserver.optiontypes import FILE, FLAG
from sseserver.programoptions import checkCommand, checkProgram, makeProgram
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.text import WELCOME, TextSource
from sseserver.sources.upstream import checkURL
from sseserver.speedups.garbage import RareCollections
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.stores.sqlite.database import findUsable
from sseserver.timing.turnend import TurnEnd
from sseserver.upstreamoptions import checkUpstream, makeUpstream
from sseserver.values import MODEL
from sseserver.web.site import StreamSite

#: Highest TCP port.
_MAX_PORT = 65535

#: Options that name a token source; at most one may be given.
_SOURCES = ("text", "exec", "upstream")


#: Checks of values that need the token sources; they follow the conversion that the table names.
_CHECKS: dict[str, Callable[[Any], Any]] = {"exec": checkCommand, "upstream": checkURL}


def _coercion(option: Option) -> Callable[[str], Any]:
    """Return the conversion of an option's value; its errors name the option, which Twisted's own do not."""
    check = _CHECKS.get(option.name)

    def coerce(text: str) -> Any:
        try:
            value = option.type.read(text)
            return value if check is None else check(value)
        except ValueError as error:
            raise ValueError(f"--{option.name}: {error}") from None

    return coerce


def _help(option: Option) -> str:
    """Return the help text of an option as plain text, with what Twisted does not add by itself."""
    text = option.help.replace("`", "")
    if option.environment is not None:
        text += f" The environment variable {option.environment}=1 does the same."
    if option.repeatable and option.default is not None:
        text += f" [default: {option.default}]"
    return text


def _parameters() -> list[list[Any]]:
    """Return the table's options with one value, as Twisted wants them."""
    return [
        [
            option.name,
            option.short,
            None if option.name == "max-runs" else option.default,
            _help(option),
            _coercion(option),
        ]
        for option in OPTIONS
        if option.onCommandLine and option.type is not FLAG and not option.repeatable
    ]


def _flags() -> list[list[Any]]:
    """Return the table's flags, as Twisted wants them."""
    return [[option.name, option.short, _help(option)] for option in OPTIONS if option.type is FLAG]


class Options(usage.Options):
    """Command line of `twistd sseserver`, made from the table of options."""

    synopsis = "[options]"
    longdesc = """\
Streams text token by token to browsers and programs over Server-Sent Events. \
Without options it serves a page on http://127.0.0.1:8000/ on which a built-in \
text appears word by word. In production, put a reverse proxy in front of it \
that terminates TLS, speaks HTTP/2 and does not buffer responses. Sizes in bytes \
can be written with K, M or G, such as --window 64M."""

    optParameters = _parameters()
    optFlags = _flags()
    compData = usage.Completions(
        optActions={option.name: usage.CompleteFiles() for option in OPTIONS if option.type is FILE}
    )

    def __init__(self) -> None:
        super().__init__()
        self["listen"] = []
        self["upstream-header"] = []
        self["exec-env"] = []

    def opt_listen(self, endpoint: str) -> None:  # noqa: D102  (the table has its text)
        self["listen"].append(endpoint)

    opt_listen.__doc__ = _help(optionNamed("listen"))

    opt_l = opt_listen

    def opt_upstream_header(self, header: str) -> None:  # noqa: D102  (the table has its text)
        self["upstream-header"].append(header)

    opt_upstream_header.__doc__ = _help(optionNamed("upstream-header"))

    def opt_exec_env(self, name: str) -> None:  # noqa: D102  (the table has its text)
        self["exec-env"].append(name)

    opt_exec_env.__doc__ = _help(optionNamed("exec-env"))

    def opt_version(self) -> None:
        """Print the version of sseserver and whether it is the compiled build, and exit."""
        sys.stdout.write(f"sseserver {__version__}, {'compiled' if compiled else 'pure Python'}\n")
        sys.exit(0)

    def parseArgs(self, *arguments: str) -> None:
        """Refuse positional arguments."""
        if arguments:
            raise usage.UsageError(f"{arguments[0]!r}: there are no arguments, only options (see --help)")

    def postOptions(self) -> None:
        """Check endpoints, files and combinations of options before anything listens."""
        self["listen"] = self["listen"] or [defaultOf("listen")]
        for endpoint in self["listen"]:
            checkEndpoint(endpoint)
        checkSource(self)
        checkProgram(self, None if self.parent is None else self.parent.get("rundir"))
        if self["max-runs"] is None:
            # A program takes a core; other sources mostly wait.
            self["max-runs"] = defaultOf("max-runs") if self["exec"] is None else 4 * (os.cpu_count() or 1)
        self["words"] = WELCOME if self["text"] is None else readText(self["text"])


def checkEndpoint(description: str) -> None:
    """
    Check that a string describes a server endpoint.

    Raises:
        usage.UsageError: It does not.
    """
    from twisted.internet import reactor

    try:
        # Twisted checks the port when it binds: with an `OverflowError` that leaves the socket open.
        if not 0 <= getattr(serverFromString(reactor, description), "_port", 0) <= _MAX_PORT:
            raise ValueError(f"the port must be between 0 and {_MAX_PORT}")
    except Exception as error:
        # Endpoint plugins raise any type: `ValueError`, `TypeError`, `OSError` for a certificate file.
        raise usage.UsageError(f"--listen {description}: {str(error) or type(error).__name__}") from None


def checkSource(options: Mapping[str, Any]) -> None:
    """
    Check that the options describe one token source.

    Raises:
        usage.UsageError: Options exclude each other, or one is missing.
    """
    given = [f"--{name}" for name in _SOURCES if options[name] is not None]
    if len(given) > 1:
        raise usage.UsageError(f"{' and '.join(given)}: give only one of them")
    checkUpstream(options)


def readText(name: str) -> str:
    """
    Return the text of a file.

    Args:
        name: Path of a UTF-8 file; `-` is standard input.

    Raises:
        usage.UsageError: The file cannot be read or is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise usage.UsageError(f"--text {name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise usage.UsageError(f"--text {name}: not UTF-8 at byte {error.start}") from None


def makeExit(error: Exception) -> SystemExit:
    """
    Return the exception that ends a server which cannot start: one line of text, exit code 1.

    By this time twistd has redirected `sys.stderr` to the log. The line is written to the terminal,
    or, for a daemon, to the log.
    """
    line = f"sseserver: {error}"
    if sys.__stderr__ is None or os.path.samestat(os.fstat(2), Path(os.devnull).stat()):
        return SystemExit(line)
    sys.__stderr__.write(f"{line}\n")
    return SystemExit(1)


class Server(MultiService):
    """
    The whole server. Starts the stream service before the listeners and stops it after them.

    Args:
        store: File of the SQLite store, if there is one.
    """

    def __init__(self, store: str | None = None) -> None:
        super().__init__()
        self._storePath = store

    def privilegedStartService(self) -> None:
        """
        Check the store, then listen.

        The store is opened later, without the privileges that listening may need. A server whose
        store another one has open must not take connections in between.

        Raises:
            SystemExit: The store cannot be opened, or an address cannot be bound. It ends the
                process with one line, where twistd would show a traceback.
        """
        try:
            if self._storePath is not None:
                findUsable(self._storePath)
            super().privilegedStartService()
        except (CannotListenError, OSError, StoreUnavailable) as error:
            raise makeExit(error) from None

    def startService(self) -> None:
        """
        Open the store.

        Raises:
            SystemExit: The store cannot be opened.
        """
        try:
            super().startService()
        except StoreUnavailable as error:
            raise makeExit(error) from None


def makeSettings(options: Mapping[str, Any]) -> Settings:
    """Return the settings that the options describe; a flag that is not given keeps its default."""
    given = [option for option in OPTIONS if option.setting and option.onCommandLine]
    values = {str(option.setting): options[option.name] for option in given if option.type is not FLAG}
    flags = {str(option.setting): True for option in given if option.type is FLAG and options[option.name]}
    return Settings(**values, **flags)


def makeStore(reactor: Any, path: str | None, window: int, turnEnd: TurnEnd | None = None) -> IStreamStore:
    """
    Return the store that `--store` describes.

    Args:
        reactor: Passed to the store.
        path: Path of an SQLite file; `None` for memory.
        window: Bytes of entries that each stream keeps.
        turnEnd: The one of the service.
    """
    if path is None:
        return MemoryStore(reactor, window, turnEnd=turnEnd)
    return SQLiteStore(reactor, path, window, turnEnd=turnEnd)


def makeSource(reactor: Any, options: Mapping[str, Any], turnEnd: TurnEnd | None = None) -> ITokenSource:
    """Return the token source that the options describe, with the turn end of the service."""
    if options["exec"] is not None:
        return makeProgram(reactor, options)
    if options["upstream"] is not None:
        return makeUpstream(reactor, options, turnEnd)
    return TextSource(reactor, options["words"], options["interval"], options["model"] or MODEL, turnEnd=turnEnd)


def makeSite(streams: StreamService, options: Mapping[str, Any]) -> StreamSite:
    """Return the site with all resources, and with the access log that the options describe."""
    accessLog = options["access-log"]
    return StreamSite(
        StreamResource(streams, options["prompt"]),
        accessLog=accessLog != "none",
        logPath=None if accessLog in {"none", "log"} else accessLog,
        plain=options["plain"] or None,
        maxBody=streams.settings.modelBody,
    )


def makeService(options: Options) -> Server:
    """Return the service that `twistd sseserver` runs."""
    from twisted.internet import reactor

    settings = makeSettings(options)
    turnEnd = TurnEnd(reactor)
    store = makeStore(reactor, options["store"], settings.kept, turnEnd)
    source = makeSource(reactor, options, turnEnd)
    streams = StreamService(reactor, source, settings, store, turnEnd=turnEnd)
    server = Server(options["store"])
    streams.setServiceParent(server)
    site: Any = makeSite(streams, options)
    for endpoint in options["listen"]:
        listener: Any = strports.service(endpoint, site, reactor)
        listener.endpoint = TunedEndpoint(listener.endpoint)
        listener.setServiceParent(server)
    if not settings.plain:
        # Starts last: it freezes the objects that exist by then.
        RareCollections().setServiceParent(server)
    return server
