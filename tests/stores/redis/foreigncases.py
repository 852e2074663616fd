"""
Two servers on one Redis, requests to both, and a foreign hand that changes their keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sseserver.service.service import Settings
from tests.http import Response
from tests.redisservers import findMissing
from tests.served import ServedTestCase
from tests.wires import Wire

if findMissing() is None:
    from sseserver.stores.redis.layout import Layout, findShard
    from tests.stores.redis.cases import Pump, sharedServer

#: Seconds of virtual time within which each request is answered.
BOUND = 8.0

#: Seconds of virtual time. Within it all indices are looked at, and quiet streams compared, more than once.
LONG = 40.0

#: Answers to requests about something that a foreign hand has changed.
ALLOWED = frozenset({200, 201, 202, 204, 404, 409})

#: Errors with the status 503.
CODES = frozenset({"store_damaged", "store_unavailable"})

#: The body of a request for a run.
_PROMPT = b'{"prompt": "hi"}'


class Watched(NamedTuple):
    """
    A viewer.

    Attributes:
        what: The stream, and the server.
        wire: Its connection.
    """

    what: str
    wire: Wire

    @property
    def isOver(self) -> bool:
        """Whether its response has ended, or was none."""
        return self.wire.response.complete or self.wire.closed


class ForeignCase(ServedTestCase):
    """
    Two servers whose keys and channels a foreign hand changes.

    The published stream `a` and the run `run` are watched at both. The stream `near` is in the shard of `a`.
    """

    skip = findMissing()
    settings = Settings(linger=3600.0, drain=0.0)
    takesPrompt = True

    def setUp(self) -> None:
        super().setUp()
        self.pump = Pump(self.reactor)
        self.redis = sharedServer()
        self.sites = []
        for _ in range(2):
            self.serve(self.source, store=self.pump.makeStore(self.redis, 8000))
            self.sites.append(self.factory)
        self.stores: list[Any] = [service.store for service in self.services[1:]]
        for store in self.stores:
            store.session.node.lease = 60.0
        self.pump.until(lambda: all(store.findProblem() is None for store in self.stores))
        self.layout = Layout()
        shard = findShard(b"a")
        self.near = next(f"near{n}" for n in range(10_000) if findShard(b"near%d" % n) == shard)
        self.count = 0

    def stop(self) -> None:
        stopped = self.beginStop()
        for each in stopped:
            self.pump.result(each)

    def answer(self, site: int, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Response:
        """Send a request, and return its complete answer, which comes soon."""
        wire = self.connect(self.sites[site])
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        wire.begin(path, "application/json", method, body, headers=named)
        self.await_(lambda: wire.responses and wire.response.complete, f"{method} {path} gets no answer")
        wire.close()
        return wire.response

    def await_(self, condition: Any, what: str) -> None:
        """Wait for a condition, for a bounded time."""
        end = self.reactor.seconds() + BOUND
        while not condition():
            assert self.reactor.seconds() < end, what
            self.turn()

    def turn(self, seconds: float = 0.01) -> None:
        """Let some time pass."""
        self.reactor.advance(seconds)
        self.pump.reactor.iterate(0.001)

    def settle(self) -> None:
        """Let everything come that is under way."""
        for _ in range(3):
            self.turn(0.03)
            self.await_(lambda: all(store.client.awaiting == 0 for store in self.stores), "Redis gives no answer")

    def passTime(self, seconds: float) -> None:
        """Let a long time pass, with the work of the stores."""
        for _ in range(int(seconds / 2)):
            self.reactor.advance(2.0)
            self.settle()

    def watch(self, site: int, path: str, lastEventID: str | None = None) -> Watched:
        """Follow a stream."""
        wire = self.connect(self.sites[site])
        headers = {} if lastEventID is None else {"Last-Event-ID": lastEventID}
        wire.begin(path, "text/event-stream", headers=headers)
        self.await_(lambda: wire.responses, f"{path} gets no answer")
        return Watched(f"{path} at {site}", wire)

    def publish(self, site: int, name: str, token: str, **headers: str) -> Response:
        """Publish a token."""
        return self.answer(site, f"/streams/{name}", "POST", b'[{"token": "%b"}]' % token.encode(), **headers)

    def prepare(self) -> None:
        """Empty the Redis, and make streams and viewers."""
        self.count += 1
        for name in ("a", self.near):
            assert self.answer(0, f"/streams/{name}", "PUT").status == 201, name
            self.publish(0, name, "one", Idempotency_Key="k")
            self.publish(1, name, "two")
        started = self.answer(0, "/streams", "POST", _PROMPT, Idempotency_Key=f"start{self.count}")
        assert started.status == 201, started
        self.run_ = started.headers["location"]
        self.script = self.source.run
        self.script.write("one", "two")
        self.settle()
        self.watched = [self.watch(site, path) for path in ("/streams/a", self.run_) for site in (0, 1)]
        self.bystanders = [self.watch(site, f"/streams/{self.near}") for site in (0, 1)]
        self.settle()

    def clear(self) -> None:
        """Close the viewers, and delete everything."""
        for each in (*self.watched, *self.bystanders):
            each.wire.close()
        for path in ("/streams/a", f"/streams/{self.near}", self.run_):
            self.answer(0, path, "DELETE")
        self.redis.command("FLUSHALL")
        self.passTime(4.0)

    def check(self, response: Response, what: str) -> None:
        """Check that an answer is one of those that are allowed."""
        isRefused = response.status == 503 and response.error["code"] in CODES
        self.assertTrue(response.status in ALLOWED or isRefused, f"{what}: {response}")

    def listOperations(self) -> Iterator[tuple[str, Response]]:
        """Send all kinds of requests; yield what was asked, and the answers."""
        epoch = "x" * 22
        for site in (0, 1):
            for path in ("/streams/a", self.run_):
                for lastEventID in (None, f"{epoch}-1"):
                    watched = self.watch(site, path, lastEventID)
                    watched.wire.close()
                    yield f"watch {watched.what}", watched.wire.response
                yield f"describe {path}", self.answer(site, path)
            yield "publish", self.publish(site, "a", "three")
            yield "publish with a used key", self.publish(site, "a", "one", Idempotency_Key="k")
            yield "publish with a new key", self.publish(site, "a", "four", Idempotency_Key=f"new{site}")
            yield "open", self.answer(site, "/streams/a", "PUT")
            yield "list", self.answer(site, "/streams")
            key = f"start{self.count}"
            yield "start again", self.answer(site, "/streams", "POST", _PROMPT, Idempotency_Key=key)
            yield "start another", self.answer(site, "/streams", "POST", _PROMPT, Idempotency_Key=f"{key}-{site}")
            self.source.run.end()

    def listEnds(self) -> Iterator[tuple[str, Response]]:
        """Send the requests that end streams; yield what was asked, and the answers."""
        for site in (1, 0):
            yield "cancel the run", self.answer(site, f"{self.run_}/cancel", "POST", b"")
        yield "close", self.answer(0, "/streams/a", "POST", b'[{"token": "end"}]')
        yield "cancel", self.answer(1, "/streams/a/cancel", "POST", b"")

    def attack(self, what: str) -> None:
        """
        Check everything after the foreign hand has changed something.

        Args:
            what: What it has changed.
        """
        for asked, response in self.listOperations():
            self.check(response, f"{what}: {asked}")
        self.passTime(LONG)
        self.checkViewers(what)
        for asked, response in self.listEnds():
            self.check(response, f"{what}: {asked}")
        for site in (0, 1):
            self.assertEqual(self.answer(site, "/readyz").status, 200, f"{what}: {self.answer(site, '/readyz').body!r}")
        for path in ("/streams/a", self.run_):
            deleted = self.answer(1, path, "DELETE")
            self.assertIn(deleted.status, {200, 204, 404}, f"{what}: delete {path}: {deleted}")
        self.assertEqual(self.answer(0, "/streams/a", "PUT").status, 201, what)
        again = self.watch(1, "/streams/a")
        self.assertEqual(self.publish(0, "a", "new").status, 200, what)
        self.settle()
        self.assertIn("new", again.wire.response.texts, what)
        again.wire.close()
        errors = self.flushLoggedErrors()
        self.assertEqual(errors, [], f"{what}: {errors}")

    def checkViewers(self, what: str) -> None:
        """Check that no viewer waits for what will never come, and that others are not concerned."""
        probed = self.publish(0, "a", "probe")
        self.check(probed, f"{what}: probe")
        self.script.write("probe")
        self.assertEqual(self.publish(1, self.near, "probe").status, 200, what)
        self.passTime(LONG)
        for each in self.watched:
            text = b"".join(text.encode() for text in each.wire.response.texts)
            self.assertTrue(each.isOver or b"probe" in text, f"{what}: {each.what} waits: {each.wire.received!r}")
        for each in self.bystanders:
            text = "".join(each.wire.response.texts)
            self.assertEqual((each.isOver, text), (False, "onetwoprobe"), f"{what}: {each.what}")
