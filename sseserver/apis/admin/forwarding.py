"""
Requests of operators to a pool that one of its workers answers: the pool has neither streams nor viewers.

The connection to a worker is a pair of sockets, made for one request (`sseserver.command.workers.process`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from sseserver.delivery.connection import isOver
from sseserver.errors import BadRequest, Overloaded, SSEServerError
from sseserver.web.answers import answerError, finishAnswer
from sseserver.web.request import readParameter

log = Logger(__name__)

#: Connects a protocol of a factory to a worker: that of a number, or any.
Connect = Callable[[IProtocolFactory, int | None], Deferred[Any]]

#: Header fields of one connection (RFC 9110 section 7.6.1), and the length, which each side finds by itself.
_OWN = frozenset({b"connection", b"content-length", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"})

#: Digits of the largest number of a worker.
_MAX_DIGITS = 2


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _WorkerEndpoint:
    """The endpoint of a worker, whatever the URL."""

    def __init__(self, connect: Connect, number: int | None) -> None:
        self._connect = connect
        self._number = number

    def endpointForURI(self, uri: URI) -> _WorkerEndpoint:
        """See `IAgentEndpointFactory.endpointForURI`."""
        return self

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """See `IStreamClientEndpoint.connect`."""
        return self._connect(factory, self._number)


class _Relay(Protocol):
    """Writes the body of an answer to a request, as fast as its client reads."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def connectionMade(self) -> None:
        """Begin: the client paces the worker."""
        self._request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol.dataReceived`."""
        if not isOver(self._request):
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the answer as that of the worker has ended."""
        if isOver(self._request):
            return
        self._request.unregisterProducer()
        if reason.check(ResponseDone):
            self._request.finish()
        else:
            self._request.loseConnection()


class Forwarding(Resource):
    """
    Lets a worker answer. The parameter `worker` chooses one; otherwise it is the first that runs.

    Args:
        reactor: Times the connections.
        connect: Connects to a worker.
    """

    isLeaf = True

    def __init__(self, reactor: Any, connect: Connect) -> None:
        super().__init__()
        self._reactor = reactor
        self._connect = connect

    def render(self, request: Request) -> Any:
        """Pass the request on. The worker checks its rights."""
        forwarding = Deferred.fromCoroutine(self._forward(request))
        forwarding.addErrback(lambda failure: log.failure("A request was not passed on to a worker", failure))
        return NOT_DONE_YET

    async def _forward(self, request: Request) -> None:
        try:
            endpoint = _WorkerEndpoint(self._connect, _readWorker(request))
        except BadRequest as error:
            _refuse(request, error)
            return
        fields = Headers(dict(_listPassed(request.requestHeaders)))
        agent = Agent.usingEndpointFactory(self._reactor, endpoint)
        asked = agent.request(request.method, b"http://worker" + request.uri, fields)
        # The client may leave before there is an answer; afterwards it stops the relay.
        request.notifyFinish().addErrback(lambda _: asked.cancel())
        try:
            response = await asked
        except Exception as error:
            # The worker is gone, or does not answer in time. Or the client has left, and the request was cancelled.
            if not isOver(request):
                log.warn("No worker has answered a request of an operator: {error!r}", error=error)  # noqa: G010 (a logger of Twisted)
            _refuse(request, Overloaded("No worker answers; retry later."))
            return
        request.setResponseCode(response.code, response.phrase)
        for name, values in _listPassed(response.headers):
            request.responseHeaders.setRawHeaders(name, values)
        response.deliverBody(_Relay(request))


def _listPassed(headers: Headers) -> Iterator[tuple[bytes, Sequence[bytes]]]:
    """List the header fields that are passed on."""
    return ((name, values) for name, values in headers.getAllRawHeaders() if name.lower() not in _OWN)


def _readWorker(request: Request) -> int | None:
    """
    Read the parameter `worker`.

    Raises:
        BadRequest: It is no number.
    """
    value = readParameter(request, b"worker")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS):
        raise BadRequest("The parameter worker must be the number of a worker.")
    return int(value)


def _refuse(request: Request, error: SSEServerError) -> None:
    if not isOver(request):
        finishAnswer(request, answerError(request, error))
