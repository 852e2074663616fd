"""
Tests of the limits of clients over HTTP: 429 with `Retry-After`, or a reconnection time for an EventSource.
"""

from __future__ import annotations

import json

from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from tests.apis.cases import PublishingTestCase
from tests.http import Response

CHAT = json.dumps(
    {"id": "chat", "messages": [{"role": "user", "content": "x", "parts": [{"type": "text", "text": "x"}]}]}
).encode()


class LimitTestCase(PublishingTestCase):
    """Clients at addresses of the public internet."""

    host = "8.8.8.8"

    def assertLimited(self, response: Response) -> None:
        """Check that a request was refused for a limit of its client."""
        self.assertEqual((response.status, response.error["code"]), (429, "rate_limit_exceeded"))
        self.assertEqual(response.error["type"], "rate_limit_error")
        self.assertGreater(int(response.headers["retry-after"]), 0)

    def assertTurnedAway(self, response: Response) -> None:
        """Check that a viewer was told to come back later, no sooner than the limit allows."""
        self.assertEqual((response.status, response.complete), (200, True))
        self.assertRegex(response.body, rb"^retry: [1-9]\d{3,}\n\n$")


class ViewerLimitTests(LimitTestCase):
    """The limit of viewers of each client."""

    settings = Settings(maxViewersPerClient=2)

    def test_viewers(self) -> None:
        """An EventSource above the limit gets a reconnection time; one of another client is served."""
        self.put("a")
        wires = [self.view("/streams/a") for _ in range(2)]
        self.assertTurnedAway(self.view("/streams/a").response)
        self.assertEqual(self.ask("/streams/a", "text/event-stream", method="HEAD").status, 200)
        self.host = "8.8.4.4"
        self.assertFalse(self.view("/streams/a").response.complete)
        self.host = "8.8.8.8"
        wires[0].close()
        self.assertFalse(self.view("/streams/a").response.complete)
        self.assertEqual(self.service.ledger.clients.viewers.refused, 2)

    def test_runs(self) -> None:
        """No run is started for a client that could not view it."""
        self.put("a")
        for _ in range(2):
            self.view("/streams/a")
        for path in ("/v1/chat/completions", "/api/chat"):
            self.assertLimited(self.ask(path, method="POST", body=CHAT))
        self.assertTurnedAway(self.view().response)
        self.assertEqual(self.source.runs, [])

    def test_documents(self) -> None:
        """A large body that is not read takes the place of a viewer."""
        self.put("a")
        self.post("a", json.dumps({"token": "x" * 500_000}).encode())
        for _ in range(2):
            wire = self.connect(self.factory)
            wire.stall()
            wire.begin("/streams/a", "text/plain")
        self.assertLimited(self.ask("/streams/a", "text/plain"))

    def countViewers(self) -> int:
        """Return the number of viewers of the client."""
        return self.service.ledger.clients.viewers.counts.get(f"address {self.host}")

    def test_completions(self) -> None:
        """A client that waits for a completion takes one place, and has it when the answer begins."""
        wires = []
        for _ in range(2):
            wires.append(self.connect(self.factory))
            wires[-1].begin("/v1/chat/completions", method="POST", body=CHAT[:-1] + b', "stream": true}')
        self.assertEqual(self.countViewers(), 2)
        self.source.runs[0].write("a")
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wires[0].response.status, 200)
        self.assertEqual(self.countViewers(), 2)


class RunLimitTests(LimitTestCase):
    """The limits of runs of each client."""

    settings = Settings(maxRunsPerClient=2, runsPerMinute=4)

    def start(self, key: str = "") -> Response:
        """Start a run."""
        return self.ask("/streams", method="POST", body=b"{}", headers={"Idempotency-Key": key} if key else {})

    def endRuns(self) -> None:
        """End all runs."""
        for run in self.source.runs:
            if not run.done.called:
                run.end()
        self.reactor.advance(FLUSH_TICK)

    def test_atATime(self) -> None:
        """A run above the limit is refused by each API; `GET /` gets a reconnection time."""
        for _ in range(2):
            self.assertEqual(self.start().status, 201)
        self.assertLimited(self.start())
        for path in ("/v1/chat/completions", "/api/chat"):
            self.assertLimited(self.ask(path, method="POST", body=CHAT))
        self.assertTurnedAway(self.view().response)
        self.endRuns()
        self.assertEqual(self.start().status, 201)

    def test_minute(self) -> None:
        """More runs than those of a minute are refused until the time that `Retry-After` names."""
        for _ in range(4):
            self.assertEqual(self.start().status, 201)
            self.endRuns()
        refused = self.start()
        self.assertLimited(refused)
        self.reactor.advance(int(refused.headers["retry-after"]))
        self.assertEqual(self.start().status, 201)

    def test_key(self) -> None:
        """A refused request releases its key, and one that joins a run does not count."""
        first = self.start("a")
        for _ in range(9):
            self.assertEqual(self.start("a").headers["location"], first.headers["location"])
        self.start("b")
        self.assertLimited(self.start("c"))
        self.endRuns()
        self.assertEqual(self.start("c").status, 201)
        self.assertEqual(len(self.source.runs), 3)


class PublishLimitTests(LimitTestCase):
    """The limit of publishes of each client."""

    settings = Settings(publishesPerSecond=3)

    def test_usual(self) -> None:
        """Publishes above the limit are refused; their keys are free."""
        for _ in range(3):
            self.assertEqual(self.put("a").status // 100, 2)
        self.assertLimited(self.post("a", b'{"token": "x"}', key="k"))
        self.reactor.advance(1)
        self.assertEqual(self.post("a", b'{"token": "x"}', key="k").json["last"].rpartition("-")[2], "1")

    def test_direct(self) -> None:
        """Publishes without a request object count as well."""
        self.put("a")
        wire = self.connect(self.factory)
        body = b'{"token": "x"}'
        head = (
            b"POST /streams/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n"
        )
        for _ in range(3):
            wire.methods.append("POST")
            wire.send(head % len(body) + body)
        self.assertEqual([response.status for response in wire.responses], [200, 200, 429])
        self.assertLimited(wire.response)
        self.reactor.advance(1)
        wire.methods.append("POST")
        wire.send(head % len(body) + body)
        self.assertEqual(wire.response.status, 200)
        self.assertEqual(self.service.find("a").result.last, 3)

    def test_directRefused(self) -> None:
        """#13: a publish that the direct way cannot do is counted once: its client learns why, and not of a limit."""
        wire = self.connect(self.factory)
        for _ in range(3):
            wire.methods.append("POST")
            wire.send(
                b"POST /streams/none HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                b"Content-Length: 1\r\n\r\nx"
            )
        self.assertEqual([response.status for response in wire.responses], [404, 404, 404])

    def test_loopback(self) -> None:
        """Programs on this machine have no limits."""
        self.host = "127.0.0.1"
        self.put("a")
        for _ in range(9):
            self.assertEqual(self.post("a", b'{"token": "x"}').status, 200)
