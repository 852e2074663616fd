"""
Tests of publishing over HTTP: PUT, POST, DELETE, the keys that make a retry harmless, and what viewers get of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from sseserver.delivery import producer
from sseserver.errors import StoreUnavailable
from sseserver.formats import events as eventsFormat
from sseserver.settings import Settings
from sseserver.stores.sqlite import SQLiteStore
from sseserver.streams import log as streamlog
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.log import FLUSH_TICK
from tests.fakes import RecordingProducer, logged
from tests.http import Response
from tests.served import ServedTestCase
from tests.wires import Wire

JSON = "application/json"
PLAIN = "text/plain"
EVENT_STREAM = "text/event-stream"

MAX_BODY = 1024 * 1024


class PublishingTestCase(ServedTestCase):
    """A server, and shortcuts for who publishes."""

    def put(self, name: str) -> Response:
        """Open a named stream."""
        return self.ask(f"/streams/{name}", method="PUT")

    def post(
        self,
        name: str,
        body: bytes,
        contentType: str | None = JSON,
        key: str | None = None,
        closed: str | None = None,
    ) -> Response:
        """Publish into a stream."""
        headers = {"Content-Type": contentType, "Idempotency-Key": key, "Stream-Closed": closed}
        given = {name: value for name, value in headers.items() if value is not None}
        return self.ask(f"/streams/{name}", method="POST", body=body, headers=given)

    def publish(self, name: str, *items: object, **keywords: Any) -> list[str]:
        """Publish items in JSON, a flush tick after what came before; give their IDs."""
        self.reactor.advance(FLUSH_TICK)
        response = self.post(name, json.dumps(items).encode(), **keywords)
        self.assertEqual(response.status, 200, response)
        ids: list[str] = response.json["ids"]
        return ids

    def delete(self, name: str) -> Response:
        """Stop a stream and forget it."""
        return self.ask(f"/streams/{name}", method="DELETE")

    def epoch(self, name: str) -> str:
        """Read a stream's epoch."""
        return str(self.state(f"/streams/{name}")["epoch"])

    def read(self, name: str, **keywords: Any) -> list[tuple[str, str]]:
        """Give types and data of what a new viewer gets at once, without the event `stream`."""
        return told(self.view(f"/streams/{name}", **keywords))

    def assertError(self, response: Response, status: int, code: str) -> None:
        """An answer is this error: in JSON, whole, with a sentence, and nothing is in the server's log."""
        self.assertEqual((response.status, response.error["code"]), (status, code), response)
        self.assertRegex(response.error["message"], r"^[A-Z].{10,}")
        self.assertNotIn("Traceback", response.error["message"])
        self.assertEqual(self.flushLoggedErrors(), [], response)


def told(wire: Wire) -> list[tuple[str, str]]:
    """Give types and data of what a viewer has, without the event `stream`."""
    return [(event.type, event.data) for event in wire.response.events if event.type != "stream"]


class OpeningTests(PublishingTestCase):
    """PUT: streams to publish into."""

    def test_new(self) -> None:
        """
        PUT makes an open stream, empty, with this name and an epoch of its
        own: 201, where it is, and its state.
        """
        response = self.put("a.B_c~1-")
        self.assertEqual((response.status, response.headers["location"]), (201, "/streams/a.B_c~1-"))
        state = response.json
        self.assertEqual((state["name"], state["state"], state["last"]), ("a.B_c~1-", "open", 0))
        self.assertRegex(state["epoch"], r"^[A-Za-z0-9]{22}$")
        self.assertEqual(self.state("/streams/a.B_c~1-"), state)

    def test_again(self) -> None:
        """
        PUT of a stream that is there and open is 200, and changes nothing.
        """
        self.put("a")
        self.publish("a", {"data": "1"})
        before = self.state("/streams/a")
        again = self.put("a")
        self.assertEqual((again.status, again.json), (200, before))
        self.assertNotIn("location", again.headers)

    def test_run(self) -> None:
        """
        PUT of a run's stream is 409.
        """
        name = self.startRun().removeprefix("/streams/")
        self.assertError(self.put(name), 409, "stream_exists")

    def test_ended(self) -> None:
        """
        PUT of a stream that has ended is 409, as long as it is kept; then the
        name is free, for another epoch.
        """
        epoch = self.put("a").json["epoch"]
        self.publish("a", closed="true")
        self.assertError(self.put("a"), 409, "stream_ended")
        self.reactor.run(self.settings.keep + 1, 10)
        again = self.put("a")
        self.assertEqual(again.status, 201)
        self.assertNotEqual(again.json["epoch"], epoch)

    def test_mounted(self) -> None:
        """
        Where the resource is mounted elsewhere, what the answer says of the
        place is true.
        """
        root = Resource()
        root.putChild(b"chat", self.resource)
        self.factory = self.site(root)
        self.assertEqual(self.ask("/chat/streams/a", method="PUT").headers["location"], "/chat/streams/a")
        self.assertEqual(self.ask("/chat/streams/a/", method="PUT").status, 200)


class AppendingTests(PublishingTestCase):
    """POST: what is published."""

    def setUp(self) -> None:
        super().setUp()
        self.id = self.put("a").json["epoch"] + "-%d"

    def test_JSON(self) -> None:
        """
        An event in JSON is appended under its type; the answer has its ID, and
        viewers get it at once.
        """
        wire = self.view("/streams/a")
        response = self.post("a", b'{"event":"note","data":"one\\ntwo"}')
        self.assertEqual((response.status, response.json), (200, {"ids": [self.id % 1]}))
        self.assertEqual(told(wire), [("note", "one\ntwo")])
        self.assertEqual(wire.response.events[-1].id, self.id % 1)

    def test_list(self) -> None:
        """
        A list is appended in order, with one ID for each of its members, and
        its events come one by one also to who comes late; tokens in a row come
        as one.
        """
        items = [
            {"event": "x", "data": "1"},
            {"token": "a"},
            {"token": " b"},
            {"data": "2"},
            {"data": "3"},
            {"token": "c"},
        ]
        self.assertEqual(self.publish("a", *items), [self.id % number for number in range(1, 7)])
        expected = [("x", "1"), ("message", "a b"), ("message", "2"), ("message", "3"), ("message", "c")]
        self.assertEqual(self.read("a"), expected)

    def test_text(self) -> None:
        """
        Plain text is one event of the default type, whatever its charset is
        said to be.
        """
        for contentType in (PLAIN, "text/plain; charset=utf-8", "Text/Plain;charset=UTF-8"):
            self.assertEqual(self.post("a", " é\r\n".encode(), contentType).status, 200)
        self.assertEqual(self.read("a"), [("message", " é\n")] * 3)

    def test_eventStream(self) -> None:
        """
        An event stream is all its events, under IDs of ours, not its own.
        """
        body = b"id: 99\nretry: 1\ndata: a\n\n: c\n\nevent: e\ndata: b\ndata\n\n"
        response = self.post("a", body, EVENT_STREAM)
        self.assertEqual(response.json["ids"], [self.id % 1, self.id % 2])
        self.assertEqual(self.read("a"), [("message", "a"), ("e", "b\n")])

    def test_tokens(self) -> None:
        """
        A worker elsewhere feeds a text stream with tokens: `text` viewers get
        the text as it grows, and `text/plain` what is there.
        """
        wire = self.view("/streams/a?format=text")
        self.publish("a", {"token": "Hello"})
        self.publish("a", {"event": "note", "data": "not in the text"}, {"token": " world"})
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.texts, ["", "Hello", "Hello world"])
        self.assertEqual(self.ask("/streams/a", PLAIN).body, b"Hello world")

    def test_close(self) -> None:
        """
        `Stream-Closed: true` ends the stream `done` behind what is published;
        its viewers' responses are complete, and who comes back gets 204.
        """
        wire = self.view("/streams/a")
        ids = self.publish("a", {"token": "a"}, {"token": "b"}, closed="true")
        self.assertEqual(ids, [self.id % number for number in (1, 2, 3)])
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(told(wire)[-1], ("done", '{"reason":"stop","tokens":2}'))
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.view("/streams/a", self.id % 3).response.status, 204)
        self.assertEqual(self.state("/streams/a")["state"], "done")

    def test_closeAlone(self) -> None:
        """
        To close a stream the body may be empty, of any type or none, or an
        empty list.
        """
        for number, (body, contentType) in enumerate(
            [(b"", None), (b"", "image/png"), (b"[]", JSON), (b"", EVENT_STREAM)]
        ):
            self.put(f"b{number}")
            response = self.post(f"b{number}", body, contentType, closed="True")
            self.assertEqual((response.status, len(response.json["ids"])), (200, 1), response)
            self.assertEqual(self.state(f"/streams/b{number}")["state"], "done")

    def test_notClosed(self) -> None:
        """
        `Stream-Closed: false` closes nothing.
        """
        self.post("a", b'{"data":""}', closed="false")
        self.assertEqual(self.state("/streams/a")["state"], "open")

    def test_afterTheEnd(self) -> None:
        """
        Nothing can be published into a stream that has ended, and it does not
        end twice.
        """
        self.publish("a", {"data": "x"}, closed="true")
        before = self.read("a")
        for closed in (None, "true"):
            self.assertError(self.post("a", b'{"data":"y"}', closed=closed), 409, "stream_ended")
        self.assertError(self.post("a", b"", closed="true"), 409, "stream_ended")
        self.assertEqual(self.read("a"), before)

    def test_afterCancel(self) -> None:
        """
        A published stream that was cancelled is ended, too.
        """
        self.ask("/streams/a/cancel", method="POST", body=b"")
        self.assertError(self.post("a", b'{"data":"y"}'), 409, "stream_ended")
        self.assertEqual(self.read("a"), [("cancelled", '{"reason":"asked"}')])

    def test_unknown(self) -> None:
        """
        Publishing makes no streams: 404 where there is none.
        """
        self.assertError(self.post("b", b'{"data":"y"}'), 404, "stream_not_found")
        self.assertError(self.ask("/streams/b", EVENT_STREAM), 404, "stream_not_found")

    def test_run(self) -> None:
        """
        Nothing can be published into a run, and nobody can end it so.
        """
        name = self.startRun().removeprefix("/streams/")
        self.assertError(self.post(name, b'{"token":"y"}'), 409, "stream_exists")
        self.assertError(self.post(name, b"", closed="true"), 409, "stream_exists")
        self.assertEqual(self.read(name), [])

    def test_sameConnection(self) -> None:
        """
        A publisher goes on over one connection, after a refusal, too.
        """
        wire = self.connect(self.factory)
        good = {"method": "POST", "body": b'{"data":"x"}', "headers": {"Content-Type": JSON}}
        self.assertEqual(wire.ask("/streams/a", **good).status, 200)
        self.assertEqual(wire.ask("/streams/a", **{**good, "body": b"["}).status, 400)
        self.assertEqual(wire.ask("/streams/a", **good).json["ids"], [self.id % 2])

    def test_hostileData(self) -> None:
        """
        What some parser takes for a line end, or loses, arrives as it was; as
        a token, as an event, live and late.
        """
        data = "  a\u2028b\u2029c\x85d\x0be\x0cf\x00g\ufeff\n\n i😀 "
        live = self.view("/streams/a")
        self.publish("a", {"event": "é \u2028", "data": data}, {"token": data})
        self.reactor.advance(FLUSH_TICK)
        for wire in (live, self.view("/streams/a")):
            self.assertEqual(told(wire), [("é \u2028", data), ("message", data)])


class DeletingTests(PublishingTestCase):
    """DELETE: streams that are forgotten."""

    def setUp(self) -> None:
        super().setUp()
        self.epochBefore = self.put("a").json["epoch"]
        self.publish("a", {"data": "1"})

    def test_viewers(self) -> None:
        """
        Viewers of a stream that is deleted get `cancelled`, reason `deleted`,
        as its last event, and their responses are complete.
        """
        wires = [self.view("/streams/a"), self.view("/streams/a?format=text")]
        self.assertEqual(self.delete("a").status, 204)
        self.reactor.advance(FLUSH_TICK)
        for wire in wires:
            self.assertEqual(told(wire)[-1], ("cancelled", '{"reason":"deleted"}'))
            self.assertEqual(wire.response.events[-1].id, f"{self.epochBefore}-2")
            self.assertTrue(wire.response.complete)

    def test_later(self) -> None:
        """
        Then there is no such stream, for nobody.
        """
        self.delete("a")
        self.assertError(self.delete("a"), 404, "stream_not_found")
        self.assertError(self.post("a", b'{"data":""}'), 404, "stream_not_found")
        self.assertError(self.view("/streams/a", f"{self.epochBefore}-1").response, 404, "stream_not_found")
        self.assertError(self.ask("/streams/a", JSON), 404, "stream_not_found")
        self.assertError(self.ask("/streams/a/cancel", method="POST", body=b""), 404, "stream_not_found")

    def test_nameAgain(self) -> None:
        """
        A name that is used again has another epoch, and no key of before; IDs
        of before lead to a gap, `lost`, and all that there is now.
        """
        self.publish("a", {"data": "2"}, key="k")
        self.delete("a")
        epoch = self.put("a").json["epoch"]
        self.assertNotEqual(epoch, self.epochBefore)
        self.publish("a", {"data": "new"}, key="k")
        for number in (0, 1, 2, 3, 10**18):
            wire = self.view("/streams/a", f"{self.epochBefore}-{number}")
            gap, event = told(wire)
            self.assertEqual(gap[0], "gap")
            expected = {"after": f"{self.epochBefore}-{number}", "from": f"{epoch}-1", "missed": None, "reason": "lost"}
            self.assertEqual(json.loads(gap[1]), expected)
            self.assertEqual(wire.response.events[0].id, f"{epoch}-0")
            self.assertEqual(event, ("message", "new"))

    def test_ended(self) -> None:
        """
        A stream that has ended keeps its end for the viewers that it has; and
        its name, used again, does not expire with it.
        """
        slow = self.view("/streams/a", room=0)
        self.publish("a", closed="true")
        self.delete("a")
        slow.take()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual([name for name, _ in told(slow)], ["message", "done"])
        self.put("a")
        self.reactor.run(self.settings.keep + 1, 10)
        self.assertEqual(self.ask("/streams/a", JSON).status, 200)

    def test_run(self) -> None:
        """
        To delete a run's stream stops its source; what it writes yet is
        dropped.
        """
        path = self.startRun()
        wire = self.view(path)
        self.source.run.write("Hello")
        self.assertEqual(self.ask(path, method="DELETE").status, 204)
        self.assertTrue(self.source.run.cancelled)
        self.source.run.write("dropped")
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(told(wire), [("message", "Hello"), ("cancelled", '{"reason":"deleted"}')])
        self.assertEqual(self.ask(path, EVENT_STREAM).status, 404)

    def test_bytes(self) -> None:
        """
        What is deleted is not counted any more.
        """
        self.delete("a")
        self.assertEqual((self.service._store.used, self.service._store.count), (0, 0))


class KeyTests(PublishingTestCase):
    """`Idempotency-Key`: what is sent twice is there once."""

    def setUp(self) -> None:
        super().setUp()
        self.put("a")

    def test_same(self) -> None:
        """
        The same key with the same body gives the same answer, and viewers get
        its events once.
        """
        wire = self.view("/streams/a")
        body = b'[{"data":"1"},{"token":"2"}]'
        first = self.post("a", body, key="k")
        between = self.publish("a", {"data": "3"})
        again = self.post("a", body, key="k")
        self.assertEqual((again.status, again.body), (first.status, first.body))
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(told(wire), [("message", "1"), ("message", "2"), ("message", "3")])
        self.assertEqual(self.publish("a", {"data": "4"})[0][:-1], between[0][:-1])

    def test_sameAnswerAfterTheEnd(self) -> None:
        """
        The answer to a retry is the one that was lost, also when the stream
        has ended meanwhile.
        """
        first = self.post("a", b'{"data":"1"}', key="k")
        self.publish("a", closed="true")
        self.assertEqual(self.post("a", b'{"data":"1"}', key="k").json, first.json)

    def test_close(self) -> None:
        """
        A publish that ends the stream can be repeated, too: no 409, and one
        end.
        """
        first = self.post("a", b'{"data":"1"}', key="k", closed="true")
        again = self.post("a", b'{"data":"1"}', key="k", closed="true")
        self.assertEqual((again.status, again.body), (200, first.body))
        self.assertEqual([name for name, _ in self.read("a")], ["message", "done"])

    def test_closeAlone(self) -> None:
        """
        So can one that only ends it.
        """
        answers = [self.post("a", b"", None, key="k", closed="true") for _ in range(3)]
        self.assertEqual([answer.body for answer in answers], [answers[0].body] * 3)
        self.assertEqual([name for name, _ in self.read("a")], ["done"])

    def test_otherBody(self) -> None:
        """
        The same key with another body, or another `Stream-Closed`, is 422, and
        nothing of it is there.
        """
        self.post("a", b'{"data":"1"}', key="k")
        for body, closed in (
            (b'{"data":"2"}', None),
            (b'{"token":"1"}', None),
            (b'{"data":"1"}', "true"),
            (b"", "true"),
        ):
            self.assertError(self.post("a", body, key="k", closed=closed), 422, "idempotency_key_reused")
        self.assertError(self.post("a", b'[{"data":"1"},{"data":"1"}]', key="k"), 422, "idempotency_key_reused")
        self.assertEqual(self.read("a"), [("message", "1")])

    def test_others(self) -> None:
        """
        Another key, no key, and the same key in another stream publish anew.
        """
        self.put("b")
        for name, key in (("a", "k"), ("a", "K"), ("a", None), ("a", None), ("b", "k")):
            self.publish(name, {"data": "1"}, key=key)
        self.assertEqual(self.read("a"), [("message", "1")] * 4)
        self.assertEqual(self.read("b"), [("message", "1")])

    def test_afterARefusal(self) -> None:
        """
        A key that came with a body which was refused is free.
        """
        self.assertEqual(self.post("a", b'{"event":"done","data":""}', key="k").status, 400)
        self.publish("a", {"data": "1"}, key="k")
        self.assertEqual(self.read("a"), [("message", "1")])

    def test_trimmed(self) -> None:
        """
        A key is kept as long as its entries, not longer.
        """
        self.serve(self.source, Settings(window=64 * 1024))
        self.put("a")
        self.publish("a", {"data": "1"}, key="k")
        self.assertEqual(self.post("a", b'{"data":"2"}', key="k").status, 422)
        self.publish("a", *[{"data": "x" * 1000}] * 100)
        self.assertGreater(self.state("/streams/a")["first"], 1)
        self.publish("a", {"data": "2"}, key="k")

    def test_run(self) -> None:
        """
        A `POST /streams` that is repeated joins the run that it started.
        """
        headers = {"Idempotency-Key": "k"}
        answers = [self.ask("/streams", method="POST", body=b"{}", headers=headers) for _ in range(2)]
        self.assertEqual(len(self.source.runs), 1)
        self.assertEqual([answer.status for answer in answers], [201, 201])
        self.assertEqual(answers[0].body, answers[1].body)
        self.assertEqual(answers[0].headers["location"], answers[1].headers["location"])
        self.source.run.write("Hello")
        self.source.run.end()
        again = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.assertEqual(
            self.read(again.json["name"]), [("message", "Hello"), ("done", '{"reason":"stop","tokens":1}')]
        )

    def test_runOtherPrompt(self) -> None:
        """
        With another prompt the key is refused; another key, or none, starts
        another run.
        """
        for body, key, status in (
            (b"a", "k", 201),
            (b"b", "k", 422),
            (b"b", "K", 201),
            (b"a", None, 201),
            (b"a", "k", 201),
        ):
            headers = {} if key is None else {"Idempotency-Key": key}
            response = self.ask("/streams", method="POST", body=b'{"prompt":"%b"}' % body, headers=headers)
            self.assertEqual(response.status, status)
        self.assertEqual([run.prompt.text for run in self.source.runs if run.prompt], ["a", "b", "a"])

    def test_runExpired(self) -> None:
        """
        When the run's stream is no longer kept, the key starts a new one.
        """
        headers = {"Idempotency-Key": "k"}
        first = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.source.run.end()
        self.reactor.run(self.settings.keep + 1, 10)
        again = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.assertNotEqual(again.json["name"], first.json["name"])
        self.assertEqual(self.read(again.json["name"]), [])

    def test_runDeleted(self) -> None:
        """
        A key never leads to a stream that was deleted.
        """
        headers = {"Idempotency-Key": "k"}
        first = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.delete(first.json["name"])
        again = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.assertEqual(again.status, 201)
        self.assertEqual(self.view(again.headers["location"]).response.status, 200)

    def test_runRefusedKey(self) -> None:
        """
        What is no key is refused before anything starts.
        """
        for key in ("a b", "", "x" * 256, "\xe9"):
            response = self.ask("/streams", method="POST", body=b"{}", headers={"Idempotency-Key": key})
            self.assertError(response, 400, "bad_request")
        self.assertEqual(self.source.runs, [])


class RefusalTests(PublishingTestCase):
    """What is refused leaves nothing behind."""

    def setUp(self) -> None:
        super().setUp()
        self.put("a")
        self.publish("a", {"data": "before"})
        self.watching = self.view("/streams/a")
        self.before = self.everything()

    def everything(self) -> tuple[object, ...]:
        """All that a refusal could have changed."""
        return (
            self.state("/streams/a"),
            self.watching.response.body,
            self.service._store.count,
            self.service._store.used,
        )

    def assertRefused(self, response: Response, status: int, code: str) -> None:
        """An answer is this error, and nothing has changed."""
        self.assertError(response, status, code)
        self.assertEqual(self.everything(), self.before)

    def refuse(self, bodies: Iterable[bytes], contentType: str = JSON, code: str = "bad_request") -> None:
        """Publish each of these in vain: with and without a key, and to close."""
        for body in bodies:
            for keywords in ({}, {"key": "k"}, {"closed": "true"}):
                self.assertRefused(self.post("a", body, contentType, **keywords), 400, code)

    def test_names(self) -> None:
        """
        A name outside the alphabet is refused, however it is written in the
        path.
        """
        dots = [".", "..", "%2e", "%2E%2e", "%2e."]
        quoted = [
            "a%2Fb",
            "%2f",
            "..%2f..%2fetc",
            "a%00",
            "a%0a",
            "a%0d%0aX:%20y",
            "%20",
            "a%20b",
            "%25",
            "a%5Cb",
            "a%3Fb",
        ]
        others = [
            "%ff",
            "%c3%a9",
            "%ed%a0%80",
            "a+b",
            "a,b",
            "a;b",
            "a:b",
            "a@b",
            "a!b",
            "a*b",
            "(a)",
            "x" * 129,
            "%E2%80%A8",
        ]
        for name in [*dots, *quoted, *others]:
            self.assertRefused(self.put(name), 400, "bad_request")

    def test_namesElsewhere(self) -> None:
        """
        Such a name is nobody's: 404 for every other method, and no error.
        """
        for name in ("..", "%2e", "a%2fb", "%ff", "x" * 129, "a%00b", "a" * 5000):
            for method in ("GET", "DELETE"):
                self.assertRefused(self.ask(f"/streams/{name}", method=method), 404, "stream_not_found")
            self.assertRefused(self.post(name, b'{"data":"x"}'), 404, "stream_not_found")

    def test_noName(self) -> None:
        """
        Without a name there is nothing to make, nor below a stream.
        """
        for path in ("/streams", "/streams/"):
            response = self.ask(path, method="PUT")
            self.assertRefused(response, 405, "method_not_allowed")
            self.assertEqual(response.headers["allow"], "POST")
        self.assertRefused(self.ask("/streams/a/b", method="PUT"), 404, "not_found")

    def test_types(self) -> None:
        """
        Types that are the server's own, and those that no event can carry.
        """
        names = ["stream", "done", "failed", "cancelled", "gap", "open", "error", "x" * 129, "a\x07", "\x85", "a\x7f"]
        self.refuse(json.dumps({"event": name, "data": ""}).encode() for name in names)
        controls = [json.dumps({"event": name, "data": ""}).encode() for name in ("a\r", "a\nb", "\x00", "\t")]
        self.refuse(controls)
        empty = self.post("a", b'{"event":"","data":""}')
        self.assertRefused(empty, 400, "malformed_event")
        self.refuse([b"event: done\ndata: x\n\n", b"event: a\x00\ndata: x\n\n"], EVENT_STREAM)

    def test_surrogates(self) -> None:
        """
        Half of a surrogate pair, which has no UTF-8.
        """
        self.refuse(
            [b'{"data":"\\ud800"}', b'{"token":"x\\udfff"}', b'{"event":"\\ud800","data":""}', b'[{"data":"\\udc00"}]']
        )

    def test_deep(self) -> None:
        """
        JSON that is nested too deep.
        """
        deep = b"[" * 100_000
        self.refuse([deep, deep + b"]" * 100_000, b'{"data":%b' % deep, b'{"x":%b' % deep, b'{"data":' * 100_000])

    def test_numbers(self) -> None:
        """
        Numbers, also one of five thousand digits, and what is none.
        """
        self.refuse([b'{"data":%b}' % number for number in (b"9" * 5000, b"1", b"NaN", b"Infinity", b"1e999999")])
        self.refuse([b"9" * 5000, b"NaN"])

    def test_shapes(self) -> None:
        """
        Trailing garbage, wrong shapes, unknown members, nothing at all.
        """
        self.refuse(
            [b'{"data":"a"}x', b'{"data":"a"}{"data":"b"}', b"{", b" ", b"data: a\n\n", b"null", b'"a"', b"[[]]"]
        )
        self.refuse(
            [
                b"{}",
                b"[{}]",
                b"[null]",
                b'{"event":"a"}',
                b'{"data":"a","id":"1"}',
                b'{"token":"a","data":"b"}',
                b'{"token":""}',
            ]
        )

    def test_nothing(self) -> None:
        """
        A body without entries publishes nothing, unless it closes.
        """
        for body, contentType in (
            (b"[]", JSON),
            (b"", JSON),
            (b"", None),
            (b": c\n\n", EVENT_STREAM),
            (b"event: x\n\n", EVENT_STREAM),
        ):
            self.assertRefused(self.post("a", body, contentType), 400, "bad_request")

    def test_notUTF8(self) -> None:
        """
        Bytes that are not UTF-8, in each type of body.
        """
        self.refuse([b"a\xff", b"\xed\xa0\x80"], PLAIN)
        self.refuse([b"data: \xff\n\n", b": \xff\ndata: a\n\n"], EVENT_STREAM)
        self.refuse([b'{"data":"\xff"}', b'{"data":"\xed\xa0\x80"}', b'{"\xff":""}'])

    def test_unfinished(self) -> None:
        """
        An event stream whose last event is not finished.
        """
        self.refuse([b"data: a\n\ndata: b\n", b"data: a", b"data: a\n\nevent: x", b"data: a\n\n: c"], EVENT_STREAM)

    def test_lists(self) -> None:
        """
        A list with one bad member, the last one, is refused as a whole.
        """
        good = b'{"data":"a"},' * 100
        self.refuse(b"[%b%b]" % (good, bad) for bad in (b'{"event":"gap","data":""}', b"7", b'{"token":"\\ud800"}'))
        self.refuse([b"data: a\n\n" * 100 + b"event: open\ndata: b\n\n"], EVENT_STREAM)

    def test_contentTypes(self) -> None:
        """
        A body of another type, or of none.
        """
        for contentType in (
            None,
            "",
            "text/html",
            "application/x-www-form-urlencoded",
            "application/ndjson",
            "nonsense",
            "\xe9",
        ):
            self.assertRefused(self.post("a", b'{"data":"x"}', contentType), 415, "unsupported_media_type")
        multipart = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'
        response = self.post("a", multipart, "multipart/form-data; boundary=x")
        self.assertRefused(response, 415, "unsupported_media_type")

    def test_keys(self) -> None:
        """
        An `Idempotency-Key` that is no key.
        """
        for key in ("", "a b", "x" * 256, "\xe9", "a\tb"):
            self.assertRefused(self.post("a", b'{"data":"x"}', key=key), 400, "bad_request")

    def test_closed(self) -> None:
        """
        A `Stream-Closed` that is neither true nor false.
        """
        for value in ("yes", "1", "?1", "true, true", "truetrue", "\xe9"):
            self.assertRefused(self.post("a", b'{"data":"x"}', closed=value), 400, "bad_request")

    def test_parameters(self) -> None:
        """
        A viewer with a `from` or a `format` that there is not.
        """
        for query in (
            "from=then",
            "from=NOW",
            "from=1",
            "from=%ff",
            "format=json",
            "format=Text",
            "format=%ff",
            "format=../x",
        ):
            self.assertRefused(self.ask(f"/streams/a?{query}", EVENT_STREAM), 400, "bad_request")

    def test_runBodies(self) -> None:
        """
        What starts a run is read as strictly, and starts none.
        """
        deep = b"[" * 100_000
        bad = [b'{"prompt":"\xff"}', b'{"prompt":"\\ud800"}', b'{"prompt":%b}' % (b"9" * 5000), deep]
        worse = [b'{"x":%b' % deep, b'{"x":%b%b}' % (deep, b"]" * 100_000), b"NaN", b"[]", b"null", b'{"prompt":"a"}x']
        for body in [*bad, *worse, b'{"x":NaN}', b"\xff"]:
            self.assertRefused(self.ask("/streams", method="POST", body=body), 400, "bad_request")
        self.assertRefused(self.ask("/streams", method="POST", body=b'{"prompt":1}'), 400, "invalid_value")
        self.assertEqual(self.source.runs, [])


class BodySizeTests(PublishingTestCase):
    """The limit of a request's body."""

    def setUp(self) -> None:
        super().setUp()
        self.put("a")

    def test_atTheLimit(self) -> None:
        """
        A body of 1 MiB is taken.
        """
        self.assertEqual(self.post("a", b"x" * MAX_BODY, PLAIN).status, 200)
        self.assertIn(b"\ndata: %b\n\n" % (b"x" * MAX_BODY), self.view("/streams/a").response.body)

    def begin(self, field: str) -> Wire:
        """Send the head of a publish."""
        wire = self.connect(self.factory)
        wire.methods.append("POST")
        head = f"POST /streams/a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n{field}\r\n\r\n"
        wire.send(head.encode("ascii"))
        return wire

    def test_announced(self) -> None:
        """
        A longer one is refused when its length is known, before it is read;
        what of it comes all the same is dropped.
        """
        for size in (MAX_BODY + 1, 10737418240, "9" * 30):
            self.assertError(self.begin(f"Content-Length: {size}").response, 413, "body_too_large")
        wire = self.begin(f"Content-Length: {MAX_BODY + 1}")
        wire.send(b"x" * (MAX_BODY + 1))
        self.assertError(wire.response, 413, "body_too_large")
        self.assertTrue(wire.closed)
        self.assertEqual(self.read("a"), [])

    def test_chunked(self) -> None:
        """
        One that does not tell its length is refused when it reaches the limit,
        though its end is not there; it is not read for ever.
        """
        wire = self.begin("Transfer-Encoding: chunked")
        for _ in range(16):
            wire.send(b"10000\r\n%b\r\n" % (b"x" * 0x10000))
        self.assertEqual(wire.received, b"")
        wire.send(b"1\r\nx\r\n")
        self.assertError(wire.response, 413, "body_too_large")
        for _ in range(64):
            wire.send(b"100000\r\n%b\r\n" % (b"x" * 0x100000))
            if wire.closed:
                break
        self.assertTrue(wire.closed)
        self.assertError(wire.response, 413, "body_too_large")
        self.assertEqual(self.read("a"), [])

    def test_chunkedAtTheLimit(self) -> None:
        """
        A chunked body of 1 MiB is taken.
        """
        wire = self.begin("Transfer-Encoding: chunked")
        wire.send(b"100000\r\n%b\r\n0\r\n\r\n" % (b"x" * MAX_BODY))
        self.assertEqual(wire.response.status, 200)


class ViewersTests(PublishingTestCase):
    """Many viewers of one published stream."""

    def setUp(self) -> None:
        super().setUp()
        self.id = self.put("a").json["epoch"] + "-%d"

    def test_equalBytes(self) -> None:
        """
        Viewers that follow live get the same bytes, all but the reconnection
        time, which is each one's own.
        """
        wires = [self.view("/streams/a") for _ in range(20)]
        for number in range(5):
            self.publish("a", {"token": f" {number}"}, {"event": "e", "data": "x\ny"}, {"token": "\r"}, {"token": "\n"})
        self.publish("a", closed="true")
        self.reactor.advance(FLUSH_TICK)
        bodies = {re.sub(rb"retry: \d+\n", b"", wire.response.body) for wire in wires}
        self.assertEqual(len(bodies), 1)
        self.assertEqual([event.id for event in wires[0].response.events][-1], self.id % 21)

    def test_oneEncoding(self) -> None:
        """
        An event is encoded once for all the viewers of a format.
        """
        encoded = []
        dataLines = eventsFormat.dataLines
        self.patch(eventsFormat, "dataLines", lambda data: encoded.append(data) or dataLines(data))
        wires = [self.view("/streams/a") for _ in range(30)]
        self.publish("a", {"data": "once"})
        self.assertEqual(encoded, [b"once"])
        self.assertEqual([told(wire) for wire in wires], [[("message", "once")]] * 30)

    def test_ownCursors(self) -> None:
        """
        Each viewer gets exactly what follows the place that it comes from.
        """
        self.publish("a", *({"data": str(number)} for number in range(1, 6)))
        for number in range(6):
            rest = [("message", str(later)) for later in range(number + 1, 6)]
            self.assertEqual(self.read("a", lastEventID=self.id % number), rest)

    def test_fromNow(self) -> None:
        """
        With `from=now` a new viewer gets only what comes from then on, and the
        ID of the place where it begins.
        """
        self.publish("a", {"data": "before"})
        wire = self.view("/streams/a?from=now")
        self.assertEqual([event.id for event in wire.response.events], [self.id % 1])
        self.publish("a", {"data": "after"})
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(told(wire), [("message", "after")])

    def test_fromNowEnded(self) -> None:
        """
        `from=now` of a stream that has ended is 204: there is nothing to come.
        """
        self.publish("a", {"data": "before"}, closed="true")
        self.assertEqual(self.view("/streams/a?from=now").response.status, 204)
        self.assertEqual(self.view("/streams/a?from=now&format=text").response.status, 204)

    def test_resumeBeatsFromNow(self) -> None:
        """
        A viewer that comes back goes on where it was, although its URL has
        `from=now` in it.
        """
        self.publish("a", {"data": "1"}, {"data": "2"}, closed="true")
        self.assertEqual(told(self.view("/streams/a?from=now", self.id % 1))[0], ("message", "2"))
        self.assertEqual(told(self.view(f"/streams/a?from=now&last_event_id={self.id % 1}"))[0], ("message", "2"))

    def test_futureID(self) -> None:
        """
        An ID above the last one leads to a gap, `lost`, and all there is; of a
        stream that has ended, too: whoever has it does not have the end.
        """
        for closed in (None, "true"):
            self.publish("a", {"data": "1"}, closed=closed)
            for number in (5, 10**18):
                wire = self.view("/streams/a", self.id % number)
                self.assertEqual(wire.response.status, 200, number)
                gap, event, *_ = told(wire)
                self.assertEqual((gap[0], json.loads(gap[1])["reason"]), ("gap", "lost"))
                self.assertEqual(event, ("message", "1"))

    def test_headerWins(self) -> None:
        """
        `last_event_id=` is for who cannot send a header; the header wins, and
        an empty one counts for nothing.
        """
        self.publish("a", *({"data": str(number)} for number in range(1, 5)))
        path = f"/streams/a?last_event_id={self.id % 1}"
        self.assertEqual(told(self.view(path))[0], ("message", "2"))
        self.assertEqual(told(self.view(path, self.id % 3)), [("message", "4")])
        self.assertEqual(told(self.view(path, ""))[0], ("message", "2"))

    def test_yields(self) -> None:
        """
        A wake-up of very many viewers lets others in between: the publisher
        has its answer, and what is due is done, before the last one is woken.
        """
        self.assertLessEqual(streamlog.WAKES_PER_TURN, 1000)
        self.patch(streamlog, "WAKES_PER_TURN", 50)
        wires = [self.view("/streams/a") for _ in range(120)]
        heads = [len(wire.received) for wire in wires]
        seen = []
        callLater = self.reactor.callLater

        def watched(delay: float, call: Callable[..., object], *arguments: Any) -> Any:
            def made() -> None:
                call(*arguments)
                seen.append(sum(len(wire.socket.sent) > head for wire, head in zip(wires, heads, strict=True)))

            return callLater(delay, made)

        self.reactor.advance(FLUSH_TICK)
        self.patch(self.reactor, "callLater", watched)
        self.assertEqual(self.post("a", b'{"data":"all"}').status, 200)
        self.assertLessEqual(max(after - before for before, after in pairwise([0, *seen])), 50)
        self.assertEqual(seen[-1], len(wires))
        self.assertEqual({told(wire)[-1] for wire in wires}, {("message", "all")})


class BoundsTests(PublishingTestCase):
    """What the server keeps is bounded."""

    settings = Settings(maxStreams=3)

    def assertOverloaded(self, response: Response) -> None:
        """The answer is that there is no room now, and when to come back."""
        self.assertError(response, 503, "overloaded")
        self.assertGreaterEqual(int(response.headers["retry-after"]), 1)

    def test_streams(self) -> None:
        """
        Above so many streams new ones are refused, of both sorts; what is
        there goes on.
        """
        path = self.startRun()
        for name in ("a", "b"):
            self.put(name)
        self.assertOverloaded(self.put("c"))
        self.assertOverloaded(self.ask("/streams", method="POST", body=b""))
        self.assertEqual(len(self.source.runs), 1)
        self.publish("a", {"data": "x"})
        self.source.run.write("Hello")
        self.assertEqual(self.ask(path, PLAIN).body, b"Hello")
        self.assertError(self.ask("/streams/c", JSON), 404, "stream_not_found")

    def test_openOne(self) -> None:
        """
        PUT of an open stream needs no room: it is there.
        """
        for name in ("a", "b", "c"):
            self.put(name)
        self.assertEqual(self.put("a").status, 200)

    def test_openOneDrivesNobodyOut(self) -> None:
        """
        PUT of a stream that is there, open or ended, costs no finished one.
        """
        for name in ("a", "b", "c"):
            self.put(name)
        self.publish("b", closed="true")
        self.assertEqual(self.put("a").status, 200)
        self.assertEqual(self.ask("/streams/b", JSON).status, 200)
        self.assertError(self.put("b"), 409, "stream_ended")

    def test_finishedGoFirst(self) -> None:
        """
        A new stream takes the place of the one that ended first, not of the
        oldest.
        """
        for name in ("a", "b", "c"):
            self.put(name)
        for name in ("b", "a"):
            self.publish(name, closed="true")
            self.reactor.advance(1)
        self.assertEqual(self.put("d").status, 201)
        self.assertEqual([self.ask(f"/streams/{name}", JSON).status for name in "abcd"], [200, 404, 200, 200])
        self.assertEqual(self.put("e").status, 201)
        self.assertOverloaded(self.put("f"))

    def test_room(self) -> None:
        """
        When one is deleted there is room again.
        """
        for name in ("a", "b", "c"):
            self.put(name)
        self.assertOverloaded(self.put("d"))
        self.delete("b")
        self.assertEqual(self.put("d").status, 201)

    def test_bytes(self) -> None:
        """
        Above so many bytes finished streams go, then publishes and new streams
        are refused, and nothing of them is stored.
        """
        self.serve(self.source, Settings(maxBytes=64 * 1024))
        for name in ("old", "a", "b"):
            self.put(name)
        large = {"data": "x" * 40_000}
        self.publish("old", large, closed="true")
        self.publish("a", large)
        self.publish("b", {"data": "y"})
        self.assertEqual(self.ask("/streams/old", JSON).status, 404)
        self.publish("a", large)
        before = self.state("/streams/a"), self.state("/streams/b")
        for name in ("a", "b"):
            self.assertOverloaded(self.post(name, b'[{"data":"1"},{"data":"2"}]', key="k"))
            self.assertOverloaded(self.post(name, b"", closed="true"))
        self.assertOverloaded(self.put("c"))
        self.assertEqual((self.state("/streams/a"), self.state("/streams/b")), before)
        self.delete("a")
        self.publish("b", {"data": "1"}, {"data": "2"}, key="k")
        self.assertEqual(len(self.read("b")), 3)

    def test_runWaits(self) -> None:
        """
        A run pauses where there is no room, ends nothing, and goes on when
        there is.
        """
        self.serve(self.source, Settings(maxBytes=256 * 1024, readAhead=1 << 30))
        self.put("a")
        self.publish("a", {"data": "x" * 200_000})
        path = self.startRun()
        wire = self.view(path)
        producer = RecordingProducer()
        self.source.run.sink.registerProducer(producer, True)
        for _ in range(12):
            self.source.run.write("y" * 8000)
            self.reactor.advance(FLUSH_TICK)
        self.assertEqual(producer.told, ["pause"])
        self.reactor.run(5)
        self.assertEqual(producer.told, ["pause"])
        self.assertFalse(self.source.run.cancelled)
        self.delete("a")
        self.reactor.run(2)
        self.assertEqual(producer.told, ["pause", "resume"])
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual("".join(wire.response.texts), "y" * 96_000)
        self.assertEqual(told(wire)[-1][0], "done")

    def test_runWaitsWithoutRoomForItself(self) -> None:
        """
        A run that waits for room ends all the same when it lingers: nobody
        waits for ever.
        """
        self.serve(self.source, Settings(maxBytes=100_000, linger=10))
        path = self.startRun()
        self.source.run.write(*["y" * 8000] * 20)
        waiting = self.source.run.sink.ready()
        self.assertNoResult(waiting)
        self.reactor.run(11)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(self.ask(path, JSON).json["state"], "cancelled")

    def test_window(self) -> None:
        """
        A stream keeps its window. Who comes back for what was trimmed is told
        of the gap, with its size; who is new begins at the first entry kept.
        """
        self.serve(self.source, Settings(window=64 * 1024))
        identifier = self.put("a").json["epoch"] + "-%d"
        self.publish("a", *({"data": f"{number:04d}{'x' * 996}"} for number in range(1, 101)))
        state = self.state("/streams/a")
        first, last = state["first"], state["last"]
        # A sixteenth of the window is for what is on the way.
        self.assertLessEqual(state["bytes"], 60 * 1024)
        self.assertGreater(state["bytes"], 55 * 1024)
        self.assertEqual((last, state["entries"]), (100, 101 - first))
        self.assertGreater(first, 30)
        gap, event, *_ = told(self.view("/streams/a", identifier % 10))
        expected = {"after": identifier % 10, "from": identifier % first, "missed": first - 11, "reason": "trimmed"}
        self.assertEqual(gap, ("gap", json.dumps(expected, separators=(",", ":"))))
        self.assertEqual(event[1][:4], f"{first:04d}")
        self.assertEqual(told(self.view("/streams/a", identifier % (first - 1)))[0], event)
        new = self.view("/streams/a")
        self.assertEqual(told(new)[0], event)
        self.assertEqual(new.response.events[0].id, identifier % (first - 1))

    def test_slowViewer(self) -> None:
        """
        A viewer that is slower than the window is told of the gap when it goes
        on; to the server it is a cursor, not a queue.
        """
        self.serve(self.source, Settings(window=512 * 1024, stall=10_000))
        self.put("a")
        slow = self.view("/streams/a", room=1000)
        fast = self.view("/streams/a")
        for number in range(200):
            self.publish("a", {"data": f"{number:03d}{'x' * 20_000}"})
        self.assertLess(sum(map(len, slow.transport._tempDataBuffer)) + len(slow.transport.dataBuffer), 400_000)
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual([data[:3] for _, data in told(fast)], [f"{number:03d}" for number in range(200)])
        slow.take()
        self.reactor.run(1)
        types = slow.response.types
        self.assertEqual(types.count("gap"), 1)
        gap = json.loads(next(event.data for event in slow.response.events if event.type == "gap"))
        numbers = [int(event.data[:3]) for event in slow.response.events if event.type == "message"]
        self.assertEqual(len(numbers) + gap["missed"], 200)
        self.assertEqual(numbers[-1], 199)
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_stalledViewer(self) -> None:
        """
        Who takes nothing for the time `stall` is cut, not earlier, and goes on
        exactly there when it is back; others are not disturbed.
        """
        self.serve(self.source, Settings(stall=30, heartbeat=5))
        self.put("a")
        other = self.view("/streams/a")
        wire = self.view("/streams/a")
        wire.stall()
        for number in range(20):
            self.publish("a", {"data": f"{number:02d}{'x' * 20_000}"})
        self.reactor.run(25)
        self.assertFalse(wire.closed)
        self.reactor.run(15)
        self.assertTrue(wire.closed)
        self.assertEqual(self.state("/streams/a")["viewers"], 1)
        last = wire.response.events[-1].id
        have = len(told(wire))
        self.assertLess(have, 20)
        back = self.view("/streams/a", last)
        self.reactor.run(1)
        everything = told(wire) + told(back)
        self.assertEqual([data[:2] for _, data in everything], [f"{number:02d}" for number in range(20)])
        self.assertEqual(everything, told(other))

    def test_slowIsNotStalled(self) -> None:
        """
        Who takes a little all the time is not cut.
        """
        self.serve(self.source, Settings(stall=30))
        self.put("a")
        wire = self.view("/streams/a")
        wire.stall()
        self.publish("a", *[{"data": "x" * 20_000}] * 20)
        for _ in range(20):
            self.reactor.run(10)
            wire.take(1000)
        self.assertFalse(wire.closed)
        self.assertEqual(self.state("/streams/a")["viewers"], 1)

    def test_stalledUnseen(self) -> None:
        """
        Where the connection cannot be looked at, as on HTTP/2, who keeps its
        response paused for so long is cut all the same; who takes all is not.
        """
        self.patch(producer, "taken", lambda transport, written: None)
        self.serve(self.source, Settings(stall=30, heartbeat=5))
        self.put("a")
        other, wire = self.view("/streams/a"), self.view("/streams/a")
        wire.stall()
        self.publish("a", *[{"data": "x" * 20_000}] * 20)
        self.reactor.run(25)
        self.assertFalse(wire.closed)
        self.reactor.run(15)
        self.assertEqual((wire.closed, other.closed), (True, False))

    def test_vanishedViewer(self) -> None:
        """
        A peer that acknowledges nothing is cut, though the kernel takes all
        that is for it; one that does so late is not.
        """
        self.serve(self.source, Settings(stall=30, heartbeat=15))
        self.put("a")
        gone, late = self.view("/streams/a"), self.view("/streams/a")
        gone.socket.arrived = late.socket.arrived = len(gone.socket.sent)
        self.publish("a", {"data": "x"})
        for _ in range(8):
            self.reactor.run(10)
            late.socket.arrived += 1
        self.assertEqual((gone.closed, late.closed), (True, False))
        self.assertEqual(self.state("/streams/a")["viewers"], 1)

    def test_joined(self) -> None:
        """
        Who comes to a log of 100,000 tokens gets them in at most 20 writes,
        joined, and then goes on live.
        """
        identifier = self.put("a").json["epoch"] + "-%d"
        words = [f" w{number}" for number in range(100_000)]
        for start in range(0, 100_000, 20_000):
            self.publish("a", *({"token": word} for word in words[start : start + 20_000]))
        self.reactor.advance(1)
        for path in ("/streams/a", "/streams/a?format=text"):
            wire = self.view(path)
            self.assertLessEqual(len(wire.socket.sends), 20)
            events = wire.response.events
            self.assertLessEqual(len(events), 20)
            self.assertEqual(events[-1].id, identifier % 100_000)
            texts = wire.response.texts
            self.assertEqual(texts[-1] if "text" in path else "".join(texts), "".join(words))
        live = self.view("/streams/a", identifier % 99_999)
        self.publish("a", {"token": " end"})
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(live.response.texts, [" w99999", " end"])


class Thread:
    """A store's thread that works when it is told to."""

    def __init__(self) -> None:
        self.held = False
        self.full = False
        self._waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """See L{SQLiteStore}: call a function in the thread."""
        result: Deferred[Any] = Deferred()
        self._waiting.append((result, function, arguments))
        if not self.held:
            self.work()
        return result

    def work(self) -> None:
        """Do what waits."""
        waiting, self._waiting = self._waiting, []
        for result, function, arguments in waiting:
            if self.full and function.__name__ == "commit":
                result.errback(Failure(StoreUnavailable("The disk is full.")))
                continue
            try:
                value = function(*arguments)
            except Exception:
                result.errback(Failure())
            else:
                result.callback(value)


class SlowStoreTests(PublishingTestCase):
    """What happens while the store is still writing, and when it cannot."""

    def setUp(self) -> None:
        super().setUp()
        super().stop()
        self.thread = Thread()
        self.store = SQLiteStore(self.reactor, self.mktemp(), self.settings.window, self.thread)
        self.serve(self.source, store=self.store)
        self.addCleanup(self.flushLoggedErrors)

    def stop(self) -> None:
        self.thread.held = self.thread.full = False
        self.thread.work()
        self.reactor.advance(2)
        stopped = self.service.stopService()
        for _ in range(5):
            self.reactor.advance(FLUSH_TICK)
        self.successResultOf(stopped)

    def begin(self, path: str, **keywords: Any) -> Wire:
        """Make a request whose answer has to wait."""
        wire = self.connect(self.factory)
        wire.begin(path, **keywords)
        self.reactor.advance(0)
        return wire

    def open(self, name: str) -> str:
        """Open a stream; give its epoch."""
        return str(self.begin(f"/streams/{name}", method="PUT").response.json["epoch"])

    def send(self, name: str, body: bytes, key: str | None = None, closed: bool = False) -> Wire:
        """Publish in JSON."""
        headers = {"Content-Type": JSON, "Stream-Closed": "true" if closed else "false"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.begin(f"/streams/{name}", method="POST", body=body, headers=headers)

    def go(self) -> None:
        """Let the thread do all it has to."""
        self.thread.held = False
        self.thread.work()
        self.reactor.advance(FLUSH_TICK)
        self.reactor.advance(FLUSH_TICK)

    def test_visibleWhenStored(self) -> None:
        """
        The answer to a publish, and the event to the viewers, come when the
        store has it, not before; nor does any other reading show it.
        """
        epoch = self.open("a")
        viewer = self.view("/streams/a")
        self.thread.held = True
        wire = self.send("a", b'{"token":"x"}')
        self.assertEqual((wire.received, told(viewer)), (b"", []))
        self.assertEqual(self.ask("/streams/a", JSON).json["last"], 0)
        self.go()
        self.assertEqual(wire.response.json["ids"], [f"{epoch}-1"])
        self.assertEqual(told(viewer), [("message", "x")])

    def test_textWhenStored(self) -> None:
        """
        The text so far is what the store has: after a crash it is still there.
        """
        self.open("a")
        self.send("a", b'{"token":"x"}')
        self.thread.held = True
        self.send("a", b'{"token":"y"}')
        self.assertEqual(self.ask("/streams/a", PLAIN).body, b"x")
        self.go()
        self.assertEqual(self.ask("/streams/a", PLAIN).body, b"xy")

    def test_oneKeyTwice(self) -> None:
        """
        A retry that overtakes the store's answer to the first is answered the
        same, and doubles nothing.
        """
        self.open("a")
        self.thread.held = True
        wires = [self.send("a", b'{"token":"x"}', "k", closed=True) for _ in range(3)]
        other = self.send("a", b'{"token":"y"}', "k")
        self.go()
        self.assertEqual(len({wire.response.body for wire in wires}), 1)
        self.assertError(other.response, 422, "idempotency_key_reused")
        self.assertEqual([name for name, _ in self.read("a")], ["message", "done"])

    def test_oneRunForOneKey(self) -> None:
        """
        Two requests to start a run with one key, the second before the store
        has the first, start one run.
        """
        self.thread.held = True
        wires = [self.begin("/streams", method="POST", body=b"{}", headers={"Idempotency-Key": "k"}) for _ in range(2)]
        self.go()
        self.assertEqual(len(self.source.runs), 1)
        self.assertEqual(wires[0].response.json, wires[1].response.json)

    def test_full(self) -> None:
        """
        When the disk is full a publish is refused with 503 and is not there;
        its viewers stay; and it goes on by itself when there is room, with the
        same key, too.
        """
        self.open("a")
        viewer = self.view("/streams/a")
        self.thread.full = True
        refused = self.send("a", b'[{"token":"x"},{"token":"y"}]', "k")
        self.assertEqual((refused.response.status, refused.response.error["code"]), (503, "store_unavailable"))
        self.assertIn("retry-after", refused.response.headers)
        closing = self.send("a", b"", closed=True)
        new = self.begin("/streams/b", method="PUT")
        # The store tries now and then only.
        self.reactor.run(2)
        self.assertEqual((closing.response.status, new.response.status), (503, 503))
        self.assertEqual((told(viewer), viewer.response.complete), ([], False))
        state = self.state("/streams/a")
        self.assertEqual((state["last"], state["bytes"], state["state"]), (0, 0, "open"))
        self.thread.full = False
        self.reactor.run(2)
        again = self.send("a", b'[{"token":"x"},{"token":"y"}]', "k")
        self.assertEqual(again.response.status, 200)
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual("".join(data for _, data in told(viewer)), "xy")
        self.assertEqual(self.begin("/streams/b", method="PUT").response.status, 201)

    def test_runIsKept(self) -> None:
        """
        What a run writes while the disk is full is not lost: it comes when
        there is room.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        self.source.run.write("a")
        self.reactor.run(1)
        self.thread.full = True
        self.source.run.write("b")
        self.source.run.end()
        self.reactor.run(3)
        self.assertEqual(told(viewer), [("message", "a")])
        self.thread.full = False
        self.reactor.run(3)
        self.assertEqual([data for name, data in told(viewer) if name == "message"], ["a", "b"])
        self.assertEqual(told(viewer)[-1][0], "done")

    def test_deletedWhileItRuns(self) -> None:
        """
        A source that writes while its stream is being deleted is told nothing
        of it, and is stopped.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        self.thread.held = True
        deleting = self.begin(path, method="DELETE")
        self.source.run.write("late")
        self.reactor.advance(FLUSH_TICK)
        self.go()
        self.assertEqual(deleting.response.status, 204)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(told(viewer), [("cancelled", '{"reason":"deleted"}')])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_endsWhileItIsDeleted(self) -> None:
        """
        Nor is a source that ends while its stream is being deleted; nothing of
        the run stays behind.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        self.thread.held = True
        self.begin(path, method="DELETE")
        with logged() as events:
            if not self.source.run.done.called:
                self.source.run.end()
            self.go()
        self.assertEqual([event for event in events if "log_failure" in event], [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.service._runs._runs, {})
        self.assertEqual(self.service._runs._working, set())

    def test_nameOfADeletedOne(self) -> None:
        """
        A name is free as soon as its stream is deleted, though the store is
        still busy with that.
        """
        epoch = self.open("a")
        self.thread.held = True
        deleting = self.begin("/streams/a", method="DELETE")
        making = self.begin("/streams/a", method="PUT")
        self.go()
        self.assertEqual((deleting.response.status, making.response.status), (204, 201))
        self.assertNotEqual(making.response.json["epoch"], epoch)

    def test_roomOfAFinishedOne(self) -> None:
        """
        A finished stream makes room at once, though the store is still busy
        with forgetting it.
        """
        self.service._retention._settings = Settings(maxStreams=1)
        self.open("a")
        self.send("a", b"", closed=True)
        self.reactor.run(1)
        self.thread.held = True
        making = self.begin("/streams/b", method="PUT")
        self.go()
        self.assertEqual(making.response.status, 201)
        self.assertEqual(self.begin("/streams/a", method="GET").response.status, 404)

    def test_cancelledTwice(self) -> None:
        """
        To cancel is idempotent also while the store writes the end.
        """
        self.open("a")
        self.thread.held = True
        wires = [self.begin("/streams/a/cancel", method="POST", body=b"") for _ in range(2)]
        self.go()
        self.assertEqual([wire.response.status for wire in wires], [200, 200])
        self.assertEqual([wire.response.json["state"] for wire in wires], ["cancelled"] * 2)

    def test_stoppedWhileItRuns(self) -> None:
        """
        When the service is stopped a run gets its end, which is stored; and
        nothing is left on the clock.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        self.stop()
        # Idle connections have their timeouts.
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if "LoopingCall" in str(call)], [])
        self.assertEqual([name for name, _ in told(viewer)], ["failed"])
        self.service.startService()
        self.assertEqual([name for name, _ in self.read(path.removeprefix("/streams/"))], ["failed"])

    def test_stoppedUnseen(self) -> None:
        """
        So it is when nobody watches the run.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        self.stop()
        # Idle connections have their timeouts.
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if "LoopingCall" in str(call)], [])
        self.service.startService()
        self.assertEqual([name for name, _ in self.read(path.removeprefix("/streams/"))], ["failed"])

    def test_costs(self) -> None:
        """
        What the store counts is what it has, also after it has refused.
        """
        self.open("a")
        self.send("a", b'{"token":"xyz"}')
        self.thread.full = True
        self.send("a", b'[{"token":"a"},{"token":"b"}]')
        self.assertEqual(self.store.used, ENTRY_COST + 3)
        self.thread.full = False
        self.reactor.run(2)
        self.begin("/streams/a", method="DELETE")
        self.assertEqual((self.store.used, self.store.count), (0, 0))
