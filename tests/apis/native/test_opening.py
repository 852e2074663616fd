"""
Tests of opening, publishing into and deleting named streams.
"""

from __future__ import annotations

import json

from twisted.web.resource import Resource

from sseserver.stores.memory import MemoryStore
from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.accept import EVENT_STREAM, JSON, PLAIN_TEXT
from tests.apis.cases import PublishingTestCase, listEvents


class OpeningTests(PublishingTestCase):
    """PUT: streams to publish into."""

    def test_new(self) -> None:
        """
        PUT opens an empty stream with this name and an epoch of its own: 201, its URL, and its
        state.
        """
        response = self.put("a.B_c~1-")
        self.assertEqual((response.status, response.headers["location"]), (201, "/streams/a.B_c~1-"))
        state = response.json
        self.assertEqual((state["name"], state["state"], state["last"]), ("a.B_c~1-", "open", 0))
        self.assertRegex(state["epoch"], r"^[A-Za-z0-9]{22}$")
        self.assertEqual(self.state("/streams/a.B_c~1-"), state)

    def test_again(self) -> None:
        """PUT of an open stream is answered 200, and changes nothing."""
        self.put("a")
        self.publish("a", {"data": "1"})
        before = self.state("/streams/a")
        again = self.put("a")
        self.assertEqual((again.status, again.json), (200, before))
        self.assertNotIn("location", again.headers)

    def test_run(self) -> None:
        """PUT of the stream of a run is answered 409."""
        name = self.startRun().removeprefix("/streams/")
        self.assertError(self.put(name), 409, "stream_exists")

    def test_ended(self) -> None:
        """
        PUT of an ended stream is answered 409 as long as it is kept. Then the name is free, for
        another epoch.
        """
        epoch = self.put("a").json["epoch"]
        self.publish("a", closed="true")
        self.assertError(self.put("a"), 409, "stream_ended")
        self.reactor.run(self.settings.keep + 1, 10)
        again = self.put("a")
        self.assertEqual(again.status, 201)
        self.assertNotEqual(again.json["epoch"], epoch)

    def test_mounted(self) -> None:
        """Below a path of another site, the URL in the answer is complete."""
        root = Resource()
        root.putChild(b"chat", self.resource)
        self.factory = self.site(root)
        self.assertEqual(self.ask("/chat/streams/a", method="PUT").headers["location"], "/chat/streams/a")
        self.assertEqual(self.ask("/chat/streams/a/", method="PUT").status, 200)


class AppendingTests(PublishingTestCase):
    """POST: publishing."""

    def setUp(self) -> None:
        super().setUp()
        self.id = self.put("a").json["epoch"] + "-%d"

    def test_JSON(self) -> None:
        """
        A JSON event is appended with its type. The answer has its ID, and viewers get it at once.
        """
        wire = self.view("/streams/a")
        response = self.post("a", b'{"event":"note","data":"one\\ntwo"}')
        self.assertEqual((response.status, response.json["ids"]), (200, [self.id % 1]))
        self.assertEqual(listEvents(wire), [("note", "one\ntwo")])
        self.assertEqual(wire.response.events[-1].id, self.id % 1)

    def test_list(self) -> None:
        """
        A list is appended in order, with one ID for each member. Late viewers get its events one by
        one, and its tokens joined.
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
        """Plain text is one event of the default type, whatever its charset."""
        for contentType in (PLAIN_TEXT, "text/plain; charset=utf-8", "Text/Plain;charset=UTF-8"):
            self.assertEqual(self.post("a", " é\r\n".encode(), contentType).status, 200)
        self.assertEqual(self.read("a"), [("message", " é\n")] * 3)

    def test_eventStream(self) -> None:
        """
        Each event of an event stream is appended, with an ID of the server instead of its own.
        """
        body = b"id: 99\nretry: 1\ndata: a\n\n: c\n\nevent: e\ndata: b\ndata\n\n"
        response = self.post("a", body, EVENT_STREAM)
        self.assertEqual(response.json["ids"], [self.id % 1, self.id % 2])
        self.assertEqual(self.read("a"), [("message", "a"), ("e", "b\n")])

    def test_tokens(self) -> None:
        """
        Published tokens are a text: viewers of `text` see it grow, and `text/plain` has it so far.
        """
        wire = self.view("/streams/a?format=text")
        self.publish("a", {"token": "Hello"})
        self.publish("a", {"event": "note", "data": "not in the text"}, {"token": " world"})
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.texts, ["", "Hello", "Hello world"])
        self.assertEqual(self.ask("/streams/a", PLAIN_TEXT).body, b"Hello world")

    def test_close(self) -> None:
        """
        `Stream-Closed: true` ends the stream `done` after the entries. Responses complete, and
        reconnections get 204.
        """
        wire = self.view("/streams/a")
        ids = self.publish("a", {"token": "a"}, {"token": "b"}, closed="true")
        self.assertEqual(ids, [self.id % number for number in (1, 2, 3)])
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(listEvents(wire)[-1], ("done", '{"reason":"stop","tokens":2}'))
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.view("/streams/a", self.id % 3).response.status, 204)
        self.assertEqual(self.state("/streams/a")["state"], "done")

    def test_closeAlone(self) -> None:
        """
        A publish that only ends the stream may have an empty body of any type, or an empty list.
        """
        for number, (body, contentType) in enumerate(
            [(b"", None), (b"", "image/png"), (b"[]", JSON), (b"", EVENT_STREAM)]
        ):
            self.put(f"b{number}")
            response = self.post(f"b{number}", body, contentType, closed="True")
            self.assertEqual((response.status, len(response.json["ids"])), (200, 1), response)
            self.assertEqual(self.state(f"/streams/b{number}")["state"], "done")

    def test_notClosed(self) -> None:
        """`Stream-Closed: false` leaves the stream open."""
        self.post("a", b'{"data":""}', closed="false")
        self.assertEqual(self.state("/streams/a")["state"], "open")

    def test_afterTheEnd(self) -> None:
        """An ended stream takes no entries, and no second end."""
        self.publish("a", {"data": "x"}, closed="true")
        before = self.read("a")
        for closed in (None, "true"):
            self.assertError(self.post("a", b'{"data":"y"}', closed=closed), 409, "stream_ended")
        self.assertError(self.post("a", b"", closed="true"), 409, "stream_ended")
        self.assertEqual(self.read("a"), before)

    def test_afterCancel(self) -> None:
        """A cancelled stream takes no entries."""
        self.ask("/streams/a/cancel", method="POST", body=b"")
        self.assertError(self.post("a", b'{"data":"y"}'), 409, "stream_ended")
        self.assertEqual(self.read("a"), [("cancelled", '{"reason":"asked"}')])

    def test_unknown(self) -> None:
        """Publishing opens no stream: an unknown name is answered 404."""
        self.assertError(self.post("b", b'{"data":"y"}'), 404, "stream_not_found")
        self.assertError(self.ask("/streams/b", EVENT_STREAM), 404, "stream_not_found")

    def test_run(self) -> None:
        """A publish can neither append to a run nor end it."""
        name = self.startRun().removeprefix("/streams/")
        self.assertError(self.post(name, b'{"token":"y"}'), 409, "stream_exists")
        self.assertError(self.post(name, b"", closed="true"), 409, "stream_exists")
        self.assertEqual(self.read(name), [])

    def test_sameConnection(self) -> None:
        """A publisher can use one connection for all requests, also after a refusal."""
        wire = self.connect(self.factory)
        good = {"method": "POST", "body": b'{"data":"x"}', "headers": {"Content-Type": JSON}}
        self.assertEqual(wire.ask("/streams/a", **good).status, 200)
        self.assertEqual(wire.ask("/streams/a", **{**good, "body": b"["}).status, 400)
        self.assertEqual(wire.ask("/streams/a", **good).json["ids"], [self.id % 2])

    def test_hostileData(self) -> None:
        """
        Characters that some parsers treat as line ends, or drop, arrive unchanged, live and late.
        """
        data = "  a\u2028b\u2029c\x85d\x0be\x0cf\x00g\ufeff\n\n i😀 "
        live = self.view("/streams/a")
        self.publish("a", {"event": "é \u2028", "data": data}, {"token": data})
        self.reactor.advance(FLUSH_TICK)
        for wire in (live, self.view("/streams/a")):
            self.assertEqual(listEvents(wire), [("é \u2028", data), ("message", data)])


class DeletingTests(PublishingTestCase):
    """DELETE: streams that are deleted."""

    def setUp(self) -> None:
        super().setUp()
        self.store = MemoryStore(self.reactor, self.settings.kept)
        self.serve(self.source, store=self.store)
        self.epochBefore = self.put("a").json["epoch"]
        self.publish("a", {"data": "1"})

    def test_viewers(self) -> None:
        """
        Viewers of a deleted stream get `cancelled` with the reason `deleted`, and their responses
        complete.
        """
        wires = [self.view("/streams/a"), self.view("/streams/a?format=text")]
        self.assertEqual(self.delete("a").status, 204)
        self.reactor.advance(FLUSH_TICK)
        for wire in wires:
            self.assertEqual(listEvents(wire)[-1], ("cancelled", '{"reason":"deleted"}'))
            self.assertEqual(wire.response.events[-1].id, f"{self.epochBefore}-2")
            self.assertTrue(wire.response.complete)

    def test_later(self) -> None:
        """After the deletion every request is answered 404."""
        self.delete("a")
        self.assertError(self.delete("a"), 404, "stream_not_found")
        self.assertError(self.post("a", b'{"data":""}'), 404, "stream_not_found")
        self.assertError(self.view("/streams/a", f"{self.epochBefore}-1").response, 404, "stream_not_found")
        self.assertError(self.ask("/streams/a", JSON), 404, "stream_not_found")
        self.assertError(self.ask("/streams/a/cancel", method="POST", body=b""), 404, "stream_not_found")

    def test_nameAgain(self) -> None:
        """
        A reused name has another epoch and no earlier key. Earlier IDs lead to a gap, `lost`, and
        all entries.
        """
        self.publish("a", {"data": "2"}, key="k")
        self.delete("a")
        epoch = self.put("a").json["epoch"]
        self.assertNotEqual(epoch, self.epochBefore)
        self.publish("a", {"data": "new"}, key="k")
        for number in (0, 1, 2, 3, 10**18):
            wire = self.view("/streams/a", f"{self.epochBefore}-{number}")
            gap, event = listEvents(wire)
            self.assertEqual(gap[0], "gap")
            expected = {"after": f"{self.epochBefore}-{number}", "from": f"{epoch}-1", "missed": None, "reason": "lost"}
            self.assertEqual(json.loads(gap[1]), expected)
            self.assertEqual(wire.response.events[0].id, f"{epoch}-0")
            self.assertEqual(event, ("message", "new"))

    def test_ended(self) -> None:
        """
        Slow viewers still get the end of a deleted stream that had ended. A new stream of this name
        does not expire with it.
        """
        slow = self.view("/streams/a", room=0)
        self.publish("a", closed="true")
        self.delete("a")
        slow.take()
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual([name for name, _ in listEvents(slow)], ["message", "done"])
        self.put("a")
        self.reactor.run(self.settings.keep + 1, 10)
        self.assertEqual(self.ask("/streams/a", JSON).status, 200)

    def test_run(self) -> None:
        """Deleting the stream of a run stops the source, and drops its later tokens."""
        path = self.startRun()
        wire = self.view(path)
        self.source.run.write("Hello")
        self.assertEqual(self.ask(path, method="DELETE").status, 204)
        self.assertTrue(self.source.run.cancelled)
        self.source.run.write("dropped")
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(listEvents(wire), [("message", "Hello"), ("cancelled", '{"reason":"deleted"}')])
        self.assertEqual(self.ask(path, EVENT_STREAM).status, 404)

    def test_bytes(self) -> None:
        """Deleted streams no longer count."""
        self.delete("a")
        self.assertEqual((self.store.used, self.store.count), (0, 0))
