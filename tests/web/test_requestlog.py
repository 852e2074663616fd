"""
Tests of `sseserver.web.requestlog`: one line for each request, at its end.
"""

from __future__ import annotations

import io
import json
from typing import Any

from sseserver.apis.root import StreamResource
from sseserver.settings import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.accept import JSON
from sseserver.web.site import StreamSite
from tests.fakes import logged
from tests.served import ServedTestCase
from tests.wires import Wire


class RequestLogTests(ServedTestCase):
    """Lines of both formats, whatever ends the request."""

    settings = Settings(stall=2, heartbeat=1000)

    def serveLogged(self, form: str) -> None:
        """Serve with an access log in a file."""
        self.file = io.StringIO()
        site: Any = StreamSite(StreamResource(self.service), accessLog=form, reactor=self.reactor)
        site.logPath = "access"
        site._logFile = self.file  # noqa: SLF001
        self.factory = site

    def lines(self) -> list[str]:
        """Return the lines since the last call."""
        text = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        return text.splitlines()

    def end(self, how: str) -> Wire:
        """Start a viewer of a run that has written two tokens, and end its response in a way."""
        wire = self.view(room=0 if how == "stalled" else None)
        for token in ("a", "b"):
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)
        if how == "complete":
            self.source.run.end()
        elif how == "left":
            wire.close()
        elif how == "stalled":
            self.source.run.write("x" * 1_000_000)
        else:
            self.service.viewers.retire()
        self.reactor.run(10, 0.25)
        return wire

    def test_T17_ends(self) -> None:
        """T17: a viewer has one line, also if it left or was cut, with events, bytes, duration and reason."""
        self.serveLogged("json")
        for how, events in (("complete", 3), ("left", 2), ("retired", 2), ("stalled", None)):
            wire = self.end(how)
            (line,) = self.lines()
            logged_ = json.loads(line)
            self.assertEqual((logged_["reason"], logged_["status"], logged_["target"]), (how, 200, "/"))
            if events is not None:
                self.assertEqual(logged_["events"], events)
                self.assertEqual(logged_["bytes"], len(wire.response.body))
            self.assertGreaterEqual(logged_["duration"], 0)
            self.assertEqual((logged_["principal"], logged_["client"], logged_["method"]), ("-", "127.0.0.1", "GET"))

    def test_text(self) -> None:
        """Lines of text have the combined format, and events, seconds and reason after it."""
        self.serveLogged("text")
        for how, events in (("complete", 3), ("left", 2)):
            self.end(how)
            (line,) = self.lines()
            self.assertRegex(line, rf'^"127.0.0.1" - - .*"GET / HTTP/1.1" 200 \d+ "-" "-" {events} \d+\.\d\d\d {how}$')

    def test_short(self) -> None:
        """A short answer is complete; one whose client left before it began has no status."""
        self.serveLogged("json")
        self.ask("/streams/none", JSON)
        (line,) = self.lines()
        self.assertEqual([json.loads(line)[name] for name in ("status", "events", "reason")], [404, 0, "complete"])
        wire = self.connect(self.factory)
        body = b'{"messages": [{"role": "user", "content": "x"}]}'
        wire.begin("/v1/chat/completions", method="POST", body=body, headers={"Content-Type": JSON})
        wire.close()
        (line,) = self.lines()
        self.assertEqual([json.loads(line)[name] for name in ("status", "events", "reason")], [None, 0, "left"])

    def test_incomplete(self) -> None:
        """A connection that is closed before its request was complete has no line."""
        self.serveLogged("text")
        wire = self.connect(self.factory)
        wire.send(b"POST /streams/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\nabc")
        wire.close()
        self.assertEqual(self.lines(), [])

    def test_refused(self) -> None:
        """A request that is refused before it is complete has a line, with what was read of it, and only one."""
        post = b"POST /streams/a HTTP/1.1\r\nHost: localhost\r\n"
        for sent, line, status in (
            (post + b"User-Agent: it\r\nContent-Length: 99999999999\r\n\r\n", "POST /streams/a HTTP/1.1", 413),
            (post + b"Transfer-Encoding: gzip\r\n\r\n", "POST /streams/a HTTP/1.1", 400),
            (post + b"X: " + b"x" * 20_000, "POST /streams/a HTTP/1.1", 431),
            (post + b"Content-Length: 7\r\n\r\nabc", "POST /streams/a HTTP/1.1", 408),
            (b"GET /" + b"x" * 20_000, "- - -", 414),
            (b"GET ", "- - -", 408),
            (b"nothing\r\n\r\n", "- - -", 400),
            (b"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET x HTTP/1.1", 400),
        ):
            self.serveLogged("text")
            wire = self.connect(self.factory)
            wire.methods.append("GET")
            wire.send(sent)
            self.reactor.run(40, 0.25)
            wire.close()
            (logged_,) = self.lines()
            self.assertIn('"127.0.0.1" - - [', logged_)
            self.assertRegex(logged_, rf'"{line}" {status} \d+ "-" "(-|it)" 0 \d+\.\d\d\d refused$')

    def test_F76_controls(self) -> None:
        """F76: control characters of a request appear escaped, in each format."""
        for form in ("text", "json"):
            self.serveLogged(form)
            headers = {"User-Agent": "a\x1b[2J\x7f\t", "Referer": 'b"\\'}
            self.ask("/%1b\x9b?q=\x7f", headers=headers)
            (line,) = self.lines()
            self.assertTrue(line.isascii() and line.isprintable(), line)

    def test_processLog(self) -> None:
        """Without a file, the members of a line in JSON are members of an event of the log."""
        self.factory = StreamSite(StreamResource(self.service), accessLog="json", reactor=self.reactor)
        with logged() as events:
            self.ask("/healthz")
        (event,) = events
        self.assertEqual(
            (event["target"], event["status"], event["log_namespace"]), ("/healthz", 200, "sseserver.access")
        )
        # Twisted's older observers, if there are any, add their members, such as a number for the time.
        own = {name for name, value in event.items() if isinstance(value, str)}
        self.assertEqual(own & {"time", "message", "isError"}, set())

    def test_none(self) -> None:
        """Without an access log there is no line."""
        self.factory = StreamSite(StreamResource(self.service), accessLog=None, reactor=self.reactor)
        with logged() as events:
            self.end("left")
        self.assertEqual(events, [])
