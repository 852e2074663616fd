"""
The ways in which a server does not start: what ends it, and what is tried before a daemon leaves its terminal.

`sseserver.tap` uses it.
"""

from __future__ import annotations

import atexit
import errno
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.abstract import isIPv6Address
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.command.listening import BadEndpoint, ExplainedEndpoint
from sseserver.command.redisstore import isRedis
from sseserver.errors import StoreUnavailable
from sseserver.redaction import showMessage
from sseserver.stores.sqlite.database import findUsable
from sseserver.web.logfile import LogFile

log = Logger(__name__)

#: Types of endpoints whose address can be tried.
_TRIED = ("tcp", "tcp6", "ssl", "unix")


class CannotStart(SystemExit, Exception):
    """
    Ends a server that cannot start, with one line of text and exit code 1.

    twistd waits for a daemon until it has reported its start, and removes its pid file, only if it catches an
    `Exception`. A `SystemExit` ends the process without a traceback.
    """


def makeExit(error: Exception) -> CannotStart:
    """
    Return the exception that ends a server which cannot start.

    By this time twistd has redirected `sys.stderr` to the log. The line is written to the terminal,
    or, for a daemon, to the log.
    """
    line = f"sseserver: {showMessage(str(error))}"
    if sys.__stderr__ is None or os.path.samestat(os.fstat(2), Path(os.devnull).stat()):
        return CannotStart(line)
    sys.__stderr__.write(f"{line}\n")
    return CannotStart(1)


def endStart(reactor: Any, error: Exception, register: Callable[..., object] = atexit.register) -> None:
    """
    End a server that runs already, but has found out only now that it cannot start. Its exit code is 1.

    Args:
        reactor: Is stopped.
        error: The reason.
        register: Registers a call at the end of the process.
    """
    log.error("The server cannot start: {error}", error=error)
    makeExit(error)
    # twistd removes its pid file, and would end with 0.
    register(os._exit, 1)
    reactor.stop()


def tryStart(runner: Mapping[str, Any] | None, options: Mapping[str, Any]) -> None:
    """
    Try whether a daemon will be able to start, while it still has its terminal.

    Args:
        runner: Options of twistd.
        options: Options of the server.

    Raises:
        CannotStart: An address or the store is in use, or the file of the access log cannot be written.
    """
    # `twist` has no daemons. Below another root paths mean something else.
    if runner is None or runner.get("nodaemon", True) or runner.get("chroot"):
        return
    try:
        if options["store"] is not None and not isRedis(options["store"]):
            findUsable(str(Path(runner["rundir"]) / options["store"]))
        for description in options["listen"]:
            if description.partition(":")[0] in _TRIED:
                tryAddress(description)
        if options["access-log"] not in {"log", "none"}:
            tryAccessLog(options["access-log"])
    except (BadEndpoint, OSError, StoreUnavailable) as error:
        raise CannotStart(f"sseserver: {showMessage(str(error))}") from None


def tryAddress(description: str) -> None:
    """
    Try whether an endpoint could listen.

    Args:
        description: An endpoint of type `tcp`, `tcp6`, `ssl` or `unix`, in Twisted's notation.

    Raises:
        BadEndpoint: Its address is in use, or not one of this machine, or the folder of its socket is missing.
    """
    failures: list[Failure] = []
    endpoint = ExplainedEndpoint(description, serverFromString(_Binding(), description))
    endpoint.listen(Factory()).addErrback(failures.append)
    for failure in failures:
        failure.raiseException()


def tryAccessLog(path: str) -> None:
    """
    Try whether the file of the access log can be written. It is made if it is missing.

    Args:
        path: Path of the file.

    Raises:
        OSError: It cannot. The text names the option.
    """
    try:
        LogFile(path).close()
    except OSError as error:
        reason = "nobody reads this pipe" if error.errno == errno.ENXIO else error.strerror or error
        raise OSError(f"--access-log {path}: {reason}") from None


class _Binding:
    """Stands for a reactor. Binds each address that it should listen on, and lets go of it."""

    def listenTCP(self, port: int, factory: Factory, backlog: int = 50, interface: str = "") -> None:
        """See `IReactorTCP.listenTCP`."""
        try:
            with socket.socket(socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET) as bound:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.bind((interface, port))
        except OSError as error:
            raise CannotListenError(interface, port, error) from None

    def listenSSL(
        self, port: int, factory: Factory, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> None:
        """See `IReactorSSL.listenSSL`."""
        self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(
        self, address: str, factory: Factory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> None:
        """See `IReactorUNIX.listenUNIX`."""
        try:
            # Not bound: that would make the file.
            Path(address).parent.stat()
            with socket.socket(socket.AF_UNIX) as client:
                if client.connect_ex(address) == 0:
                    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        except OSError as error:
            raise CannotListenError("", address, error) from None
