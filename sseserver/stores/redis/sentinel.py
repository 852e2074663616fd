"""
Sentinel: finds the master of a Redis that has replicas, at each connection.

Nothing is subscribed to: after a fail-over the Sentinels end the connections to the server that was the master, and a
server that has become a replica refuses the next renewal of a lease.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.address import Address, Credentials, Server, makeEndpoint
from sseserver.stores.redis.connection import RedisConnection, Refused, Reply, makeFactory

log = Logger(__name__)


@implementer(IStreamClientEndpoint)
class SentinelEndpoint:
    """
    The master that the Sentinels name.

    Args:
        reactor: Connects.
        address: The Sentinels, and the name of the service.
        credentials: Sent to Sentinels that want them.
    """

    def __init__(self, reactor: Any, address: Address, credentials: Credentials) -> None:
        self._reactor = reactor
        self._address = address
        self._credentials = credentials
        self._sentinels = list(address.servers)
        self._master: Server | None = None

    @inlineCallbacks
    def connect(self, protocolFactory: IProtocolFactory) -> Generator[Deferred[Any], Any, IProtocol]:
        """
        See `IStreamClientEndpoint.connect`.

        Args:
            protocolFactory: Makes the protocol of the connection to the master.

        Raises:
            StoreUnavailable: (errback) No Sentinel can be reached, or none knows the service.
        """
        problems: list[str] = []
        for sentinel in tuple(self._sentinels):
            # The next attempt begins with another one: this one may not know yet that the master is gone.
            self._sentinels.append(self._sentinels.pop(0))
            try:
                master = yield self._findMaster(sentinel)
            except CancelledError:
                raise
            except Exception as error:
                # Of the resolver, of TCP, of TLS, or of the Sentinel.
                problems.append(f"{sentinel}: {getattr(error, 'text', error)}")
                continue
            if master != self._master:
                self._master = master
                log.info("The master of {service} is {master}", service=self._address.service, master=master)
            protocol: IProtocol = yield makeEndpoint(self._reactor, master, self._address.tls).connect(protocolFactory)
            return protocol
        raise StoreUnavailable(f"No Sentinel names the master of {self._address.service} ({'; '.join(problems)}).")

    @inlineCallbacks
    def _findMaster(self, sentinel: Server) -> Generator[Deferred[Any], Any, Server]:
        connection = RedisConnection(self._reactor, None, bool)
        endpoint = makeEndpoint(self._reactor, sentinel, self._address.tls)
        yield endpoint.connect(makeFactory(connection))
        try:
            try:
                reply = yield self._ask(connection)
            except Refused as refused:
                if refused.word != "NOAUTH" or not self._credentials.password:
                    raise
                user = (self._credentials.user,) if self._credentials.user else ()
                yield connection.ask("AUTH", *user, self._credentials.password)
                reply = yield self._ask(connection)
        finally:
            connection.abort()
        if reply is None:
            raise StoreUnavailable("it does not know this service")
        host, port = reply
        return Server(host.decode("ascii"), int(port))

    def _ask(self, connection: RedisConnection) -> Deferred[Reply]:
        return connection.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
