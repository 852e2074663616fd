"""
Recorder: drives a real server on wires, and describes its answers without the parts that differ
    from run to run.

The scenarios in this package make their requests with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from zope.interface import implementer

from sseserver import Settings, StreamResource, StreamService, StreamSite
from sseserver.errors import StoreUnavailable
from sseserver.interfaces import IModels
from sseserver.stores.sqlite import SQLiteStore
from tests.http import Response, makeRequest, parseResponses
from tests.served import ScriptedSource
from tests.wires import Wire, WireReactor

EVENTS = "text/event-stream"
JSON = "application/json"
PLAIN = "text/plain"

#: The formats that have been there from the beginning; a later one gets a scenario of its own.
FORMATS = ("events", "text", "openai", "ui")

COMPLETIONS = "/v1/chat/completions"
LEGACY = "/v1/completions"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello there"}]}
CHAT = {"id": "chat-1", "messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}

#: A request of AG-UI.
RUN = {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "Hello"}]}

#: Characters. Longer requests and bodies are recorded in part, or as a digest.
LONGEST_REQUEST = 300
LONGEST_BODY = 6000

#: Seconds. Every answer that will come by itself is there by then. A power of two: the clock stays
#: exact.
SHORT = 0.0625
STEP = SHORT / 4

_EPOCH = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{22}(?![A-Za-z0-9])")
_RETRY = re.compile(r"(?m)^retry: \d+$")
#: A member whose text is for people. Texts that begin with `Source:` are those of scripted sources.
_MESSAGE = re.compile(r'("(?:message|errorText)": ?)"(?!Source:)(?:[^"\\]|\\.)*"')
#: Media types of the page and its files, whose contents may change.
_FILES = ("text/html", "text/javascript", "text/css")
_ASSET = re.compile(r'(?:src|href)="([^"]*assets/[^"]*)"')

Answer = dict[str, Any]


@implementer(IModels)
class ScriptedModels(ScriptedSource):
    """
    A source with several models.

    Args:
        answer: Makes the result of `models`.
    """

    def __init__(self, answer: Callable[[], Deferred[list[str]]]) -> None:
        super().__init__(takesPrompt=True)
        self._answer = answer

    def models(self) -> Deferred[list[str]]:
        """See `IModels.models`."""
        return self._answer()


class Recorder:
    """
    Makes requests to a server on wires, and records the answers.

    Args:
        folder: An empty folder for SQLite files; `None` keeps the streams in memory.

    Attributes:
        full: Whether the disk of the SQLite store refuses every write.
    """

    def __init__(self, folder: str | None) -> None:
        self.reactor = WireReactor()
        self.full = False
        self._folder = folder
        self._services: list[StreamService] = []
        self._asked: list[tuple[str, str, Wire]] = []
        # Not a whole number: a time that is cut to one shows.
        self.reactor.advance(1_000_000.25)

    def serve(self, source: Any = None, prompt: str | None = None, **settings: Any) -> None:
        """Begin to serve a source, with these settings."""
        self.source = source or ScriptedSource()
        self.service = self._makeService(Settings(**settings))
        self.service.startService()
        self._services.append(self.service)
        self.mount(StreamResource(self.service, prompt))

    def _makeService(self, settings: Settings) -> StreamService:
        store = None
        if self._folder is not None:
            path = f"{self._folder}/{len(self._services)}.sqlite"
            store = SQLiteStore(self.reactor, path, settings.window, self._inThread)
        return StreamService(self.reactor, self.source, settings, store)

    def _inThread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        if self.full:
            return fail(StoreUnavailable("The disk is full."))
        return maybeDeferred(function, *arguments)

    def mount(self, resource: Any, site: Any = StreamSite) -> None:
        """Send further requests to this resource."""
        self.factory = site(resource, reactor=self.reactor)

    def ask(
        self,
        path: str,
        method: str = "GET",
        accept: str | None = None,
        body: object = None,
        version: str = "1.1",
        **headers: str | None,
    ) -> Wire:
        """
        Make a request on a connection of its own. Its answer is recorded as it is when the scenario
        ends.

        Args:
            body: Bytes, or a value to be sent in JSON.
            headers: Names with `_` for `-`.
        """
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode("ascii")
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send(makeRequest(path, accept, method, data, version=version, headers=fields), method)

    def send(self, data: bytes, method: str = "GET") -> Wire:
        """Send a request as it is written."""
        wire = Wire(self.factory, self.reactor)
        text = data.decode("latin-1").replace("Host: localhost\r\n", "").replace("\r\n", "\n")
        self._asked.append((text[:LONGEST_REQUEST] + "..." * (len(text) > LONGEST_REQUEST), method, wire))
        wire.send(data)
        self.wait()
        return wire

    def wait(self, seconds: float = SHORT) -> None:
        """Let time pass."""
        self.reactor.run(seconds, STEP if seconds < 1 else 0.25)

    def write(self, *tokens: str) -> None:
        """Let the newest run write tokens, each in a flush tick of its own."""
        for token in tokens:
            self.source.run.write(token)
            self.wait()

    def end(self, result: object = None) -> None:
        """Let the newest run end."""
        self.source.run.end(result)
        self.wait()

    def breakDown(self, problem: Exception) -> None:
        """Let the newest run fail."""
        self.source.run.fail(problem)
        self.wait()

    def startRun(self, body: object = None, **headers: str) -> str:
        """Start a run by POST; return its path."""
        return read(self.ask("/streams", "POST", body=body, **headers)).headers["location"]

    def locateRun(self) -> str:
        """Return the path of the newest run."""
        run: Any = self.source.run.sink
        return f"/streams/{run.streamLog.name}"

    def publish(self, path: str, *items: object, **headers: str) -> Wire:
        """Publish items in JSON."""
        return self.ask(path, "POST", body=list(items), Content_Type=JSON, **headers)

    def open(self, path: str) -> str:
        """Open a stream to publish into; return its epoch."""
        epoch: str = read(self.ask(path, "PUT")).json["epoch"]
        return epoch

    def finish(self) -> list[Answer]:
        """Return the answers; then close the connections, and stop the services."""
        answers = [{"request": text, **_describe(wire, method)} for text, method, wire in self._asked]
        self.full = False
        for _, _, wire in self._asked:
            wire.take()
            wire.close()
        for service in self._services:
            service.stopService()
        self.wait(40)
        hidden: list[Answer] = json.loads(_hideEpochs(json.dumps(answers)))
        return hidden


Scenario = Callable[[Recorder], None]


def read(wire: Wire, method: str = "GET") -> Response:
    """Read an answer, as far as it has come."""
    (response,) = parseResponses(wire.received, [method], wire.closed)
    return response


def _describe(wire: Wire, method: str) -> Answer:
    """Describe an answer, as far as it may not change."""
    if b"\r\n\r\n" not in wire.received:
        return {"received": wire.received.decode("latin-1"), "closed": wire.closed}
    response = read(wire, method)
    body = response.body.decode("utf-8")
    hidden = _hideTexts(response.headers.get("content-type", ""), body)
    answer: Answer = {
        # Without the reason phrase, which depends on the version of Python.
        "status": f"{response.version} {response.status}",
        "headers": _hideHeaders(response, method, hidden != body),
        "body": hidden,
    }
    if len(hidden) > LONGEST_BODY:
        # Without the epochs, which differ from run to run.
        digest = sha256(_hideEpochs(hidden).encode("utf-8")).hexdigest()
        answer["body"] = f"<{len(response.body)} bytes, {digest}>"
    return {**answer, "complete": response.complete, "closed": wire.closed}


def _hideHeaders(response: Response, method: str, differs: bool) -> dict[str, str]:
    """Replace the values that may change: also the length of a text that may."""
    headers = response.headers
    hidden = {"date": "<date>", "server": "<server>", "etag": "<etag>", "x-request-id": "<request ID>"}
    if "content-length" in headers:
        assert method == "HEAD" or headers["content-length"] == str(len(response.body)), response
        isText = response.status >= 400 or headers.get("content-type", "").startswith(_FILES)
        # An answer to HEAD has a length without a text.
        if differs or (method == "HEAD" and isText):
            hidden["content-length"] = "<length>"
    return {name: hidden.get(name, value) for name, value in sorted(headers.items())}


def _hideTexts(contentType: str, body: str) -> str:
    """Replace the texts for people, which may change."""
    if body and contentType.startswith(_FILES):
        asks = " data-asks" if " data-asks>" in body else ""
        return f"<contents>{asks} {' '.join(_ASSET.findall(body))}".rstrip()
    hidden = _MESSAGE.sub(r'\1"<message>"', body)
    return _RETRY.sub("retry: <jittered>", hidden) if contentType == EVENTS else hidden


def _hideEpochs(text: str) -> str:
    """Number the epochs in the order in which they appear."""
    known: dict[str, str] = {}
    return _EPOCH.sub(lambda found: known.setdefault(found[0], f"<epoch {len(known) + 1}>"), text)
