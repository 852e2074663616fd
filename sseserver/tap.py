"""
The `twistd sseserver` command: builds the service from the options.

This module chooses the concrete store, token source and listeners, and it is the only one in the
server that imports the reactor. twistd finds it through `twisted/plugins/sseserver_plugin.py`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import FileIO
from typing import Any

from twisted.application import strports
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized

from sseserver import compiled
from sseserver.apis.admin.families import Measured
from sseserver.apis.admin.metrics import Metrics
from sseserver.command.access import makeCredentials, reloadCredentials
from sseserver.command.control import Control
from sseserver.command.heap import ReturnedMemory, findHeap
from sseserver.command.listening import BadEndpoint, ExplainedEndpoint, makeURL, restrictEndpoint
from sseserver.command.logs import ProcessLog, makeProcessLog
from sseserver.command.parsing import Options, readText
from sseserver.command.program import makeProgram
from sseserver.command.reactortime import useMonotonicTime
from sseserver.command.redisstore import isRedis, makeRedisStore
from sseserver.command.signals import Signals
from sseserver.command.sites import makeAdminSite, makeSite
from sseserver.command.starting import endStart, makeExit, tryAccessLog, tryStart
from sseserver.command.stopping import Stop, StopState
from sseserver.command.supervisor import Supervisor
from sseserver.command.tlsport import TLSReactor, isTLS
from sseserver.command.upstream import makeUpstream, readHeaders, readKey
from sseserver.delivery.socketoptions import TunedEndpoint
from sseserver.errors import StoreUnavailable
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
from sseserver.stores.sqlite.database import findUsable
from sseserver.timing.reactorlag import ReactorLag
from sseserver.timing.turnend import TurnEnd
from sseserver.values import MODEL
from sseserver.web.site import StreamSite

#: Descriptor of standard input.
STANDARD_INPUT = 0

# `Options` is here for the plugin: twistd looks for it in this module.
__all__ = ["Options", "Server", "makeService", "makeSettings", "makeSource", "makeStore"]


class Server(MultiService):
    """
    The whole server. Starts the stream service before the listeners and stops it after them.

    Args:
        store: File of the SQLite store, if there is one.

    Attributes:
        control: Handles signals and tells the service manager, while the server runs; `None` for none.
        log: The log of the process; `None` leaves it to the runner.
    """

    _log = Logger()

    def __init__(self, store: str | None = None) -> None:
        super().__init__()
        self.control: Control | None = None
        self.log: ProcessLog | None = None
        self._storePath = store
        self._logPath: str | bytes | None = None
        self._endpoints: list[tuple[str, TunedEndpoint]] = []
        self._tlsPorts: list[TLSReactor] = []

    def listen(self, reactor: Any, description: str, site: StreamSite, option: str = "listen") -> None:
        """
        Listen on one more endpoint when the server starts.

        Args:
            reactor: Listens.
            description: The endpoint, in Twisted's notation.
            site: What is served there.
            option: Name of the option that the endpoint comes from.
        """
        if isTLS(description):
            reactor = TLSReactor(reactor, description)
            self._tlsPorts.append(reactor)
        listener: Any = strports.service(restrictEndpoint(description), site, reactor)
        listener.endpoint = TunedEndpoint(ExplainedEndpoint(description, listener.endpoint, option))
        listener.setServiceParent(self)
        self._logPath = self._logPath or site.logPath
        self._endpoints.append((description, listener.endpoint))

    def reloadCertificates(self) -> None:
        """
        Read keys and certificates of all TLS ports again. Open connections keep theirs.

        Raises:
            BadEndpoint: One cannot be used. Its port keeps the one that it has.
        """
        for port in self._tlsPorts:
            port.reload()

    def setServiceParent(self, parent: Any) -> None:
        """See `IService.setServiceParent`. twistd asks the application for the observer of the log."""
        if self.log is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.log)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """
        Check the store and the access log, then listen.

        The store is opened later, without the privileges that listening may need. A server whose
        store another one has open must not take connections in between.

        Raises:
            SystemExit: The store or the access log cannot be opened, or an address cannot be bound. It ends
                the process with one line, where twistd would show a traceback.
        """
        try:
            if self._storePath is not None:
                findUsable(self._storePath)
            if self._logPath is not None:
                tryAccessLog(os.fsdecode(self._logPath))
            super().privilegedStartService()
        except (BadEndpoint, OSError, StoreUnavailable) as error:
            raise makeExit(error) from None

    def startService(self) -> None:
        """
        Open the store, and name the URLs in the log.

        Raises:
            SystemExit: The store cannot be opened.
        """
        try:
            super().startService()
        except StoreUnavailable as error:
            raise makeExit(error) from None
        if self.control is not None:
            self.control.start()
        for description, endpoint in self._endpoints:
            url = None if endpoint.port is None else makeURL(description, endpoint.port.getHost())
            if url is not None:
                self._log.info("Open {url}", url=url)

    def stopService(self) -> Deferred[Any]:
        """
        Drain the stream service, then stop everything.

        The server listens while it drains: a client that comes is told to return later. Signals are handled until the
        last part has stopped.
        """
        if self.control is not None:
            self.control.stop.begin()
        drains = [service.drain() for service in self if isinstance(service, StreamService)]
        if self.control is not None and self.control.stop.state is StopState.HURRIED:
            self.control.stop.hurry()
        stopping: Deferred[Any] = gatherResults(drains).addCallback(lambda _: MultiService.stopService(self))
        return stopping.addBoth(self._endControl)

    def _endControl(self, result: Any) -> Any:
        if self.control is not None:
            self.control.end()
        return result


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
    if options["upstream"] is not None:
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
    if options["upstream"] is not None:
        source.authenticate(readKey(options["upstream-key-file"]), readHeaders(options["upstream-header"]))
    elif options["text"] not in {None, "-"}:
        source.replaceText(readText(options["text"]))


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

    # USR2 has no meaning here, but by default it would end the process.
    return Signals(reactor, {signal.SIGHUP: reload, signal.SIGUSR1: site.reopenLog, signal.SIGUSR2: lambda: None})


def watch(reactor: Any, server: Server, measured: Measured, options: Mapping[str, Any]) -> None:
    """
    Let operators watch a server, if the options say so.

    Args:
        reactor: Listens.
        server: The server.
        measured: Its parts.
        options: The options.
    """
    if options["admin-listen"] is not None or options["metrics"]:
        measured.lag.setServiceParent(server)
    if options["admin-listen"] is not None:
        server.listen(reactor, options["admin-listen"], makeAdminSite(reactor, measured, options), "admin-listen")
    if options["metrics"]:
        measured.site.resource.putChild(b"metrics", Metrics(measured))


def makeService(options: Options) -> Server:
    """
    Return the service that `twistd sseserver` runs.

    Raises:
        SystemExit: A daemon would not be able to start. It ends the process with one line on the terminal.
    """
    from twisted.internet import reactor

    useMonotonicTime(reactor)
    tryStart(options.parent, options)
    settings = makeSettings(options)
    turnEnd = TurnEnd(reactor)
    store = makeStore(reactor, options, settings.kept, turnEnd)
    source = makeSource(reactor, options, turnEnd)
    streams = StreamService(reactor, source, settings, store, turnEnd=turnEnd)
    server = Server(None if isRedis(options["store"]) else options["store"])
    streams.setServiceParent(server)
    if isinstance(source, InputSource):
        source.setServiceParent(server)
    credentials = makeCredentials(reactor, options)
    site: Any = makeSite(reactor, streams, options, credentials)
    for endpoint in options["listen"]:
        server.listen(reactor, endpoint, site)
    watch(reactor, server, Measured(streams, site, ReactorLag(reactor), compiled), options)
    server.log = makeProcessLog(reactor, options.parent, options["log-format"], options["log-level"])
    supervisor = Supervisor(reactor, os.environ)
    stop = Stop(reactor, streams, options["drain-wait"], supervisor, getattr(source, "kill", lambda: None))
    others: list[Callable[[], object]] = [server.reloadCertificates]
    if credentials is not None:
        others.append(partial(reloadCredentials, credentials, options))
    signals = makeSignals(reactor, site, source, supervisor, options, others)
    server.control = Control(reactor, signals, stop, supervisor)
    heap = findHeap()
    if heap is not None:
        ReturnedMemory(reactor, heap).setServiceParent(server)
    if not settings.plain:
        limitTurns(reactor)
        # Starts last: it freezes the objects that exist by then.
        RareCollections().setServiceParent(server)
    return server
