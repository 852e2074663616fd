"""
Tests for the rooms in L{sseserver.web}, through a real site on wires.
"""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.apis.page import page as pageOfTheAPI
from sseserver.apis.root import StreamResource
from sseserver.errors import SSEServerError
from sseserver.formats import TextFormat
from sseserver.formats import text as textFormat
from sseserver.interfaces import IStreamLog
from sseserver.service.service import Settings
from sseserver.sources.text import TextSource
from sseserver.stores import memory
from sseserver.streams.ids import makeEpoch
from sseserver.streams.log import FLUSH_TICK, StreamLog
from sseserver.values import Prompt
from sseserver.web.site import StreamSite
from tests.http import CHROME, EVENTSOURCE, FIREFOX, SAFARI, Response, makeRequest
from tests.served import ServedTestCase
from tests.wires import Wire

ASSETS = Path(pageOfTheAPI.__file__).parent / "assets"

JSON = "application/json"


class WebTestCase(ServedTestCase):
    """Everything, with a source that is written by hand."""

    def write(self, *tokens: str) -> None:
        """Let the newest run write tokens, each in a flush tick of its own."""
        for token in tokens:
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)

    def end(self) -> None:
        """Let the newest run end."""
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)

    def mount(self, *path: bytes) -> None:
        """Put the resource below a path of somebody else's site."""
        root = resource = Resource()
        for name in path[:-1]:
            child = Resource()
            resource.putChild(name, child)
            resource = child
        resource.putChild(path[-1], self.resource)
        self.factory = Site(root, reactor=self.reactor)

    def lastID(self, wire: Wire) -> str:
        """Give the ID of the last event that a viewer got."""
        return wire.response.events[-1].id or ""


class PageTests(WebTestCase):
    """The page and its files."""

    def assertPage(self, path: str, response: Response | None = None) -> str:
        """
        Check that there is a page, and that its files are where it says.

        Returns:
            What stands before their names.
        """
        response = response or self.ask(path, CHROME)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.headers["content-type"], "text/html; charset=utf-8")
        found = re.findall(rb'(?:src|href)="([^"]*)assets/app\.(?:js|css)"', response.body)
        self.assertEqual(len(found), 2)
        self.assertEqual(len(set(found)), 1)
        base: str = found[0].decode()
        for name in ("app.js", "app.css"):
            url = urljoin(f"http://example.com{path}", f"{base}assets/{name}")
            self.assertEqual(self.ask(url.removeprefix("http://example.com")).status, 200, url)
        self.assertNotIn(b"{{", response.body)
        return base

    def test_whoGetsIt(self) -> None:
        """
        Each browser's address bar gets the page, and so does who does not
        care; no run is started for it.
        """
        for accept in (CHROME, FIREFOX, SAFARI, "text/html", "*/*", None):
            response = self.ask("/", accept)
            self.assertPage("/", response)
            self.assertEqual(response.headers["vary"], "Accept")
        self.assertEqual(self.source.runs, [])

    def test_tellsWhetherSomethingIsAsked(self) -> None:
        """
        The page knows whether the source takes a prompt, wherever it appears:
        also where no stream is.
        """
        path = self.startRun()
        self.assertNotIn(b"data-asks", self.ask("/").body)
        self.source.takesPrompt = True
        self.factory = Site(StreamResource(self.service), reactor=self.reactor)
        for response in (self.ask("/"), self.ask(path, CHROME), self.ask("/streams/nothing", CHROME)):
            self.assertIn(b'<html lang="en" data-asks>', response.body)
            self.assertNotIn(b"{{", response.body)

    def test_headers(self) -> None:
        """
        The page may load nothing but what lies beside it, run no script of
        its own text, and be framed by nobody; it is not kept.
        """
        headers = self.ask("/").headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        self.assertEqual(policy["default-src"], "'none'")
        for name in ("script-src", "style-src", "connect-src"):
            self.assertEqual(policy[name], "'self'")
        for name in ("base-uri", "form-action", "frame-ancestors"):
            self.assertEqual(policy[name], "'none'")
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.assertEqual(headers["referrer-policy"], "no-referrer")
        self.assertEqual(headers["cache-control"], "no-store")

    def test_fitsItsPolicy(self) -> None:
        """
        The page holds nothing that its policy forbids: no script or style in
        its text, no address of another site.
        """
        page = self.ask("/").body.decode()
        self.assertNotRegex(page, r"<script(?![^>]*\ssrc=)")
        self.assertNotRegex(page, r"<style|\sstyle=|\son\w+=")
        # The namespace of an SVG in a data URL is a name, no address.
        self.assertEqual(set(re.findall(r"https?:[^'\"\s]+", page)), {"http://www.w3.org/2000/svg"})

    def test_base(self) -> None:
        """
        The page finds its files from every address at which it appears.
        """
        path = self.startRun()
        self.assertEqual(self.assertPage("/"), "")
        self.assertEqual(self.assertPage(path), "../")
        self.assertEqual(self.assertPage(f"{path}/"), "../../")

    def test_baseWhenMounted(self) -> None:
        """
        The same below a path of somebody else's site, with and without a
        trailing slash.
        """
        self.mount(b"chat")
        self.assertEqual(self.assertPage("/chat/"), "")
        self.assertEqual(self.assertPage("/chat"), "./chat/")
        path = self.ask("/chat/streams", method="POST").headers["location"]
        self.assertRegex(path, "^/chat/streams/[A-Za-z0-9]{22}$")
        self.assertEqual(self.assertPage(path), "../")
        self.assertEqual(self.assertPage(f"{path}/"), "../../")

    def test_baseDeep(self) -> None:
        """
        The same several segments deep, with names that need quoting.
        """
        self.mount(b"a b", "ö&<".encode())
        self.assertEqual(self.assertPage("/a%20b/%C3%B6%26%3C/"), "")
        self.assertEqual(self.assertPage("/a%20b/%C3%B6%26%3C"), "./%C3%B6%26%3C/")
        path = self.ask("/a%20b/%C3%B6%26%3C/streams", method="POST").headers["location"]
        self.assertTrue(path.startswith("/a%20b/%C3%B6%26%3C/streams/"))
        self.assertEqual(self.assertPage(path), "../")

    def test_baseIsEscaped(self) -> None:
        """
        What stands in the address cannot become markup of the page.
        """
        self.mount(b'"><script>')
        body = self.ask('/"><script>', CHROME).body
        self.assertNotIn(b'"><script>', body.replace(b'"></script>', b""))

    def test_addressOfAnyBytes(self) -> None:
        """
        An address in which raw bytes stand is no error of the server.
        """
        self.mount(b"\x80")
        self.assertEqual(self.ask("/\x80", CHROME).status, 200)

    def test_file(self) -> None:
        """
        Each file comes as it is, with its type; browsers ask again before they
        use what they have.
        """
        for name, kind in (("app.js", "text/javascript; charset=utf-8"), ("app.css", "text/css; charset=utf-8")):
            response = self.ask(f"/assets/{name}")
            self.assertEqual((response.status, response.headers["content-type"]), (200, kind))
            self.assertEqual(response.body, (ASSETS / name).read_bytes())
            self.assertEqual(response.headers["cache-control"], "no-cache")
            self.assertEqual(response.headers["x-content-type-options"], "nosniff")

    def test_fileThatTheBrowserHas(self) -> None:
        """
        Who has a file already is told so, without the file; its ETag changes
        with it.
        """
        tags = {}
        for name in ("app.js", "app.css"):
            tags[name] = self.ask(f"/assets/{name}").headers["etag"]
            self.assertRegex(tags[name], r'^"[0-9a-f]+"$')
            for method in ("GET", "HEAD"):
                response = self.ask(f"/assets/{name}", method=method, headers={"If-None-Match": tags[name]})
                self.assertEqual((response.status, response.body), (304, b""))
                self.assertEqual(response.headers["etag"], tags[name])
                self.assertNotIn("content-type", response.headers)
                self.assertNotIn("content-length", response.headers)
            response = self.ask(f"/assets/{name}", headers={"If-None-Match": '"other"'})
            self.assertEqual((response.status, response.headers["etag"]), (200, tags[name]))
        self.assertNotEqual(*tags.values())

    def test_unknownFile(self) -> None:
        """
        There is nothing else in the folder, and no way out of it.
        """
        for path in (
            "/assets",
            "/assets/",
            "/assets/app.html",
            "/assets/index.html",
            "/assets/app.js/more",
            "/assets/../root.py",
            "/assets/%2e%2e%2froot.py",
            "/assets/..%2f..%2ferrors.py",
        ):
            response = self.ask(path)
            self.assertIn(response.status, (404, 405), path)
            self.assertNotIn(b"import", response.body)
            self.assertIn("code", response.error)

    def test_allFilesAreServed(self) -> None:
        """
        Each file in the folder is either the page or served beside it.
        """
        for path in ASSETS.iterdir():
            if path.name != "index.html":
                self.assertEqual(self.ask(f"/assets/{path.name}").status, 200, path.name)

    def test_head(self) -> None:
        """
        HEAD of the page and of a file is the head of their answers.
        """
        for path in ("/", "/assets/app.js"):
            get, head = self.ask(path), self.ask(path, method="HEAD")
            self.assertEqual(get.headers, head.headers)
            self.assertEqual(int(head.headers["content-length"]), len(get.body))


class VisitorTests(WebTestCase):
    """`GET /` by an EventSource: a run for each visitor."""

    def test_startsARun(self) -> None:
        """
        A visitor gets a run of their own, in the format `text`: each event is
        the whole text so far, the first is empty and has the first ID.
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

    def test_headers(self) -> None:
        """
        An event stream's headers, and the page's, depend on what was accepted.
        """
        headers = self.view().response.headers
        self.assertEqual(headers["vary"], "Accept")
        self.assertEqual(headers["cache-control"], "no-cache, no-store, no-transform")
        self.assertEqual(headers["x-accel-buffering"], "no")
        self.assertNotIn("connection", headers)

    def test_resumes(self) -> None:
        """
        A visitor whose connection broke comes back with the last ID and gets
        what was missed and what follows, from the same run.
        """
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
        """
        The same with the ID in the address, as EventSource for old browsers
        sends it.
        """
        wire = self.view()
        self.write("a")
        again = self.view(f"/?last_event_id={self.lastID(wire)}")
        self.write("b")
        self.assertEqual(again.response.texts, ["ab"])
        self.assertEqual(len(self.source.runs), 1)

    def test_resumesBeforeTheFirstWord(self) -> None:
        """
        A connection that broke before the first word resumes the same run.
        """
        wire = self.view()
        again = self.view(lastEventID=self.lastID(wire))
        self.write("a")
        self.assertEqual(again.response.texts, ["", "a"])
        self.assertEqual(len(self.source.runs), 1)

    def test_hasTheEnd(self) -> None:
        """
        Who comes back with the ID of the terminal event is answered 204, at
        which EventSource stops.
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
        Who missed the end gets it: the text so far is not sent again when it
        was seen.
        """
        wire = self.view()
        self.write("a")
        lastID = self.lastID(wire)
        wire.close()
        self.end()
        response = self.view(lastEventID=lastID).response
        self.assertEqual((response.texts, response.types, response.complete), ([], ["done"], True))

    def test_anyOtherID(self) -> None:
        """
        An ID that is none of a run of this page's own is answered 204, and
        never starts a run: of another server's, of a stream that was not
        started here, of none, garbage.
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
        """
        An ID of the right run with a number that it does not have yet is told
        of as a gap, and starts no run.
        """
        wire = self.view()
        epoch = self.lastID(wire).partition("-")[0]
        self.write("a")
        response = self.view(lastEventID=f"{epoch}-99").response
        self.assertIn("gap", response.types)
        self.assertEqual(response.texts[-1], "a")
        self.assertEqual(len(self.source.runs), 1)

    def test_emptyID(self) -> None:
        """
        An empty header is no ID: a new visitor.
        """
        self.view(lastEventID="")
        self.assertEqual(len(self.source.runs), 1)

    def test_forgotten(self) -> None:
        """
        When the stream is no longer kept its ID gets 204.
        """
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
        A visitor's stream can be watched below `streams` by the epoch in its
        IDs, and stopped.
        """
        wire = self.view()
        self.write("a")
        name = self.lastID(wire).partition("-")[0]
        self.assertEqual(self.view(f"/streams/{name}").response.texts, ["a"])
        self.assertEqual(self.ask(f"/streams/{name}/cancel", method="POST").status, 200)
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(wire.response.types[-1], "cancelled")

    def test_head(self) -> None:
        """
        HEAD gets the headers of an event stream and starts nothing, with an ID
        and without.
        """
        for headers in ({}, {"Last-Event-ID": "nonsense"}):
            response = self.ask("/", EVENTSOURCE, "HEAD", headers=headers)
            self.assertEqual((response.status, response.headers["content-type"]), (200, EVENTSOURCE))
            self.assertNotIn("transfer-encoding", response.headers)
            self.assertEqual(response.headers["vary"], "Accept")
        self.assertEqual(self.source.runs, [])
        self.assertEqual(self.service.viewers, 0)

    def test_otherMethods(self) -> None:
        """
        Nothing but GET and HEAD is known here.
        """
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            response = self.ask("/", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD"))
            self.assertEqual(response.error["code"], "method_not_allowed")

    def test_notAcceptable(self) -> None:
        """
        Who accepts neither the page nor a stream is told so.
        """
        response = self.ask("/", "application/json")
        self.assertEqual((response.status, response.error["code"]), (406, "not_acceptable"))
        self.assertEqual(response.headers["vary"], "Accept")

    def test_nothingElse(self) -> None:
        """
        Whatever else is asked for is 404, in JSON.
        """
        for path in ("/nothing", "/favicon.ico", "/stream", "/index.html", "/nothing/below", "/%FF", "/streamsX"):
            response = self.ask(path)
            self.assertEqual((response.status, response.error["code"]), (404, "not_found"))

    def test_manyOnOneConnection(self) -> None:
        """
        When a stream has ended, the connection serves the next request.
        """
        wire = self.view()
        self.write("a")
        self.end()
        self.assertEqual(wire.ask("/", CHROME).status, 200)
        self.assertEqual(wire.ask("/", EVENTSOURCE).status, 200)
        self.assertEqual(len(self.source.runs), 2)

    def test_HTTP10(self) -> None:
        """
        A client of HTTP/1.0 gets its stream without chunks, and the close that
        ends it.
        """
        wire = self.view(version="1.0")
        self.write("a")
        self.end()
        self.assertEqual(wire.response.texts, ["", "a"])
        self.assertTrue(wire.closed)

    def test_builtInText(self) -> None:
        """
        With the source that is there by default the words appear one by one.
        """
        self.serve(TextSource(self.reactor, "one two three", 0.1))
        wire = self.view()
        self.reactor.run(0.25, 0.01)
        self.assertEqual(wire.response.texts, ["", "one ", "one two "])
        self.reactor.run(0.2, 0.01)
        self.assertEqual(wire.response.texts[-1], "one two three")
        self.assertEqual(json.loads(wire.response.events[-1].data), {"reason": "stop", "tokens": 3})

    def test_tooLongForText(self) -> None:
        """
        A text that grows too long for this format ends the visitor's response
        with `failed`; who comes back is answered 204, and the run goes on.
        """
        self.patch(textFormat, "TEXT_LIMIT", 100)
        wire = self.view()
        self.write("x" * 60, "y" * 60, "z")
        self.assertEqual(wire.response.types[-2:], ["gap", "failed"])
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.view(lastEventID=self.lastID(wire)).response.status, 204)
        self.assertEqual(len(self.source.runs), 1)
        self.assertFalse(self.source.run.cancelled)


class PromptTests(WebTestCase):
    """A source that needs a prompt."""

    takesPrompt = True

    def test_visitor(self) -> None:
        """
        A visitor without a prompt is told what to do, and no run is started.
        """
        response = self.view().response
        self.assertEqual((response.status, response.error["code"]), (400, "bad_request"))
        self.assertIn("streams", response.error["message"])
        self.assertEqual(self.source.runs, [])

    def test_nothingAsked(self) -> None:
        """
        A source that needs a prompt is not asked nothing: neither an empty one, nor messages without a user's text.
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
        """
        Where the server has one for them, visitors ask that.
        """
        self.factory = self.site(StreamResource(self.service, "Why?"))
        wire = self.view()
        self.source.run.write("Because.")
        self.reactor.turn()
        self.assertEqual(wire.response.texts, ["", "Because."])
        self.assertEqual(self.source.run.prompt, Prompt("Why?"))

    def test_post(self) -> None:
        """
        A run is started with the prompt that was sent.
        """
        response = self.ask("/streams", method="POST", body='{"prompt": "Warum, 📖?"}'.encode())
        self.assertEqual(response.status, 201)
        self.assertEqual(self.source.run.prompt, Prompt("Warum, 📖?"))

    def test_postWithout(self) -> None:
        """
        Without one there is none.
        """
        for body in (b"", b"{}", b'{"prompt": null}'):
            response = self.ask("/streams", method="POST", body=body)
            self.assertEqual((response.status, response.error["code"]), (400, "bad_request"))
            self.assertIn("prompt", response.error["message"])
        self.assertEqual(self.source.runs, [])


class StartTests(WebTestCase):
    """`POST /streams`."""

    def test_created(self) -> None:
        """
        The answer is 201 with the address of the stream, in `Location` and in
        JSON, and its name; the stream is there.
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
        Who follows the address gets the stream, in the format `events`, with
        its URL and epoch in the first event.
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
        """
        A source that needs no prompt is given one all the same.
        """
        self.ask("/streams", method="POST", body=b'{"prompt": "Why?"}')
        self.assertEqual(self.source.run.prompt, Prompt("Why?"))

    def test_badBody(self) -> None:
        """
        A body that cannot be used is refused in JSON, with a status of the
        client's, and starts nothing.
        """
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
        A form is no JSON, whatever twisted.web makes of it before.
        """
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b"):
            response = self.ask("/streams", method="POST", body=b"prompt=x", headers={"Content-Type": kind})
            self.assertEqual(response.status, 400, kind)
        self.assertEqual(self.source.runs, [])

    def test_chunkedBody(self) -> None:
        """
        A body may come in chunks.
        """
        wire = self.connect(self.factory)
        wire.send(b"POST /streams HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b'd\r\n{"prompt": "a\r\n3\r\n b"\r\n1\r\n}\r\n')
        self.assertEqual(self.source.runs, [])
        wire.send(b"0\r\n\r\n")
        wire.methods.append("POST")
        self.assertEqual(wire.response.status, 201)
        self.assertEqual(self.source.run.prompt, Prompt("a b"))

    def test_otherMethods(self) -> None:
        """
        Nothing but POST is known here.
        """
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            response = self.ask("/streams", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "POST"))

    def test_mounted(self) -> None:
        """
        Below a path of somebody else's site the addresses in the answers are
        those of this site.
        """
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


class StreamTests(WebTestCase):
    """`GET /streams/NAME`."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.startRun()
        self.name = self.path.rpartition("/")[2]

    def test_representations(self) -> None:
        """
        A stream is its events, its state, its text so far or the page, as the
        client wants.
        """
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
        """
        The state tells the stream's life in numbers.
        """
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
        The text does not hold the terminal entry, nor a header of a gap where
        nothing is missing.
        """
        self.write("a\r\n", "b")
        self.end()
        response = self.ask(self.path, "text/plain")
        self.assertEqual(response.body, b"a\r\nb")
        self.assertNotIn("stream-gap", response.headers)

    def test_textWithAGap(self) -> None:
        """
        When entries were trimmed, a header tells how many.
        """
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
        """
        `format` names the format, and makes any client's answer an event
        stream.
        """
        self.write("a", "b")
        for accept in (EVENTSOURCE, CHROME, JSON, "image/png", None):
            for form, texts in (("events", ["ab"]), ("text", ["", "ab"])):
                response = self.ask(f"{self.path}?format={form}", accept)
                self.assertEqual((response.headers["content-type"], response.texts), (EVENTSOURCE, texts))

    def test_emptyFormat(self) -> None:
        """
        An empty `format` is none.
        """
        self.assertEqual(self.ask(f"{self.path}?format=", JSON).headers["content-type"], JSON)

    def test_unknownFormat(self) -> None:
        """
        A format that nobody knows is 400, and those that there are are named.
        """
        for form in ("nope", "Events", "events%00", "%3Cb%3E"):
            response = self.ask(f"{self.path}?format={form}", EVENTSOURCE)
            self.assertEqual((response.status, response.error["code"]), (400, "bad_request"))
            self.assertIn("events", response.error["message"])
            self.assertIn("text", response.error["message"])
        self.assertEqual(self.ask(f"{self.path}?format=%FF", EVENTSOURCE).status, 400)

    def test_twoViewersSeeEqualBytes(self) -> None:
        """
        What viewers of one stream get is the same, byte by byte, but for the
        reconnection time; two that come late, too.
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
        A viewer that comes back gets what follows its ID, in both formats; the
        header wins over the address.
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
        """
        A viewer that has all so far waits for what comes.
        """
        self.write("a")
        wire = self.view(self.path, f"{self.name}-1")
        self.assertEqual(wire.response.texts, [])
        self.write("b")
        self.assertEqual(wire.response.texts, ["b"])

    def test_hasTheEnd(self) -> None:
        """
        A viewer that has the end is answered 204, in each format, one that
        has not gets it; one without an ID gets everything again.
        """
        self.write("a")
        self.end()
        for query in ("", "?format=text"):
            response = self.view(f"{self.path}{query}", f"{self.name}-2").response
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(self.view(f"{self.path}{query}", f"{self.name}-1").response.types[-1], "done")
            self.assertEqual(self.view(f"{self.path}{query}").response.types[-1], "done")

    def test_foreignID(self) -> None:
        """
        An ID that this stream never gave is told of as a gap, and all that is
        there follows, also when the stream has ended.
        """
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
        """
        A viewer whose place was trimmed is told how many entries it missed.
        """
        self.serve(self.source, Settings(window=2000))
        path = self.startRun()
        for _ in range(100):
            self.source.run.write("x" * 44)
        first = self.state(path)["first"]
        response = self.view(path, f"{path.rpartition('/')[2]}-3").response
        gap = json.loads(response.events[response.types.index("gap")].data)
        self.assertEqual((gap["reason"], gap["missed"]), ("trimmed", first - 4))

    def test_head(self) -> None:
        """
        HEAD gets the headers that GET would, without a body, and is no viewer.
        """
        self.write("a")
        for accept in (EVENTSOURCE, JSON, "text/plain", CHROME):
            head = self.ask(self.path, accept, "HEAD")
            self.assertTrue(self.wires[-1].received.endswith(b"\r\n\r\n"))
            get = self.ask(self.path, accept)
            self.assertEqual(head.status, 200)
            same = set(get.headers) - {"transfer-encoding"}
            self.assertEqual({name: head.headers[name] for name in same}, {name: get.headers[name] for name in same})
        self.assertEqual(self.ask(f"{self.path}?format=text", method="HEAD").headers["content-type"], EVENTSOURCE)
        self.assertEqual(self.service.viewers, 1)

    def test_headOfAnEndedStream(self) -> None:
        """
        HEAD of a stream that has ended comes to its end like any other.
        """
        self.end()
        response = self.ask(self.path, EVENTSOURCE, "HEAD")
        self.assertEqual((response.status, response.complete), (200, True))

    def test_unknownStream(self) -> None:
        """
        A stream that is not there is 404: the page for browsers, else JSON,
        which tells its name without that being markup or a header.
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
        """
        There is nothing below a stream but `cancel`.
        """
        for path in ("/nothing", "/events", "/cancel/more", "/Cancel"):
            response = self.ask(f"{self.path}{path}")
            self.assertEqual((response.status, response.error["code"]), (404, "not_found"), path)

    def test_otherMethods(self) -> None:
        """
        Other methods than those to follow, to publish and to forget are not
        known here.
        """
        for method in ("PATCH", "OPTIONS", "get"):
            response = self.ask(self.path, method=method)
            self.assertEqual(
                (response.status, response.headers["allow"]), (405, "GET, POST, PUT, DELETE, HEAD"), method
            )

    def test_runIsNotPublishedInto(self) -> None:
        """
        A run's stream is no stream to publish into, nor can it be opened for
        that; forgotten it can be.
        """
        for method, body in (("POST", b"a"), ("PUT", None)):
            response = self.ask(self.path, method=method, body=body, headers={"Content-Type": "text/plain"})
            self.assertEqual((response.status, response.error["code"]), (409, "stream_exists"), method)
        self.assertEqual(self.ask(self.path, method="DELETE").status, 204)
        self.assertEqual(self.ask(self.path, JSON).status, 404)

    def test_notAcceptable(self) -> None:
        """
        Who accepts nothing of what there is is told so.
        """
        self.assertEqual(self.ask(self.path, "image/png").status, 406)

    def test_trailingSlash(self) -> None:
        """
        With a slash behind the name it is the same stream, with the same URL.
        """
        self.write("a")
        response = self.view(f"{self.path}/").response
        self.assertEqual(response.texts, ["a"])
        self.assertEqual(json.loads(response.events[0].data)["url"], self.path)


class CancelTests(WebTestCase):
    """`POST /streams/NAME/cancel`."""

    def test_cancel(self) -> None:
        """
        The run is stopped, viewers are told, the answer is the state.
        """
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
        """
        To stop what has ended changes nothing and is no error.
        """
        path = self.startRun()
        first = self.ask(f"{path}/cancel", method="POST").json
        for again in ("/cancel", "/cancel/"):
            self.assertEqual(self.ask(path + again, method="POST").json, first)
        done = self.startRun()
        self.end()
        self.assertEqual(self.ask(f"{done}/cancel", method="POST").json["state"], "done")

    def test_unknown(self) -> None:
        """
        What is not there cannot be stopped.
        """
        response = self.ask("/streams/nobody/cancel", method="POST")
        self.assertEqual((response.status, response.error["code"]), (404, "stream_not_found"))

    def test_otherMethods(self) -> None:
        """
        Nothing but POST stops a run: a link that is only looked at does not.
        """
        path = self.startRun()
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            response = self.ask(f"{path}/cancel", method=method)
            self.assertEqual((response.status, response.headers["allow"]), (405, "POST"))
        self.assertFalse(self.source.run.cancelled)

    def test_whileTheSourceWaits(self) -> None:
        """
        A run whose source waits for its slow viewer is stopped, and answers so.
        """
        self.serve(self.source, Settings(readAhead=1024))
        path = self.startRun()
        self.source.run.write("x" * 100_000)
        self.source.run.sink.ready().addCallback(lambda _: self.source.run.end())
        response = self.ask(f"{path}/cancel", method="POST")
        self.assertEqual((response.status, response.json["state"]), (200, "cancelled"))


class LeavingTests(WebTestCase):
    """Clients that leave while the store takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.waiting: Deferred[None] = Deferred()

    def slow(self, name: str) -> None:
        """Let a method of the store wait."""
        store = self.service._store
        method = getattr(store, name)
        self.patch(store, name, lambda *arguments: self.waiting.addCallback(lambda _: method(*arguments)))

    def leave(self, path: str, **keywords: Any) -> None:
        """Ask for a stream, leave, and let the store be ready then."""
        wire = self.connect(self.factory)
        wire.send(makeRequest(path, **keywords))
        wire.close()
        self.waiting.callback(None)
        self.reactor.turn()
        self.assertEqual(self.service.viewers, 0)

    def test_visitor(self) -> None:
        """
        A visitor that has left before their run began is no viewer; the run
        lingers, since they may come back.
        """
        self.slow("create")
        self.leave("/", accept=EVENTSOURCE)
        self.assertEqual(len(self.source.runs), 1)
        self.reactor.run(61, 0.25)
        self.assertTrue(self.source.run.cancelled)

    def test_viewer(self) -> None:
        """
        A viewer that has left before the stream was found is none.
        """
        path = self.startRun()
        self.slow("find")
        for accept in (EVENTSOURCE, JSON, "text/plain"):
            self.waiting = Deferred()
            self.leave(path, accept=accept)

    def test_turnedAway(self) -> None:
        """
        One too many who has left meanwhile is not even turned away.
        """
        self.serve(self.source, Settings(maxViewers=1))
        path = self.startRun()
        self.view(path)
        self.slow("find")
        wire = self.connect(self.factory)
        wire.send(makeRequest(path, accept=EVENTSOURCE))
        wire.close()
        self.waiting.callback(None)
        self.assertEqual(wire.received, b"")

    def test_head(self) -> None:
        """
        Who asked only for the headers and has left gets none.
        """
        path = self.startRun()
        self.slow("find")
        self.leave(path, accept=EVENTSOURCE, method="HEAD")

    def test_starter(self) -> None:
        """
        Who started a run by POST and has left is not answered; the run is
        there.
        """
        self.slow("create")
        self.leave("/streams", method="POST")
        self.assertEqual(len(self.source.runs), 1)


class BreakingFormat(TextFormat):
    """Breaks at the second entry."""

    def render(self, streamLog: IStreamLog) -> Any:
        return BreakingRendering(super().render(streamLog))


class BreakingRendering:
    """What L{BreakingFormat} makes: C{text}, as far as it goes."""

    def __init__(self, rendering: Any) -> None:
        self._rendering = rendering

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rendering, name)

    def read(self, cursor: int, maxBytes: int, joined: bool) -> tuple[int, bytes]:
        if cursor:
            raise KeyError("swordfish")
        return self._rendering.read(cursor, maxBytes, joined)


class BugTests(WebTestCase):
    """What a bug inside shows of itself outside: nothing."""

    def assertSilent(
        self, wire: Wire, words: tuple[bytes, ...] = (b"Traceback", b"swordfish", b"KeyError", b"<html")
    ) -> None:
        """Check that nothing of a bug came over a wire."""
        for word in words:
            self.assertNotIn(word, wire.received)

    def test_bugs(self) -> None:
        """
        Wherever it breaks, the answer is 500 in JSON, and the traceback is in
        the log.
        """
        path = self.startRun()

        def broken(*arguments: Any, **keywords: Any) -> Any:
            raise KeyError("swordfish")

        requests = (
            ("startRun", "/", EVENTSOURCE, "GET"),
            ("startRun", "/streams", None, "POST"),
            ("find", path, EVENTSOURCE, "GET"),
            ("find", path, JSON, "GET"),
            ("cancel", f"{path}/cancel", None, "POST"),
            ("view", path, EVENTSOURCE, "GET"),
        )
        for name, where, accept, method in requests:
            with self.subTest(name):
                patched = self.patch(self.service, name, broken)
                response = self.ask(where, accept, method)
                patched.restore()
                self.assertEqual((response.status, response.error["code"]), (500, "internal_error"))
                self.assertEqual(response.error["type"], "server_error")
                self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
                self.assertSilent(self.wires[-1])

    def test_bugOnceItStreams(self) -> None:
        """
        A format that breaks in the midst cuts its viewers off; none of it is
        in the stream.
        """
        self.service.formats["text"] = BreakingFormat()
        wire = self.view()
        self.write("a")
        self.write("b")
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertTrue(wire.socket.reset)
        self.assertSilent(wire)
        self.assertEqual(wire.response.texts, ["", "a"])
        self.assertEqual(self.service.viewers, 0)

    def test_bugBeforeItStreams(self) -> None:
        """
        When a viewer's response cannot even begin, the client is told in JSON
        or cut off, and nobody is left among the viewers.
        """

        class BrokenLog(StreamLog):
            def locate(self, lastEventID: str) -> int:
                raise KeyError("swordfish")

        self.patch(memory, "StreamLog", BrokenLog)
        path = self.startRun()
        streamLog = self.successResultOf(self.service.find(path.rpartition("/")[2]))
        self.view(path, lastEventID=f"{streamLog.epoch}-0")
        self.reactor.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        # twisted.web has a word to say, too: of a producer that was still registered.
        self.flushLoggedErrors(RuntimeError)
        self.assertSilent(self.wires[-1])
        self.assertEqual((self.service.viewers, streamLog.viewers), (0, 0))

    def test_errorOfAnEmbedder(self) -> None:
        """
        An error of our tree is told as it is, with its sentence.
        """

        def refuse(*arguments: Any) -> Any:
            raise SSEServerError("Not today.")

        self.patch(self.service, "startRun", refuse)
        self.assertEqual(self.view().response.error["message"], "Not today.")


class SiteTests(WebTestCase):
    """The site."""

    def test_onlyHTTP11(self) -> None:
        """
        HTTP/2 is not offered under TLS, whatever is installed.
        """
        self.patch(Site, "acceptableProtocols", lambda self: [b"h2", b"http/1.1"])
        self.assertEqual(StreamSite(Resource()).acceptableProtocols(), [b"http/1.1"])

    def test_idleConnection(self) -> None:
        """
        An idle connection is closed after 75 s, more than the 60 s of the
        usual load balancers.
        """
        wire = self.connect(self.factory)
        wire.ask("/assets/app.js")
        self.reactor.run(74)
        self.assertFalse(wire.closed)
        self.reactor.run(2)
        self.assertTrue(wire.closed)

    def test_streamIsNotIdle(self) -> None:
        """
        A connection on which a stream is under way is not closed, however
        quiet it is.
        """
        self.serve(self.source, Settings(heartbeat=1000))
        wire = self.view()
        self.reactor.run(500, 1)
        self.assertFalse(wire.closed)
        self.write("a")
        self.assertEqual(wire.response.texts, ["", "a"])

    def test_keywords(self) -> None:
        """
        What else a site takes can be given, its idle time among it.
        """
        site = StreamSite(Resource(), timeout=5, reactor=self.reactor)
        self.assertEqual(site.timeOut, 5)

    def test_plainSite(self) -> None:
        """
        The resource works on a plain site of twisted.web.
        """
        self.factory = Site(StreamResource(self.service), reactor=self.reactor)
        wire = self.view()
        self.write("a")
        self.assertEqual(wire.response.texts, ["", "a"])
