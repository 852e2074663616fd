"""
Operators: actors that look at streams, cancel and delete them, and send what no client should.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.facts import Span
from tests.simulation.payloads import wrap
from tests.simulation.viewers import Stage
from tests.simulation.wire import ADMIN_PORT, PORT, TLS_PORT, Query, Reply

#: Requests that must be answered with one status, whatever the server does, or 503.
PROBES: tuple[tuple[int, Query], ...] = (
    (200, Query("GET", "/", {"Accept": "text/html"})),
    (200, Query("HEAD", "/", {"Accept": "text/event-stream"})),
    (200, Query("GET", "/assets/app.js")),
    (200, Query("GET", "/assets/app.css")),
    (404, Query("GET", "/assets/none.js")),
    (200, Query("GET", "/v1/models")),
    (404, Query("GET", "/v1/models/no/such")),
    (404, Query("GET", "/nowhere")),
    (405, Query("PATCH", "/streams")),
    (405, Query("DELETE", "/v1/models")),
    (400, Query("PUT", "/streams/bad%20name")),
    (400, Query("POST", "/streams", {"Content-Type": "application/json"}, b"{")),
    (400, Query("POST", "/streams", {"Content-Type": "application/json"}, b'{"prompt": 3}')),
    (400, Query("POST", "/v1/chat/completions", {"Content-Type": "application/json"}, b"{}")),
    (400, Query("POST", "/v1/chat/completions", {"Content-Type": "application/json"}, b'{"messages": [{"role": 1}]}')),
    (400, Query("POST", "/api/chat", {"Content-Type": "application/json"}, b'{"id": "x"}')),
    (204, Query("GET", "/api/chat/nobody/stream")),
    (404, Query("GET", "/streams/nobody")),
    (404, Query("DELETE", "/streams/nobody")),
    (404, Query("POST", "/streams/nobody/cancel", {"Content-Type": "application/json"}, b"")),
    (404, Query("GET", "/streams/nobody", {"Accept": "text/html"})),
    (204, Query("GET", "/", {"Accept": "text/event-stream", "Last-Event-ID": "nobody"})),
    (400, Query("GET", "/streams?limit=0")),
    (400, Query("GET", "/streams?before=yesterday")),
    (200, Query("GET", "/healthz")),
    (200, Query("GET", "/healthz", port=ADMIN_PORT)),
    (200, Query("GET", "/admin/viewers.json", port=ADMIN_PORT)),
    (403, Query("POST", "/streams", {"Origin": "https://elsewhere.example"}, b"")),
    (403, Query("PUT", "/streams/s1", {"Sec-Fetch-Site": "cross-site"}, b"")),
    (400, Query("GET", "/streams", {"Host": "a b"})),
    (421, Query("GET", "/streams", {"Host": "elsewhere.example"})),
    (400, Query("GET", "/streams/nobody?format=unknown", {"Accept": "text/event-stream"})),
    (406, Query("GET", "/streams/nobody", {"Accept": "image/png"})),
    (415, Query("POST", "/streams", {"Content-Type": "image/png"}, b"x")),
    (400, Query("POST", "/v1/chat/completions", {"Content-Type": "application/json"}, b'{"messages": [')),
    (400, Query("POST", "/v1/chat/completions", {"Content-Type": "application/json"}, b'{"messages": "x"}')),
)

#: Requests to a stream that must be refused.
_BAD: tuple[tuple[int, str, dict[str, str], bytes], ...] = (
    (400, "POST", {"Content-Type": "application/json"}, b"[]"),
    (400, "POST", {"Content-Type": "application/json"}, b'{"event": "done", "data": "x"}'),
    (400, "POST", {"Content-Type": "application/json"}, b'{"token": "x", "data": "y"}'),
    (400, "POST", {"Content-Type": "text/plain"}, b"\xff"),
    (415, "POST", {"Content-Type": "image/png"}, b"x"),
    (400, "POST", {"Content-Type": "text/plain", "Stream-Closed": "perhaps"}, b"x"),
    (400, "POST", {"Content-Type": "text/plain", "Idempotency-Key": "a b"}, b"x"),
    (413, "POST", {"Content-Type": "text/plain"}, b"x" * (1024 * 1024 + 1)),
)


class Operator:
    """
    Sends one request after the other.

    Args:
        stage: See `Stage`.
        number: Of this operator.
    """

    def __init__(self, stage: Stage, number: int) -> None:
        self.stage = stage
        self.name = f"operator{number}"

    def ask(self, query: Query, answered: Any) -> None:
        """Send a request."""
        self.stage.history.add(self.name, f"{query.method} {query.path}")
        self.stage.ask(query, answered, timeout=30.0)

    def probe(self) -> None:
        """Send a request whose answer is known."""
        status, query = self.stage.chance.choice(PROBES)
        self._expect(query, status)

    def speakPlainly(self, strict: bool) -> None:
        """
        Send a request without TLS to the port with TLS: the answer must say so.

        Args:
            strict: Whether the server closes a connection without an answer only if it goes down.
        """
        asked = self.stage.now

        def answered(reply: Reply) -> None:
            self.stage.history.add(self.name, f"without TLS: {reply.status}")
            # A request in pieces is reset by the server's close, and its answer may be lost.
            excused = self.stage.refusals.isShut(asked, self.stage.now) or not self.stage.network.weather.wide
            if reply.status != 400 and strict and not excused:
                self.blame("edge", f"{reply.status} {reply.body[:80]!r} for plain HTTP on the port with TLS")

        self.ask(Query("GET", "/streams", port=TLS_PORT), answered)

    def abuse(self, stream: str) -> None:
        """Publish what must be refused."""
        status, method, headers, body = self.stage.chance.choice(_BAD)
        self._expect(Query(method, f"/streams/{stream}", headers, body), status, 404, 409)

    def cancel(self, stream: str) -> None:
        """Cancel a stream."""
        mayBeGone = self.stage.truth.mayBeGone(stream)
        self.stage.truth.closing.add(stream)

        def answered(reply: Reply) -> None:
            self.stage.history.add(self.name, f"cancelled: {reply.status}")
            if reply.status == 404 and not (mayBeGone or self.stage.truth.mayBeGone(stream)):
                self.blame("gone", f"404 for cancelling {stream}")
            elif reply.status == 200 and reply.complete and reply.json["state"] == "open":
                self.blame("end", f"{stream} is open after it was cancelled")

        self.ask(Query("POST", f"/streams/{stream}/cancel", {}, b""), answered)

    def delete(self, stream: str) -> None:
        """Delete a stream."""
        truth = self.stage.truth
        truth.doubt(stream)
        epochs, life = truth.epochsOf(stream), truth.lives

        def answered(reply: Reply) -> None:
            if reply.status == 204 and life == truth.lives:
                truth.fates.delete(epochs, self.stage.now)
            self.stage.history.add(self.name, f"deleted: {reply.status}")
            # Entries that were acknowledged before the answer came are gone, too.
            self.stage.truth.doubt(stream)
            if reply.status not in (0, 204, 404, 503):
                self.blame("status", f"deleting {stream}: {reply.status} {reply.body[:200]!r}")

        self.ask(Query("DELETE", f"/streams/{stream}"), answered)

    def list(self) -> None:
        """List all streams, page by page."""
        Listing(self).start()

    def look(self, stream: str) -> None:
        """Read the text of a stream and its state."""
        truth = self.stage.truth
        promised = truth.promised(stream)
        mayBeGone = truth.mayBeGone(stream)
        asked, ended = self.stage.now, truth.ended()

        def readState(reply: Reply) -> None:
            if not self._isMissing(stream, mayBeGone, reply):
                self._seeState(stream, promised, reply)
                if reply.status == 200 and reply.complete:
                    truth.fates.meet(self.name, reply.json["epoch"], asked)
                    if reply.json["state"] == "open" and reply.json["epoch"] in ended:
                        self.blame("end", f"{stream} is open, and had ended before")

        def readText(reply: Reply) -> None:
            if not self._isMissing(stream, mayBeGone, reply):
                self._seeText(stream, promised, reply)

        path = f"/streams/{stream}"
        if self.stage.chance.random() < 0.5:
            self.ask(Query("GET", path, {"Accept": "application/json"}), readState)
        else:
            self.ask(Query("GET", path, {"Accept": "text/plain"}, close=self.stage.chance.random() < 0.5), readText)

    def checkEnded(self, stream: str) -> None:
        """Check that a published stream has ended that nobody uses."""

        def answered(reply: Reply) -> None:
            if reply.status == 200 and reply.complete and reply.json["state"] == "open":
                self.blame("idle", f"{stream} is open, and nobody uses it")

        self.ask(Query("GET", f"/streams/{stream}", {"Accept": "application/json"}), answered)

    def checkReady(self) -> None:
        """Check that a server is ready, unless it stops or its disk is full."""
        asked = self.stage.now

        def answered(reply: Reply) -> None:
            self.stage.history.add(self.name, f"readiness: {reply.status}")
            excused = self.stage.refusals.isShut(asked, self.stage.now, "leaving", "down", "disk")
            # The upstream is a part of the server that may not be ready, too.
            excused = excused or (self.stage.refusals.relays and "source" in (reply.json or {}).get("problems", {}))
            if reply.status not in (0, 200) and not (reply.status == 503 and excused):
                self.blame("ready", f"{reply.status} {reply.body[:200]!r}")

        self.ask(Query("GET", "/readyz", port=self.stage.chance.choice((PORT, ADMIN_PORT))), answered)

    def checkLeaving(self, stillLeaves: Callable[[], bool], until: float) -> None:
        """
        Check that a server which waits before its drain says that it is not ready, and is alive.

        Args:
            stillLeaves: Tells whether it waits, and may not do anything else.
            until: When the drain begins, in seconds since 1970.
        """

        def answered(reply: Reply) -> None:
            self.stage.history.add(self.name, f"leaving: {reply.status}")
            if stillLeaves() and self.stage.now < until and reply.complete and reply.status != 503:
                self.blame("ready", f"{reply.status} for /readyz, and the server leaves")

        def answeredHealth(reply: Reply) -> None:
            if stillLeaves() and self.stage.now < until and reply.complete and reply.status != 200:
                self.blame("ready", f"{reply.status} for /healthz, and the server lives")

        if stillLeaves():
            self.ask(Query("GET", "/readyz"), answered)
            self.ask(Query("GET", "/healthz"), answeredHealth)

    def blame(self, rule: str, text: str) -> None:
        """Report a broken promise."""
        self.stage.history.blame(rule, f"{self.name}: {text}")

    def _isMissing(self, stream: str, mayBeGone: bool, reply: Reply) -> bool:
        """Judge a 404."""
        if reply.status == 404 and not (mayBeGone or self.stage.truth.mayBeGone(stream)):
            self.blame("gone", f"404 for {stream}")
        return reply.status == 404

    def _seeState(self, stream: str, promised: dict[str, int], reply: Reply) -> None:
        truth = self.stage.truth
        if reply.status != 200 or not reply.complete:
            return
        state = reply.json
        truth.know(state["epoch"], stream, self.name)
        # Unless it was deleted meanwhile.
        number = promised.get(state["epoch"], 0)
        if state["last"] < number <= truth.promised(stream).get(state["epoch"], 0):
            self.blame("in the log", f"{stream} ends at {state['last']}, and {number} was acknowledged")

    def _seeText(self, stream: str, promised: dict[str, int], reply: Reply) -> None:
        truth = self.stage.truth
        if reply.status != 200 or not reply.complete or "stream-gap" in reply.headers:
            return
        # The answer does not name the epoch.
        epochs = [epoch for epoch, known in truth.epochs.items() if known.name == stream]
        if len(epochs) == 1:
            text = reply.body.decode("utf-8")
            truth.spans.append(Span(self.name, epochs[0], 0, None, text, raw=True))
            for promise in truth.promises[stream]:
                sent = truth.sent.get(promise.marker)
                if (
                    promise.number <= promised.get(promise.epoch, 0)
                    and sent is not None
                    and sent.type is None
                    and wrap(promise.marker) not in text
                ):
                    self.blame("in the log", f"{promise.marker} is not in the text of {stream}")

    def _expect(self, query: Query, *statuses: int) -> None:
        if query.path.startswith("/v1/models") and self.stage.truth.sparse:
            # The upstream is asked, which may answer nothing.
            statuses = (*statuses, 502, 504)

        def answered(reply: Reply) -> None:
            self.stage.history.add(self.name, f"{reply.status} for {query.method} {query.path}")
            if reply.status not in (0, 503, *statuses):
                self.blame("status", f"{reply.status} for {query.method} {query.path} {(query.body or b'')[:80]!r}")
            elif reply.status >= 400 and reply.complete and query.headers.get("Accept") != "text/html":
                error = (reply.json or {}).get("error", {})
                if not (error.get("message") and error.get("type") and error.get("code")):
                    self.blame("error", f"{reply.body[:200]!r} for {query.path}")

        self.ask(query, answered)


class Listing:
    """
    The list of streams, read page by page.

    Args:
        operator: Reads it.
    """

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._truth = operator.stage.truth
        self._asked = operator.stage.now
        # Streams that are there before the first page; those that are still there after the last one must be listed.
        self._existing = self._truth.existing()
        self._names: list[str] = []
        self._created = float("inf")
        self._ended: set[str] = set()

    def start(self) -> None:
        """Read the first page."""
        limit = self._operator.stage.chance.choice(("", "?limit=1", "?limit=2", "?limit=100"))
        self._ask(f"/streams{limit}")

    def _ask(self, path: str) -> None:
        self._ended = self._truth.ended()
        self._operator.ask(Query("GET", path), self._answered)

    def _answered(self, reply: Reply) -> None:
        self._operator.stage.history.add(self._operator.name, f"list: {reply.status} {reply.body[:200]!r}")
        if reply.status == 200 and reply.complete:
            for item in reply.json["streams"]:
                self._see(item)
            if reply.json["next"] is None:
                self._judge()
            elif len(self._names) < 100:
                self._ask(reply.json["next"])
        elif reply.status not in (0, 200, 503):
            self._operator.blame("status", f"{reply.status} for the list of streams: {reply.body[:200]!r}")

    def _see(self, item: dict[str, Any]) -> None:
        """Judge one stream of the list."""
        operator, truth, name = self._operator, self._truth, item["name"]
        truth.know(item["epoch"], name, operator.name)
        truth.fates.meet(operator.name, item["epoch"], self._asked)
        if name in self._names:
            operator.blame("list", f"{name} stands in the list twice")
        if item["created"] > self._created:
            operator.blame("list", f"{name} is newer than the stream before it")
        if item["published"] != (name in truth.published):
            operator.blame("list", f"{name} is listed as {'published' if item['published'] else 'a run'}")
        if item["open"] and item["epoch"] in self._ended:
            operator.blame("end", f"{name} is listed as open, and had ended before")
        self._names.append(name)
        self._created = item["created"]

    def _judge(self) -> None:
        """Judge the whole list."""
        still = self._truth.existing()
        missing = [name for name in self._existing if name in still and name not in self._names]
        if missing:
            self._operator.blame("list", f"{missing} are not in the list")
