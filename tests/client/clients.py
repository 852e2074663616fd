"""Base class of the client tests: an `EventSource` on wires in memory, and a server that the test plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from sseserver.client import EventSource, Limits, Request, RetryPolicy, State, retry
from sseserver.wire import Event
from tests.wires import Wire, WireReactor, WireTestCase

URL = "http://server.test/streams/answer?format=events"

STREAM = {"Content-Type": "text/event-stream"}


@implementer(IAgentEndpointFactory)
class Network:
    """
    Endpoints of an agent that lead to the test.

    Attributes:
        refusals: The errors of the next connections; `None` leaves one unanswered for ever.
        asked: Host and port of each connection.
    """

    def __init__(self, connect: Callable[[Any], Wire]) -> None:
        self._connect = connect
        self.refusals: list[Exception | None] = []
        self.asked: list[tuple[bytes, int]] = []

    def endpointForURI(self, uri: Any) -> Any:
        """See `IAgentEndpointFactory.endpointForURI`."""
        self.asked.append((uri.host, uri.port))
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect, or fail with the next refusal."""
        if self.refusals:
            refusal = self.refusals.pop(0)
            return Deferred() if refusal is None else fail(refusal)
        return succeed(self._connect(factory).transport.protocol)


class TurningReactor(WireReactor):
    """Reactor that makes due calls between reading and writing, as an aborted connection needs."""

    def _move(self) -> bool:
        moved = super()._move()
        Clock.advance(self, 0)
        return moved


class ClientTestCase(WireTestCase):
    """
    Tests of one `EventSource`.

    Attributes:
        events: The delivered events.
        opened: The responses passed to `onOpen`.
        retries: The errors and delays passed to `onRetry`.
    """

    def setUp(self) -> None:
        super().setUp()
        self.reactor = TurningReactor()
        self.network = Network(self.connect)
        self.events: list[Event] = []
        self.opened: list[Any] = []
        self.retries: list[tuple[Exception | None, float]] = []
        self.sources: list[EventSource] = []
        # The longest delay. The jitter has a test of its own.
        self.patch(retry, "uniform", lambda least, most: most)

    def stop(self) -> None:
        for source in self.sources:
            source.close()

    def make(self, url: str = URL, **keywords: Any) -> EventSource:
        """
        Make a client that records everything.

        Args:
            url: URL of the request.
            keywords: Callbacks, `agent`, `retry=None`, and fields of `Request`, `RetryPolicy` and
                `Limits`.
        """
        request, policy, limits = (
            {field.name: keywords.pop(field.name) for field in fields(kind) if field.name in keywords}
            for kind in (Request, RetryPolicy, Limits)
        )
        source = EventSource(
            self.reactor,
            Request(url, **request),
            keywords.pop("onEvent", self.events.append),
            retry=keywords.pop("retry", RetryPolicy(**policy)),
            limits=Limits(**limits),
            agent=keywords.pop("agent", None) or Agent.usingEndpointFactory(self.reactor, self.network),
        )
        source.onOpen = keywords.pop("onOpen", self.opened.append)
        source.onData = keywords.pop("onData", None)
        source.onRetry = keywords.pop("onRetry", lambda error, delay: self.retries.append((error, delay)))
        self.assertEqual(keywords, {})
        self.sources.append(source)
        return source

    def begin(self, url: str = URL, **keywords: Any) -> EventSource:
        """Make a client and start it."""
        source = self.make(url, **keywords)
        self.done = source.start()
        self.reactor.turn()
        return source

    def open(self, body: bytes = b"", **keywords: Any) -> EventSource:
        """Make a client, start it and answer with the start of an event stream."""
        source = self.begin(**keywords)
        self.respond()
        self.chunk(body)
        return source

    def respond(self, status: str = "200 OK", headers: dict[str, str] | None = None, body: bytes | None = None) -> None:
        """Write the head of a response to the newest wire, followed by the whole body or by chunks."""
        headers = dict(STREAM if headers is None else headers)
        if body is None:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.wires[-1].send("\r\n".join(lines).encode("latin-1") + (body or b""))

    def chunk(self, data: bytes) -> None:
        """Write one chunk."""
        if data:
            self.wires[-1].send(b"%x\r\n%b\r\n" % (len(data), data))

    def finish(self) -> None:
        """Write the end of a chunked response."""
        self.wires[-1].send(b"0\r\n\r\n")

    def request(self, index: int = -1) -> tuple[str, dict[str, str], bytes]:
        """Return the request on a wire: first line, headers by lower-case name, body."""
        head, _, body = self.wires[index].received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        return first, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body

    @property
    def data(self) -> list[str]:
        """Data of the events."""
        return [event.data for event in self.events]

    def assertFails(self, kind: type[Exception]) -> Any:
        """Check that the client has failed and holds no connection and no timer, and return the error."""
        failure = self.failureResultOf(self.done, kind)
        self.assertOver()
        return failure.value

    def assertOver(self) -> None:
        """Check that the client has ended and holds no connection and no timer."""
        self.assertEqual(self.sources[-1].state, State.CLOSED)
        self.reactor.advance(0)
        self.assertEqual([str(call) for call in self.reactor.getDelayedCalls()], [])
        self.assertTrue(all(wire.closed for wire in self.wires))
