"""
Tests of `sseserver.apis.native.streams`: starting, following and cancelling streams.
"""

from __future__ import annotations

import json
import re

from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.values import Prompt
from sseserver.web.accept import JSON
from tests.apis.cases import ScriptedTestCase
from tests.http import CHROME, EVENTSOURCE, FIREFOX, SAFARI
from tests.wires import Wire


class StartTests(ScriptedTestCase):
    """`POST /streams`."""

    def test_created(self) -> None:
        """
        The answer is 201 with the URL of the stream, in `Location` and in JSON, and its name. The
        stream exists.
        """
        for path in ("/streams", "/streams/"):
            response = self.ask(path, method="POST")
            self.assertEqual((response.status, response.headers["content-type"]), (201, JSON))
            name = response.json["name"]
            self.assertRegex(name, r"^[A-Za-z0-9]{22}$")
            self.assertEqual(response.json, {"name": name, "url": f"/streams/{name}"})
            self.assertEqual(response.headers["location"], f"/streams/{name}")
            self.assertEqual(self.state(f"/streams/{name}")["state"], "open")
            self.assertEqual(response.headers["cache-control"], "no-store")

    def test_followed(self) -> None:
        """
        A viewer of this URL gets the format `events`; the first event has the URL and the epoch.
        """
        path = self.startRun()
        self.write("a")
        wire = self.view(path)
        self.write("b")
        self.end()
        first = json.loads(wire.response.events[0].data)
        self.assertEqual(first, {"url": path, "epoch": path.rpartition("/")[2], "state": "open"})
        self.assertEqual(wire.response.texts, ["a", "b"])
        self.assertEqual(wire.response.types, ["stream", "message", "message", "done"])

    def test_promptThatNobodyNeeds(self) -> None:
        """A source that does not take prompts gets the prompt nevertheless."""
        self.ask("/streams", method="POST", body=b'{"prompt": "Why?"}')
        self.assertEqual(self.source.run.prompt, Prompt("Why?"))

    def test_badBody(self) -> None:
        """A malformed body is refused in JSON with a status of the client, and starts no run."""
        for body, status in (
            (b"{", 400),
            (b"prompt=x", 400),
            (b"[]", 400),
            (b'{"prompt": 1}', 400),
            (b"[" * 100_000, 400),
            (b'{"prompt": "\\ud800"}', 400),
            (b'{"prompt": "%b"}' % (b"x" * 1024 * 1024), 413),
        ):
            response = self.ask("/streams", method="POST", body=body)
            self.assertEqual(response.status, status, body[:40])
            self.assertEqual(response.error["type"], "invalid_request_error")
        self.assertEqual(self.source.runs, [])

    def test_form(self) -> None:
        """
        F67, F69, F70: a body of another type than JSON starts no run; the message has the header to send. A page of any
        site could send these to a server that did not look at their origin. `/api/chat` also takes JSON as plain text.
        """
        forms = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", "", None)
        for path in ("/streams", "/v1/chat/completions", "/api/chat"):
            for kind in (*forms, "application/jsonx", "application/x+json"):
                for body in (b'{"prompt": "x"}', b""):
                    if (kind is not None or body) and (path, kind) != ("/api/chat", "text/plain"):
                        response = self.ask(path, method="POST", body=body, headers={"Content-Type": kind})
                        self.assertEqual((response.status, response.error["code"]), (415, "unsupported_media_type"))
                        self.assertIn("`Content-Type: application/json`", response.error["message"])
        self.assertEqual(self.source.runs, [])

    def test_types(self) -> None:
        """The media type of JSON may have parameters, and letters of any case."""
        for kind in ("application/json; charset=utf-8", "Application/JSON ;x=y"):
            response = self.ask("/streams", method="POST", body=b"{}", headers={"Content-Type": kind})
            self.assertEqual(response.status, 201, kind)
        self.source.runs[0].done.callback(None)
        self.source.runs[1].done.callback(None)

    def test_chunkedBody(self) -> None:
        """A body may be chunked."""
        wire = self.connect(self.factory)
        head = b"POST /streams HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n")
        wire.send(b'd\r\n{"prompt": "a\r\n3\r\n b"\r\n1\r\n}\r\n')
        self.assertEqual(self.source.runs, [])
        wire.send(b"0\r\n\r\n")
        wire.methods.append("POST")
        self.assertEqual(wire.response.status, 201)
        self.assertEqual(self.source.run.prompt, Prompt("a b"))

    def test_otherMethods(self) -> None:
        """The collection supports GET, HEAD and POST only."""
        for method in ("PUT", "DELETE"):
            response = self.ask("/streams", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "GET, POST, HEAD"))

    def test_mounted(self) -> None:
        """Below a path of another site, the URLs in the answers are complete."""
        self.mount(b"a", b"chat")
        for path in ("/a/chat/streams", "/a/chat/streams/"):
            response = self.ask(path, method="POST")
            url = response.headers["location"]
            self.assertEqual(url, f"/a/chat/streams/{response.json['name']}")
            self.assertEqual(response.json["url"], url)
            self.assertEqual(json.loads(self.view(url).response.events[0].data)["url"], url)
        wire = self.view("/a/chat/")
        self.write("a")
        self.assertEqual(wire.response.texts, ["", "a"])


class StreamTests(ScriptedTestCase):
    """`GET /streams/NAME`."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.startRun()
        self.name = self.path.rpartition("/")[2]

    def test_representations(self) -> None:
        """A stream is represented by its events, its state, its text so far, or the page."""
        self.write("zw", "ölf")
        for accept in (EVENTSOURCE, "*/*", None):
            response = self.view(self.path).response if accept == EVENTSOURCE else self.ask(self.path, accept)
            self.assertEqual(response.headers["content-type"], EVENTSOURCE)
            self.assertEqual(response.texts, ["zwölf"])
            self.assertFalse(response.complete)
        state = self.ask(self.path, JSON)
        self.assertEqual((state.headers["content-type"], state.json["name"]), (JSON, self.name))
        text = self.ask(self.path, "text/plain")
        self.assertEqual(text.headers["content-type"], "text/plain; charset=utf-8")
        self.assertEqual((text.body.decode(), text.complete), ("zwölf", True))
        for accept in (CHROME, FIREFOX, SAFARI):
            page = self.ask(self.path, accept)
            self.assertEqual(page.headers["content-type"], "text/html; charset=utf-8")
        for response in (state, text, page, self.view(self.path).response):
            self.assertEqual(response.headers["vary"], "Accept")
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")
            self.assertIn("no-store", response.headers["cache-control"])

    def test_state(self) -> None:
        """The state has the numbers of the stream."""
        self.reactor.advance(10)
        wire = self.view(self.path)
        self.write("a", "bc")
        state = self.state(self.path)
        self.assertEqual(
            {
                name: state[name]
                for name in ("name", "epoch", "state", "first", "last", "entries", "viewers", "created", "ended")
            },
            {
                "name": self.name,
                "epoch": self.name,
                "state": "open",
                "first": 1,
                "last": 2,
                "entries": 2,
                "viewers": 1,
                "created": 0,
                "ended": None,
            },
        )
        self.assertGreater(state["bytes"], 3)
        wire.close()
        self.end()
        state = self.state(self.path)
        self.assertEqual((state["state"], state["last"], state["viewers"]), ("done", 3, 0))
        self.assertTrue(0 <= self.reactor.seconds() - state["ended"] < 0.1)

    def test_textOfAnEndedStream(self) -> None:
        """
        The text does not include the terminal entry. Without trimmed entries it has no
        `Stream-Gap`.
        """
        self.write("a\r\n", "b")
        self.end()
        response = self.ask(self.path, "text/plain")
        self.assertEqual(response.body, b"a\r\nb")
        self.assertNotIn("stream-gap", response.headers)

    def test_textWithAGap(self) -> None:
        """`Stream-Gap` has the number of trimmed entries."""
        self.serve(self.source, Settings(window=2000))
        path = self.startRun()
        for _ in range(100):
            self.source.run.write("x" * 44)
        first = self.state(path)["first"]
        self.assertGreater(first, 1)
        response = self.ask(path, "text/plain")
        self.assertEqual(int(response.headers["stream-gap"]), first - 1)
        self.assertEqual(len(response.body), 44 * (101 - first))

    def test_format(self) -> None:
        """`format` selects a format, and makes the answer an event stream for every client."""
        self.write("a", "b")
        for accept in (EVENTSOURCE, CHROME, JSON, "image/png", None):
            for form, texts in (("events", ["ab"]), ("text", ["", "ab"])):
                response = self.ask(f"{self.path}?format={form}", accept)
                self.assertEqual((response.headers["content-type"], response.texts), (EVENTSOURCE, texts))

    def test_emptyFormat(self) -> None:
        """An empty `format` does not count."""
        self.assertEqual(self.ask(f"{self.path}?format=", JSON).headers["content-type"], JSON)

    def test_unknownFormat(self) -> None:
        """An unknown format is answered 400, and the message lists the formats."""
        for form in ("nope", "Events", "events%00", "%3Cb%3E"):
            response = self.ask(f"{self.path}?format={form}", EVENTSOURCE)
            self.assertEqual((response.status, response.error["code"]), (400, "bad_request"))
            self.assertIn("events", response.error["message"])
            self.assertIn("text", response.error["message"])
        self.assertEqual(self.ask(f"{self.path}?format=%FF", EVENTSOURCE).status, 400)

    def test_twoViewersSeeEqualBytes(self) -> None:
        """
        Viewers of one stream get equal bytes, except for the reconnection time. Late viewers do,
        too.
        """

        def body(wire: Wire) -> bytes:
            return re.sub(rb"retry: \d+", b"retry", wire.response.body)

        wires = [self.view(self.path) for _ in range(3)]
        self.write("a", "\r", "\nb", "c\u2028d", "e")
        late = [self.view(self.path) for _ in range(3)]
        self.write("f")
        self.end()
        self.assertEqual(len({body(wire) for wire in wires}), 1)
        self.assertEqual(len({body(wire) for wire in late}), 1)
        self.assertEqual("".join(wires[0].response.texts), "".join(late[0].response.texts))
        self.assertEqual("".join(wires[0].response.texts), "a\nbc\u2028def")

    def test_resumes(self) -> None:
        """
        A viewer that reconnects gets the entries after its ID, in both formats. The header takes
        precedence over the URL.
        """
        self.write("a", "b", "c")
        for query, texts in (("", ["bc"]), ("?format=events", ["bc"]), ("?format=text", ["abc"])):
            response = self.view(f"{self.path}{query}", f"{self.name}-1").response
            self.assertEqual(response.texts, texts)
        wire = self.view(f"{self.path}?last_event_id={self.name}-1")
        self.assertEqual(wire.response.texts, ["bc"])
        wire = self.view(f"{self.path}?last_event_id={self.name}-1", f"{self.name}-2")
        self.assertEqual(wire.response.texts, ["c"])

    def test_nothingNewYet(self) -> None:
        """A viewer that has all entries waits for the next."""
        self.write("a")
        wire = self.view(self.path, f"{self.name}-1")
        self.assertEqual(wire.response.texts, [])
        self.write("b")
        self.assertEqual(wire.response.texts, ["b"])

    def test_hasTheEnd(self) -> None:
        """
        A viewer with the terminal event is answered 204, in each format. Others get it, and a new
        viewer gets everything.
        """
        self.write("a")
        self.end()
        for query in ("", "?format=text"):
            response = self.view(f"{self.path}{query}", f"{self.name}-2").response
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(self.view(f"{self.path}{query}", f"{self.name}-1").response.types[-1], "done")
            self.assertEqual(self.view(f"{self.path}{query}").response.types[-1], "done")

    def test_foreignID(self) -> None:
        """An ID that this stream never had leads to a gap and all entries, also after the end."""
        self.write("a", "b")
        for _ in range(2):
            for lastID, reason in (
                ("nonsense", "unknown"),
                (f"{makeEpoch()}-1", "lost"),
                (f"{self.name}-99", "lost"),
                (f"{self.name}-01", "unknown"),
            ):
                response = self.view(self.path, lastID).response
                gap = json.loads(response.events[response.types.index("gap")].data)
                self.assertEqual((gap["reason"], gap["after"], gap["from"]), (reason, lastID, f"{self.name}-1"))
                self.assertEqual(response.texts, ["ab"])
            self.end() if self.state(self.path)["state"] == "open" else None

    def test_trimmed(self) -> None:
        """A viewer whose position was trimmed gets the number of entries that it missed."""
        self.serve(self.source, Settings(window=2000))
        path = self.startRun()
        for _ in range(100):
            self.source.run.write("x" * 44)
        first = self.state(path)["first"]
        response = self.view(path, f"{path.rpartition('/')[2]}-3").response
        gap = json.loads(response.events[response.types.index("gap")].data)
        self.assertEqual((gap["reason"], gap["missed"]), ("trimmed", first - 4))

    def test_head(self) -> None:
        """The answer to HEAD has the headers of GET and no body, and starts no viewer."""
        self.write("a")
        for accept in (EVENTSOURCE, JSON, "text/plain", CHROME):
            head = self.ask(self.path, accept, "HEAD")
            self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))
            get = self.ask(self.path, accept)
            self.assertEqual(head.status, 200)
            # A second may begin between the two.
            same = set(get.headers) - {"transfer-encoding", "date"}
            self.assertEqual({name: head.headers[name] for name in same}, {name: get.headers[name] for name in same})
        self.assertEqual(self.ask(f"{self.path}?format=text", method="HEAD").headers["content-type"], EVENTSOURCE)
        self.assertEqual(self.service.viewers.count, 1)

    def test_headOfAnEndedStream(self) -> None:
        """The answer to HEAD of an ended stream is complete."""
        self.end()
        response = self.ask(self.path, EVENTSOURCE, "HEAD")
        self.assertEqual((response.status, response.complete), (200, True))

    def test_headOfWhatIsKnown(self) -> None:
        """F133: HEAD of a viewer that has the terminal event, or starts after it, is answered 204, as GET is."""
        self.write("a")
        self.end()
        name = self.path.rpartition("/")[2]
        for lastID, status in ((f"{name}-1", 200), (f"{name}-2", 204), ("nonsense", 200)):
            for method in ("HEAD", "GET"):
                response = self.ask(self.path, EVENTSOURCE, method, headers={"Last-Event-ID": lastID})
                self.assertEqual((response.status, response.complete), (status, True), (method, lastID))
        for method in ("HEAD", "GET"):
            self.assertEqual(self.ask(f"{self.path}?from=now", EVENTSOURCE, method).status, 204)

    def test_headWithoutRoom(self) -> None:
        """F133: HEAD of a viewer for whom there is no room is answered as GET is."""
        self.serve(self.source, Settings(maxViewers=1))
        path = self.startRun()
        self.view(path)
        for query, status in (("", 200), ("?format=openai", 503)):
            get, head = (self.ask(path + query, EVENTSOURCE, method) for method in ("GET", "HEAD"))
            self.assertEqual((get.status, head.status), (status, status))
            self.assertEqual(get.headers.get("retry-after"), head.headers.get("retry-after"))

    def test_unknownStream(self) -> None:
        """
        An unknown stream is answered 404: the page for browsers, otherwise JSON. Its name becomes
        neither markup nor a header.
        """
        for path in (
            "/streams/nobody",
            "/streams/nobody/",
            "/streams/%FF%00",
            "/streams/%3Cb%3E",
            "/streams/a%0D%0AX: y",
        ):
            for accept in (EVENTSOURCE, JSON, "text/plain", None):
                response = self.ask(path.replace(" ", "%20"), accept)
                self.assertEqual((response.status, response.error["code"]), (404, "stream_not_found"), path)
                self.assertNotIn("x", response.headers)
            response = self.ask(path.replace(" ", "%20"), CHROME)
            self.assertEqual((response.status, response.headers["content-type"]), (404, "text/html; charset=utf-8"))
            self.assertNotIn("x", response.headers)

    def test_belowAStream(self) -> None:
        """The only path below a stream is `cancel`."""
        for path in ("/nothing", "/events", "/cancel/more", "/Cancel"):
            response = self.ask(f"{self.path}{path}")
            self.assertEqual((response.status, response.error["code"]), (404, "not_found"), path)

    def test_otherMethods(self) -> None:
        """A stream supports the methods to follow, publish, open and delete, and no others."""
        for method in ("PATCH", "OPTIONS", "get"):
            response = self.ask(self.path, method=method)
            self.assertEqual(
                (response.status, response.headers["allow"]), (405, "GET, POST, PUT, DELETE, HEAD"), method
            )

    def test_runIsNotPublishedInto(self) -> None:
        """The stream of a run can be deleted, but neither opened nor published into."""
        for method, body in (("POST", b"a"), ("PUT", None)):
            response = self.ask(self.path, method=method, body=body, headers={"Content-Type": "text/plain"})
            self.assertEqual((response.status, response.error["code"]), (409, "stream_exists"), method)
        self.assertEqual(self.ask(self.path, method="DELETE").status, 204)
        self.assertEqual(self.ask(self.path, JSON).status, 404)

    def test_notAcceptable(self) -> None:
        """A client that accepts no representation is answered 406."""
        self.assertEqual(self.ask(self.path, "image/png").status, 406)

    def test_trailingSlash(self) -> None:
        """A trailing slash leads to the same stream, with the same URL."""
        self.write("a")
        response = self.view(f"{self.path}/").response
        self.assertEqual(response.texts, ["a"])
        self.assertEqual(json.loads(response.events[0].data)["url"], self.path)


class CancelTests(ScriptedTestCase):
    """`POST /streams/NAME/cancel`."""

    def test_cancel(self) -> None:
        """The run is stopped, viewers get `cancelled`, and the answer is the state."""
        path = self.startRun()
        wire = self.view(path)
        self.write("a")
        response = self.ask(f"{path}/cancel", method="POST")
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual((response.status, response.headers["content-type"]), (200, JSON))
        self.assertEqual(response.json["state"], "cancelled")
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(json.loads(wire.response.events[-1].data), {"reason": "asked"})
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.ask(path, "text/plain").body, b"a")

    def test_again(self) -> None:
        """Cancelling an ended stream changes nothing, and is no error."""
        path = self.startRun()
        first = self.ask(f"{path}/cancel", method="POST").json
        for again in ("/cancel", "/cancel/"):
            self.assertEqual(self.ask(path + again, method="POST").json, first)
        done = self.startRun()
        self.end()
        self.assertEqual(self.ask(f"{done}/cancel", method="POST").json["state"], "done")

    def test_unknown(self) -> None:
        """An unknown stream is answered 404."""
        response = self.ask("/streams/nobody/cancel", method="POST")
        self.assertEqual((response.status, response.error["code"]), (404, "stream_not_found"))

    def test_otherMethods(self) -> None:
        """Only POST cancels a run: a link that is opened does not."""
        path = self.startRun()
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            response = self.ask(f"{path}/cancel", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "POST"))
        self.assertFalse(self.source.run.cancelled)

    def test_whileTheSourceWaits(self) -> None:
        """A run whose source waits for a slow viewer can be cancelled."""
        self.serve(self.source, Settings(readAhead=1024))
        path = self.startRun()
        self.source.run.write("x" * 100_000)
        self.source.run.sink.ready().addCallback(lambda _: self.source.run.end())
        response = self.ask(f"{path}/cancel", method="POST")
        self.assertEqual((response.status, response.json["state"]), (200, "cancelled"))
