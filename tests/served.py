"""
The whole server on wires in memory, with a token source that the test writes by hand.
"""

from __future__ import annotations

from typing import Any, Unpack

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.apis.root import StreamResource
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.service.service import Settings, StreamService
from sseserver.values import Prompt
from tests.http import EVENTSOURCE, RequestParts, Response
from tests.wires import Wire, WireTestCase


class Script:
    """
    One run of a `ScriptedSource`, driven by the test.

    Attributes:
        sink: The run's sink.
        prompt: The run's prompt, if any.
        cancelled: Whether the run's Deferred was cancelled.
        done: The Deferred that the source returned.
    """

    def __init__(self, sink: ITokenSink, prompt: Prompt | None) -> None:
        self.sink = sink
        self.prompt = prompt
        self.cancelled = False
        self.done: Deferred[Any] = Deferred(self._cancelled)

    def _cancelled(self, done: Deferred[Any]) -> None:
        self.cancelled = True

    def write(self, *tokens: str) -> None:
        """Write tokens."""
        for token in tokens:
            self.sink.write(token)

    def end(self, result: object = None) -> None:
        """End the run."""
        self.done.callback(result)

    def fail(self, problem: Exception) -> None:
        """Fail the run."""
        self.done.errback(Failure(problem))


@implementer(ITokenSource)
class ScriptedSource:
    """
    A token source whose runs are driven by the test.

    Attributes:
        runs: All runs that were started, the newest last.
    """

    model = "script"

    def __init__(self, takesPrompt: bool = False) -> None:
        self.takesPrompt = takesPrompt
        self.runs: list[Script] = []

    @property
    def run(self) -> Script:
        """The newest run."""
        return self.runs[-1]

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[Any]:
        """See `ITokenSource.produce`."""
        self.runs.append(Script(sink, prompt))
        return self.run.done


class ServedTestCase(WireTestCase):
    """
    Tests of the whole server with a scripted source.

    Attributes:
        settings: Settings of the service.
        takesPrompt: Whether the source takes a prompt.
        source: The scripted source.
        service: The newest service.
        factory: The site that new connections reach.
    """

    settings = Settings()
    takesPrompt = False

    def setUp(self) -> None:
        super().setUp()
        self.services: list[StreamService] = []
        self.source = ScriptedSource(self.takesPrompt)
        self.serve(self.source)

    def serve(self, source: ITokenSource, settings: Settings | None = None, store: Any = None) -> None:
        """Serve a source; new connections reach this service."""
        self.service = StreamService(self.reactor, source, settings or self.settings, store)
        self.services.append(self.service)
        self.service.startService()
        self.resource = StreamResource(self.service)
        self.factory: Any = self.site(self.resource)

    def beginStop(self) -> list[Deferred[None]]:
        """Begin to stop all services, without the time that runs and viewers have; return what fires at the ends."""
        stopped = [service.stopService() for service in self.services]
        for service in self.services:
            service.hurry()
        return stopped

    def stop(self) -> None:
        """Stop all services."""
        stopped = self.beginStop()
        # A wake-up may wait for the end of its flush tick.
        self.reactor.advance(0.02)
        for each in stopped:
            self.successResultOf(each)

    def ask(
        self,
        path: str = "/",
        accept: str | None = None,
        method: str = "GET",
        body: bytes | None = None,
        **rest: Unpack[RequestParts],
    ) -> Response:
        """Send a request on a new connection and return the response, as far as it arrives at once."""
        return self.connect(self.factory).ask(path, accept, method, body, **rest)

    def view(
        self, path: str = "/", lastEventID: str | None = None, version: str = "1.1", room: int | None = None
    ) -> Wire:
        """
        Request an event stream on a new connection, as an EventSource does.

        Args:
            path: Of the stream.
            lastEventID: Value of `Last-Event-ID`, if any.
            version: Of HTTP.
            room: Bytes that the client takes; `None` takes all.
        """
        wire = self.connect(self.factory)
        wire.socket.room = room
        headers = {} if lastEventID is None else {"Last-Event-ID": lastEventID}
        wire.begin(path, EVENTSOURCE, version=version, headers=headers)
        return wire

    def startRun(self) -> str:
        """Start a run by POST and return the path of its stream."""
        response = self.ask("/streams", method="POST", body=b"")
        assert response.status == 201, response
        return response.headers["location"]

    def state(self, path: str) -> dict[str, Any]:
        """Return the JSON state of a stream."""
        state: dict[str, Any] = self.ask(path, "application/json").json
        return state
