"""
Tests of `sseserver.apis.page.visitor`: `GET /` as an `EventSource` sends it.
"""

from __future__ import annotations

import gc
import json
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from sseserver.apis.root import StreamResource
from sseserver.errors import StoreUnavailable
from sseserver.formats import text as textFormat
from sseserver.sources.text import TextSource
from sseserver.stores.memory import MemoryStore
from sseserver.stores.sqlite import SQLiteStore
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.values import Prompt
from tests.apis.cases import ScriptedTestCase
from tests.http import CHROME, EVENTSOURCE


class VisitorTests(ScriptedTestCase):
    """`GET /` by an EventSource: a run for each visitor."""

    def test_startsARun(self) -> None:
        """
        A visitor gets a run in the format `text`. Each event has the entire text so far; the first
        is empty and has the first ID.
        """
        wire = self.view()
        first = wire.response.events[0]
        self.assertEqual((first.type, first.data), ("message", ""))
        self.assertRegex(first.id or "", r"^[A-Za-z0-9]{22}-0$")
        self.assertIsNotNone(first.retry)
        self.assertEqual(wire.response.headers["content-type"], EVENTSOURCE)
        self.write("Hello", " world")
        self.assertEqual(wire.response.texts, ["", "Hello", "Hello world"])
        self.end()
        self.assertEqual(wire.response.types[-1], "done")
        self.assertTrue(wire.response.complete)
        self.view()
        self.assertEqual(len(self.source.runs), 2)
        self.assertEqual([run.prompt for run in self.source.runs], [None, None])

    def test_leavesBeforeARefusal(self) -> None:
        """A visitor that has left when the store refuses the run gets no response, and nothing is logged."""
        created: Deferred[Any] = Deferred()
        store = MemoryStore(self.reactor, 1 << 20)
        self.serve(self.source, store=store)
        self.patch(store, "create", lambda *arguments: created)
        wire = self.view()
        wire.close()
        created.errback(StoreUnavailable("The disk is full."))
        self.assertEqual(wire.received, b"")

    def test_headers(self) -> None:
        """An event stream has the headers against buffering and caching, and `Vary`."""
        headers = self.view().response.headers
        self.assertEqual(headers["vary"], "Accept")
        self.assertEqual(headers["cache-control"], "no-cache, no-store, no-transform")
        self.assertEqual(headers["x-accel-buffering"], "no")
        self.assertNotIn("connection", headers)

    def test_resumes(self) -> None:
        """A visitor that reconnects with the last ID continues the same run, without a gap."""
        wire = self.view()
        self.write("a", "b")
        lastID = self.lastID(wire)
        wire.close()
        self.write("c")
        again = self.view(lastEventID=lastID)
        self.write("d")
        self.assertEqual(again.response.texts, ["abc", "abcd"])
        self.assertEqual(len(self.source.runs), 1)
        self.end()
        self.assertEqual(again.response.types[-1], "done")

    def test_resumesByTheParameter(self) -> None:
        """The ID in the URL, as polyfills of EventSource send it, resumes as well."""
        wire = self.view()
        self.write("a")
        again = self.view(f"/?last_event_id={self.lastID(wire)}")
        self.write("b")
        self.assertEqual(again.response.texts, ["ab"])
        self.assertEqual(len(self.source.runs), 1)

    def test_resumesBeforeTheFirstWord(self) -> None:
        """A visitor that reconnects before the first token continues the same run."""
        wire = self.view()
        again = self.view(lastEventID=self.lastID(wire))
        self.write("a")
        self.assertEqual(again.response.texts, ["", "a"])
        self.assertEqual(len(self.source.runs), 1)

    def test_hasTheEnd(self) -> None:
        """
        A visitor with the ID of the terminal event is answered 204, which stops an EventSource.
        """
        wire = self.view()
        self.write("a")
        self.end()
        response = self.view(lastEventID=self.lastID(wire)).response
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertNotIn("content-type", response.headers)
        self.assertEqual(len(self.source.runs), 1)

    def test_missedTheEnd(self) -> None:
        """
        A visitor that missed the terminal event gets it, without the text that it has already.
        """
        wire = self.view()
        self.write("a")
        lastID = self.lastID(wire)
        wire.close()
        self.end()
        response = self.view(lastEventID=lastID).response
        self.assertEqual((response.texts, response.types, response.complete), ([], ["done"], True))

    def test_F106_format(self) -> None:
        """F106: the parameter `format` selects the format of the visitor's stream, also when it is resumed."""
        wire = self.view("/?format=events")
        self.write("a", "b")
        texts = [event.data for event in wire.response.events if event.type == "message"]
        self.assertEqual((wire.response.types[0], texts), ("stream", ["a", "b"]))
        again = self.view("/?format=events", self.lastID(wire))
        self.write("c")
        self.assertEqual([event.data for event in again.response.events][1:], ["c"])
        self.assertEqual(len(self.source.runs), 1)
        wire = self.view("/?format=openai")
        self.write("a")
        self.assertIn(b'"content":"a"', wire.response.body)
        # As on a stream, whatever the Accept header says.
        self.assertEqual(self.ask("/?format=text", CHROME).headers["content-type"], "text/event-stream")
        self.assertEqual(self.view("/?format=").response.texts, [""])

    def test_url(self) -> None:
        """The event `stream` has the URL of the run, also below a path of another site, and after a reconnection."""
        for path in ("/", "/chat", "/chat/"):
            if path != "/":
                self.mount(b"chat")
            wire = self.view(f"{path}?format=events")
            told = wire.response.events[0]
            name = (told.id or "").partition("-")[0]
            url = f"{path.rstrip('/')}/streams/{name}"
            self.assertEqual(json.loads(told.data)["url"], url)
            again = self.view(f"{path}?format=events", lastEventID=told.id).response.events[0]
            self.assertEqual(json.loads(again.data)["url"], url)

    def test_F106_unknownFormat(self) -> None:
        """F106: an unknown format is answered 400, and starts no run."""
        for method in ("GET", "HEAD"):
            self.assertEqual(self.ask("/?format=nonsense", EVENTSOURCE, method).status, 400)
        self.assertEqual(self.view("/?format=%FF").response.status, 400)
        self.assertEqual(self.source.runs, [])

    def test_F106_head(self) -> None:
        """F106: HEAD of a format has its headers, and starts no run."""
        response = self.ask("/?format=ui", EVENTSOURCE, "HEAD")
        self.assertEqual((response.status, response.headers["x-vercel-ai-ui-message-stream"]), (200, "v1"))
        self.assertEqual(self.source.runs, [])

    def test_F109_notUTF8(self) -> None:
        """F109: a last event ID in the URL that is not UTF-8 is one of no run: 204."""
        self.assertEqual(self.view("/?last_event_id=%C3%28").response.status, 204)
        self.assertEqual(self.source.runs, [])

    def test_anyOtherID(self) -> None:
        """
        Any ID that does not belong to a run of `/` is answered 204, and starts no run: of another
        server, of another stream, malformed.
        """
        foreign = self.startRun().rpartition("/")[2]
        runs = len(self.source.runs)
        for lastID in (
            f"{makeEpoch()}-3",
            f"{foreign}-0",
            "nonsense",
            "-",
            "-1",
            f"{foreign}-",
            "0",
            "x" * 5000,
            "\xff",
            '"; drop table',
        ):
            response = self.view(lastEventID=lastID).response
            self.assertEqual((response.status, response.body), (204, b""), lastID)
        self.assertEqual(len(self.source.runs), runs)

    def test_numberThatIsNotThere(self) -> None:
        """A number that the run has not reached yet is reported as a gap, and starts no run."""
        wire = self.view()
        epoch = self.lastID(wire).partition("-")[0]
        self.write("a")
        response = self.view(lastEventID=f"{epoch}-99").response
        self.assertIn("gap", response.types)
        self.assertEqual(response.texts[-1], "a")
        self.assertEqual(len(self.source.runs), 1)

    def test_emptyID(self) -> None:
        """An empty header is no ID, but a new visitor."""
        self.view(lastEventID="")
        self.assertEqual(len(self.source.runs), 1)

    def test_forgotten(self) -> None:
        """The ID of a stream that is no longer kept is answered 204."""
        wire = self.view()
        self.write("a")
        lastID = self.lastID(wire)
        wire.close()
        self.end()
        self.reactor.run(601, 1)
        self.source.runs.clear()
        self.wires.clear()
        del wire
        gc.collect()
        self.assertEqual(self.view(lastEventID=lastID).response.status, 204)
        self.assertEqual(self.source.runs, [])

    def test_byItsName(self) -> None:
        """
        The stream of a visitor can be followed and cancelled below `/streams` by the epoch of its
        IDs.
        """
        wire = self.view()
        self.write("a")
        name = self.lastID(wire).partition("-")[0]
        self.assertEqual(self.view(f"/streams/{name}").response.texts, ["a"])
        self.assertEqual(self.ask(f"/streams/{name}/cancel", method="POST").status, 200)
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.types[-1], "cancelled")

    def test_head(self) -> None:
        """F133: HEAD gets the status and the headers of GET and starts nothing, with an ID and without."""
        response = self.ask("/", EVENTSOURCE, "HEAD")
        self.assertEqual((response.status, response.headers["content-type"]), (200, EVENTSOURCE))
        self.assertNotIn("transfer-encoding", response.headers)
        self.assertEqual(response.headers["vary"], "Accept")
        for method in ("HEAD", "GET"):
            self.assertEqual(self.ask("/", EVENTSOURCE, method, headers={"Last-Event-ID": "nonsense"}).status, 204)
        self.assertEqual(self.source.runs, [])
        self.assertEqual(self.service.viewers.count, 0)

    def test_otherMethods(self) -> None:
        """The root supports GET and HEAD only."""
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            response = self.ask("/", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD"))
            self.assertEqual(response.error["code"], "method_not_allowed")

    def test_notAcceptable(self) -> None:
        """A client that accepts neither the page nor a stream is answered 406."""
        response = self.ask("/", "application/json")
        self.assertEqual((response.status, response.error["code"]), (406, "not_acceptable"))
        self.assertEqual(response.headers["vary"], "Accept")

    def test_nothingElse(self) -> None:
        """Any other path is answered 404 in JSON."""
        for path in ("/nothing", "/stream", "/index.html", "/nothing/below", "/%FF", "/streamsX"):
            response = self.ask(path)
            self.assertEqual((response.status, response.error["code"]), (404, "not_found"))

    def test_manyOnOneConnection(self) -> None:
        """After the end of a stream the connection serves the next request."""
        wire = self.view()
        self.write("a")
        self.end()
        self.assertEqual(wire.ask("/", CHROME).status, 200)
        self.assertEqual(wire.ask("/", EVENTSOURCE).status, 200)
        self.assertEqual(len(self.source.runs), 2)

    def test_HTTP10(self) -> None:
        """A client of HTTP/1.0 gets its stream without chunks, ended by a close."""
        wire = self.view(version="1.0")
        self.write("a")
        self.end()
        self.assertEqual(wire.response.texts, ["", "a"])
        self.assertTrue(wire.closed)

    def test_builtInText(self) -> None:
        """The built-in text appears word by word, the first word with the head of the response."""
        self.serve(TextSource(self.reactor, "one two three", 0.1))
        wire = self.view()
        self.assertEqual(wire.response.texts, ["", "one "])
        self.assertEqual(len(wire.socket.sends), 1)
        self.reactor.run(0.15, 0.01)
        self.assertEqual(wire.response.texts, ["", "one ", "one two "])
        self.reactor.run(0.2, 0.01)
        self.assertEqual(wire.response.texts[-1], "one two three")
        self.assertEqual(json.loads(wire.response.events[-1].data), {"reason": "stop", "tokens": 3})

    def test_tooLongForText(self) -> None:
        """
        A text over the limit of the format ends the response with `failed`; a reconnection is
        answered 204, and the run continues.
        """
        self.patch(textFormat, "TEXT_LIMIT", 100)
        wire = self.view()
        self.write("x" * 60, "y" * 60, "z")
        self.assertEqual(wire.response.types[-2:], ["gap", "failed"])
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.view(lastEventID=self.lastID(wire)).response.status, 204)
        self.assertEqual(len(self.source.runs), 1)
        self.assertFalse(self.source.run.cancelled)


class PromptTests(ScriptedTestCase):
    """A source that takes prompts."""

    takesPrompt = True

    def test_visitor(self) -> None:
        """A visitor without a prompt gets an explanation, and no run is started."""
        response = self.view().response
        self.assertEqual((response.status, response.error["code"]), (400, "bad_request"))
        self.assertIn("streams", response.error["message"])
        self.assertEqual(self.source.runs, [])

    def test_nothingAsked(self) -> None:
        """
        An empty prompt, and messages without a user's text, are refused for a source that needs a
        prompt.
        """
        image = [{"type": "image_url", "image_url": {"url": "x"}}]
        messages: list[list[dict[str, Any]]] = [
            [{"role": "user", "content": ""}],
            [{"role": "user", "content": image}],
            [{"role": "assistant", "content": "Hello"}],
        ]
        for body in [{"prompt": ""}, *({"messages": each} for each in messages)]:
            response = self.ask("/streams", method="POST", body=json.dumps(body).encode())
            self.assertEqual((response.status, response.error["param"]), (400, next(iter(body))))
        for each in messages:
            response = self.ask("/v1/chat/completions", method="POST", body=json.dumps({"messages": each}).encode())
            self.assertEqual((response.status, response.error["param"]), (400, "messages"))
        self.assertEqual(self.source.runs, [])

    def test_visitorsPrompt(self) -> None:
        """Visitors ask the prompt that the server has for them."""
        self.factory = self.site(StreamResource(self.service, "Why?"))
        wire = self.view()
        self.source.run.write("Because.")
        self.reactor.turn()
        self.assertEqual(wire.response.texts, ["", "Because."])
        self.assertEqual(self.source.run.prompt, Prompt("Why?"))

    def test_post(self) -> None:
        """A run gets the prompt that was sent."""
        response = self.ask("/streams", method="POST", body='{"prompt": "Warum, 📖?"}'.encode())
        self.assertEqual(response.status, 201)
        self.assertEqual(self.source.run.prompt, Prompt("Warum, 📖?"))

    def test_postWithout(self) -> None:
        """A request without a prompt starts no run."""
        for body in (b"", b"{}", b'{"prompt": null}'):
            response = self.ask("/streams", method="POST", body=body)
            self.assertEqual((response.status, response.error["code"]), (400, "bad_request"))
            self.assertIn("prompt", response.error["message"])
        self.assertEqual(self.source.runs, [])


class StoredVisitorTests(ScriptedTestCase):
    """Visitors of a server whose logs leave memory at their end."""

    def setUp(self) -> None:
        """Keep the streams in an SQLite file."""
        super().setUp()

        def inThread(function: Any, *arguments: Any) -> Deferred[Any]:
            return maybeDeferred(function, *arguments)

        store = SQLiteStore(self.reactor, self.mktemp(), self.settings.kept, inThread)
        self.serve(self.source, store=store)

    def test_F24_resumesAfterTheEnd(self) -> None:
        """F24: a run of `/` is resumed after its end for as long as the store keeps it."""
        wire = self.view()
        self.write("a")
        lastID = self.lastID(wire)
        wire.close()
        self.write("b")
        self.end()
        del self.source.runs[:]
        self.reactor.run(1)
        gc.collect()
        again = self.view(lastEventID=lastID)
        self.assertEqual(again.response.status, 200)
        self.assertEqual((again.response.texts, again.response.types[-1]), (["ab"], "done"))
        self.reactor.run(self.settings.keep + 1, 10)
        self.assertEqual(self.view(lastEventID=lastID).response.status, 204)
