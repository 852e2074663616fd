"""
The whole server as a Twisted service: the stream service, and listeners around it.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized

from sseserver.command.control import Control
from sseserver.command.listeners import makeListener
from sseserver.command.listening import BadEndpoint, makeURL
from sseserver.command.logs import ProcessLog
from sseserver.command.starting import makeExit, tryAccessLog
from sseserver.command.stopping import StopState
from sseserver.command.tlsport import TLSReactor, isTLS
from sseserver.command.workers.obeying import Obedience
from sseserver.delivery.socketoptions import TunedEndpoint
from sseserver.errors import StoreUnavailable
from sseserver.service.service import StreamService
from sseserver.stores.sqlite.database import findUsable
from sseserver.web.site import StreamSite


class Server(MultiService):
    """
    The whole server. Starts the stream service before the listeners and stops it after them.

    Args:
        store: File of the SQLite store, if there is one.
        isWorker: Whether a pool names the URLs in the log.

    Attributes:
        control: Handles signals and tells the service manager, or obeys a pool, while the server runs; `None` for none.
        hasPage: Whether there is a page for operators.
        log: The log of the process; `None` leaves it to the runner.
        summary: Follows the URLs of `--listen` in the log.
    """

    _log = Logger()

    def __init__(self, store: str | None = None, isWorker: bool = False) -> None:
        super().__init__()
        self.control: Control | Obedience | None = None
        self.hasPage = False
        self.log: ProcessLog | None = None
        self.summary = ""
        self._storePath = store
        self._isWorker = isWorker
        self._logPath: str | bytes | None = None
        self._endpoints: list[tuple[str, TunedEndpoint]] = []
        self._operators: TunedEndpoint | None = None
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
        listener = makeListener(reactor, description, site, option)
        listener.setServiceParent(self)
        self._logPath = self._logPath or site.logPath
        self._endpoints.append((description, listener.endpoint))
        if option == "admin-listen":
            self._operators = listener.endpoint

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
            url = None if endpoint.port is None or self._isWorker else makeURL(description, endpoint.port.getHost())
            if url is not None:
                isForOperators = endpoint is self._operators
                about = "for operators" if isForOperators else self.summary
                place = "admin/" if isForOperators and self.hasPage else ""
                self._log.info("Open {url}{place} ({about})", url=url, place=place, about=about)

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
