"""
The `twistd sseserver` command: builds the service from the options.

This module chooses the concrete store, token source and listeners, and it is the only one in the
server that imports the reactor. twistd finds it through `twisted/plugins/sseserver_plugin.py`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import FileIO
from typing import Any

from twisted.logger import Logger
from twisted.python import usage

from sseserver import compiled
from sseserver.apis import makeAdmin
from sseserver.apis.admin.measured import Measured
from sseserver.apis.admin.metrics import Metrics
from sseserver.command.access import makeCredentials, reloadCredentials, showsStreams
from sseserver.command.control import Control
from sseserver.command.given import findUnknown
from sseserver.command.heap import ReturnedMemory, findHeap
from sseserver.command.listening import BadEndpoint
from sseserver.command.logs import makeProcessLog
from sseserver.command.parsing import Options
from sseserver.command.program import makeProgram
from sseserver.command.reactortime import useMonotonicTime
from sseserver.command.redisstore import isRedis, makeRedisStore
from sseserver.command.server import Server
from sseserver.command.signals import Signals
from sseserver.command.sites import makeAdminSite, makeSite
from sseserver.command.starting import endStart, tryStart
from sseserver.command.stopping import Stop
from sseserver.command.summary import nameSource, nameStore, summarize
from sseserver.command.supervisor import Supervisor
from sseserver.command.upstream import makeUpstream, reloadUpstream
from sseserver.command.workers.making import makePool
from sseserver.command.workers.pool import Pool
from sseserver.interfaces import IStreamStore, ITokenSource
from sseserver.options import OPTIONS
from sseserver.options.types import FLAG
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.standardinput import InputSource
from sseserver.sources.text import TextSource
from sseserver.speedups.garbage import RareCollections
from sseserver.speedups.polling import limitTurns
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.timing.reactorlag import ReactorLag
from sseserver.timing.turnend import TurnEnd
from sseserver.values import MODEL
from sseserver.web.access.credentials import Credentials
from sseserver.web.access.rights import Access
from sseserver.web.site import StreamSite

#: Descriptor of standard input.
STANDARD_INPUT = 0

# `Options` is here for the plugin: twistd looks for it in this module.
__all__ = ["Options", "Server", "makeService", "makeSettings", "makeSource", "makeStore"]


def makeSettings(options: Mapping[str, Any]) -> Settings:
    """Return the settings that the options describe; a flag that is not given keeps its default."""
    given = [option for option in OPTIONS if option.setting]
    values = {str(option.setting): options[option.name] for option in given if option.type is not FLAG}
    flags = {str(option.setting): True for option in given if option.type is FLAG and options[option.name]}
    return Settings(**values, **flags)


def makeStore(reactor: Any, options: Mapping[str, Any], window: int, turnEnd: TurnEnd | None = None) -> IStreamStore:
    """
    Return the store that `--store` describes.

    Args:
        reactor: Passed to the store.
        options: The options, checked.
        window: Bytes of entries that each stream keeps.
        turnEnd: The one of the service.

    Raises:
        usage.UsageError: The store needs another package, or its credentials cannot be read.
    """
    path = options["store"]
    if path is None:
        return MemoryStore(reactor, window, turnEnd=turnEnd)
    if isRedis(path):
        return makeRedisStore(reactor, options, window, turnEnd, partial(endStart, reactor))
    return SQLiteStore(reactor, path, window, turnEnd=turnEnd, full=options["sync"] == "full")


def makeSource(reactor: Any, options: Mapping[str, Any], turnEnd: TurnEnd | None = None) -> ITokenSource:
    """
    Return the token source that the options describe.

    Args:
        reactor: Starts programs, connects, and measures time.
        options: The options, checked.
        turnEnd: The one of the service; `None` makes another.
    """
    if options["exec"] is not None:
        return makeProgram(reactor, options)
    if options["upstream"]:
        return makeUpstream(reactor, options, turnEnd)
    if options["text"] == "-":
        # A copy: a daemon has nothing at the descriptor itself.
        file = FileIO(os.dup(STANDARD_INPUT))
        return InputSource(reactor, file, options["window"], options["model"] or MODEL)
    return TextSource(reactor, options["words"], options["interval"], options["model"] or MODEL, turnEnd=turnEnd)


def reloadSource(source: Any, options: Mapping[str, Any]) -> None:
    """
    Read the files of a token source again: the text, or key and headers of an upstream.

    Args:
        source: What `makeSource` has made of the options.
        options: The options.

    Raises:
        usage.UsageError: A file cannot be read. Nothing is changed.
    """
    if options["upstream"]:
        reloadUpstream(source, options)
    elif options["text"] not in {None, "-"}:
        source.replaceText(options["files"].readText(options["text"]))


def makeSignals(
    reactor: Any,
    site: StreamSite,
    source: ITokenSource,
    supervisor: Supervisor,
    options: Mapping[str, Any],
    others: Sequence[Callable[[], object]] = (),
) -> Signals:
    """
    Return the handlers of the signals that operators send, but for those that stop the server.

    Args:
        reactor: Runs the handlers.
        site: Opens its access log again.
        source: Is read again.
        supervisor: Is told that files are read again.
        options: The options, which name the files of the source.
        others: Read other files again.
    """
    reload = makeReload(site, source, supervisor, options, others)
    # USR2 has no meaning here, but by default it would end the process.
    return Signals(reactor, {signal.SIGHUP: reload, signal.SIGUSR1: site.reopenLog, signal.SIGUSR2: lambda: None})


def makeReload(
    site: StreamSite,
    source: ITokenSource,
    supervisor: Supervisor,
    options: Mapping[str, Any],
    others: Sequence[Callable[[], object]],
) -> Callable[[], None]:
    """
    Return a function that reads all files again. What cannot be read is logged, and does not change.

    Args:
        site: Opens its access log again.
        source: Is read again.
        supervisor: Is told.
        options: The options, which name the files of the source.
        others: Read other files again.
    """
    log = Logger()

    def reload() -> None:
        supervisor.reloading()
        site.reopenLog()
        failed = False
        reads: list[Callable[[], object]] = [partial(reloadSource, source, options), *others]
        for read in reads:
            # A key that was taken back must not depend on another file.
            try:
                read()
            except (usage.UsageError, BadEndpoint) as error:
                failed = True
                log.error("Not reloaded: {error}", error=error)
        if not failed:
            log.info("Reloaded.")
        supervisor.ready()

    return reload


@dataclass(frozen=True, slots=True)
class Parts:
    """
    The parts of a server that does not listen yet.

    Attributes:
        server: The server, with its stream service.
        measured: What operators can watch.
        source: The token source.
        reads: Read files again: keys and certificates.
        credentials: Finds the principals of requests; `None` asks for none.
    """

    server: Server
    measured: Measured
    source: ITokenSource
    reads: Sequence[Callable[[], object]]
    credentials: Credentials | None


def makeParts(reactor: Any, options: Options, sessionKey: bytes | None = None) -> Parts:
    """
    Make the server that the options describe, without listeners and control.

    Args:
        reactor: The reactor.
        options: The options.
        sessionKey: The key that a worker shares with the others; `None` for a server of one process.
    """
    settings = makeSettings(options)
    turnEnd = TurnEnd(reactor)
    if not settings.plain:
        limitTurns(reactor, turnEnd)
    store = makeStore(reactor, options, settings.kept, turnEnd)
    source = makeSource(reactor, options, turnEnd)
    streams = StreamService(reactor, source, settings, store, turnEnd=turnEnd)
    server = Server(None if isRedis(options["store"]) else options["store"], sessionKey is not None)
    streams.setServiceParent(server)
    if isinstance(source, InputSource):
        source.setServiceParent(server)
    credentials = makeCredentials(reactor, options, sessionKey)
    site = makeSite(reactor, streams, options, credentials, turnEnd)
    reads: list[Callable[[], object]] = [server.reloadCertificates]
    if credentials is not None:
        reads.append(partial(reloadCredentials, credentials, options))
    about = (nameSource(options), nameStore(options["store"]))
    measured = Measured(streams, site, ReactorLag(reactor), compiled, *about)
    return Parts(server, measured, source, reads, credentials)


def makeStop(reactor: Any, parts: Parts, options: Options, supervisor: Supervisor) -> Stop:
    """
    Make what stops a server in steps.

    Args:
        reactor: Is stopped.
        parts: The parts of the server.
        options: The options.
        supervisor: Is told.
    """
    kill = getattr(parts.source, "kill", lambda: None)
    return Stop(reactor, parts.measured.service, options["drain-wait"], supervisor, kill)


def keepSmall(reactor: Any, server: Server, plain: bool) -> None:
    """
    Let a server return free memory, and collect garbage rarely. Nothing is added to it afterwards.

    Args:
        reactor: Times it.
        server: The server.
        plain: Whether to use no speedup.
    """
    heap = findHeap()
    if heap is not None:
        ReturnedMemory(reactor, heap).setServiceParent(server)
    if not plain:
        # Starts last: it freezes the objects that exist by then.
        RareCollections().setServiceParent(server)


def makeOperatorsAccess(reactor: Any, parts: Parts, options: Mapping[str, Any]) -> Access | None:
    """
    Make the check of the rights of operators; `None` if they have no page.

    Args:
        reactor: Listens.
        parts: The parts of the server.
        options: The options.
    """
    return Access(parts.credentials, parts.measured.service.wall) if showsStreams(reactor, options) else None


def watch(reactor: Any, parts: Parts, options: Mapping[str, Any]) -> None:
    """
    Let operators watch a server, if the options say so.

    Args:
        reactor: Listens.
        parts: The parts of the server.
        options: The options.
    """
    server, measured = parts.server, parts.measured
    if options["admin-listen"] is not None or options["metrics"]:
        measured.lag.setServiceParent(server)
    if options["admin-listen"] is not None:
        access = makeOperatorsAccess(reactor, parts, options)
        server.hasPage = access is not None
        root = makeAdmin(measured, options["hosts"], access)
        server.listen(reactor, options["admin-listen"], makeAdminSite(reactor, root, options), "admin-listen")
    if options["metrics"]:
        site: Any = measured.site
        site.resource.putChild(b"metrics", Metrics(measured))


def makeService(options: Options) -> Server | Pool:
    """
    Return the service that `twistd sseserver` runs.

    Raises:
        SystemExit: A daemon would not be able to start. It ends the process with one line on the terminal.
    """
    from twisted.internet import reactor

    useMonotonicTime(reactor)
    tryStart(options.parent, options)
    for sentence in findUnknown(os.environ):
        Logger().warn("{sentence}", sentence=sentence)
    if options["workers"] > 1:
        return makePool(reactor, options)
    parts = makeParts(reactor, options)
    server, measured = parts.server, parts.measured
    for endpoint in options["listen"]:
        server.listen(reactor, endpoint, measured.site)
    watch(reactor, parts, options)
    server.summary = summarize(options)
    server.log = makeProcessLog(reactor, options.parent, options["log-format"], options["log-level"])
    supervisor = Supervisor(reactor, os.environ)
    stop = makeStop(reactor, parts, options, supervisor)
    signals = makeSignals(reactor, measured.site, parts.source, supervisor, options, parts.reads)
    server.control = Control(reactor, signals, stop, supervisor)
    keepSmall(reactor, server, measured.service.settings.plain)
    return server
