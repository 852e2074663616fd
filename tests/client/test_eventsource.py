"""
The EventSource for Twisted, on wires: Twisted's own HTTP client and TCP
transport, a clock that the test winds, and a server that the test plays.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

from automat import NoTransition
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectionTimeout
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from sseserver.client import (
    ConnectionFailed,
    ConnectTimeout,
    EventSource,
    EventSourceError,
    EventTooLarge,
    ResponseRefused,
    ResponseTruncated,
    SilenceTimeout,
    State,
    StatusError,
    WrongContentType,
    eventsource,
)
from sseserver.client.__main__ import Printer, main, makeParser
from sseserver.client.iteration import LENGTH
from sseserver.client.request import MAX_REDIRECTS, REFUSAL_BYTES, REFUSAL_SECONDS, retryAfter
from sseserver.wire import Event
from tests.wires import Wire, WireReactor, WireTestCase

URL = "http://server.test/streams/answer?format=events"

STREAM = {"Content-Type": "text/event-stream"}


@implementer(IAgentEndpointFactory)
class Network:
    """
    The endpoints of an agent, which end at the test.

    Attributes:
        refusals: What the next connections fail with; C{None} leaves one
            unanswered for ever.
        asked: Where connections went: host and port.
    """

    def __init__(self, connect: Callable[[Any], Wire]) -> None:
        self._connect = connect
        self.refusals: list[Exception | None] = []
        self.asked: list[tuple[bytes, int]] = []

    def endpointForURI(self, uri: Any) -> Any:
        """See L{IAgentEndpointFactory}."""
        self.asked.append((uri.host, uri.port))
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect, or not."""
        if self.refusals:
            refusal = self.refusals.pop(0)
            return Deferred() if refusal is None else fail(refusal)
        return succeed(self._connect(factory).transport.protocol)


class TurningReactor(WireReactor):
    """Runs what is due between reading and writing, as reactors do: an aborted connection waits for it."""

    def _move(self) -> bool:
        moved = super()._move()
        Clock.advance(self, 0)
        return moved


class ClientTestCase(WireTestCase):
    """
    Tests of one EventSource.

    Attributes:
        events: What it gave.
        opened: The responses that it opened with.
        retries: What it said before it tried again.
    """

    def setUp(self) -> None:
        super().setUp()
        self.reactor = TurningReactor()
        self.network = Network(self.connect)
        self.events: list[Event] = []
        self.opened: list[Any] = []
        self.retries: list[tuple[Exception | None, float]] = []
        self.sources: list[EventSource] = []
        # The most that it may wait; what full jitter makes of it has a test of its own.
        self.patch(eventsource, "uniform", lambda least, most: most)

    def stop(self) -> None:
        for source in self.sources:
            source.close()

    def make(self, url: str = URL, **keywords: Any) -> EventSource:
        """Make one that tells the test everything."""
        keywords = {
            "agent": Agent.usingEndpointFactory(self.reactor, self.network),
            "onEvent": self.events.append,
            "onOpen": self.opened.append,
            "onRetry": lambda error, delay: self.retries.append((error, delay)),
            **keywords,
        }
        source = EventSource(self.reactor, url, **keywords)
        self.sources.append(source)
        return source

    def begin(self, url: str = URL, **keywords: Any) -> EventSource:
        """Make and start one."""
        source = self.make(url, **keywords)
        self.done = source.start()
        self.reactor.turn()
        return source

    def open(self, body: bytes = b"", **keywords: Any) -> EventSource:
        """Make one, start it and answer with an event stream that has begun."""
        source = self.begin(**keywords)
        self.respond()
        self.chunk(body)
        return source

    def respond(self, status: str = "200 OK", headers: dict[str, str] | None = None, body: bytes | None = None) -> None:
        """Write the head of a response on the newest wire: of a stream in chunks, or with a whole body."""
        fields = dict(STREAM if headers is None else headers)
        if body is None:
            fields["Transfer-Encoding"] = "chunked"
        else:
            fields["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self.wires[-1].send("\r\n".join(lines).encode("latin-1") + (body or b""))

    def chunk(self, data: bytes) -> None:
        """Write one chunk."""
        if data:
            self.wires[-1].send(b"%x\r\n%b\r\n" % (len(data), data))

    def finish(self) -> None:
        """Write the end of a response in chunks."""
        self.wires[-1].send(b"0\r\n\r\n")

    def request(self, index: int = -1) -> tuple[str, dict[str, str], bytes]:
        """Give the request that was made on a wire: first line, headers by lower-case name, body."""
        head, _, body = self.wires[index].received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        return first, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}, body

    @property
    def data(self) -> list[str]:
        """The data of the events."""
        return [event.data for event in self.events]

    def assertFails(self, kind: type[Exception]) -> Any:
        """It has ended with an error, holds no connection and no time; give the error."""
        failure = self.failureResultOf(self.done, kind)
        self.assertOver()
        return failure.value

    def assertOver(self) -> None:
        """It is over, and has left nothing."""
        self.assertEqual(self.sources[-1].state, State.CLOSED)
        self.reactor.advance(0)
        self.assertEqual([str(call) for call in self.reactor.getDelayedCalls()], [])
        self.assertTrue(all(wire.closed for wire in self.wires))


class RequestTests(ClientTestCase):
    """What is asked."""

    def test_plain(self) -> None:
        """
        The request of an EventSource: Accept and Cache-Control as Fetch has
        them, and no last event ID while there is none (web-platform-tests
        request-accept, request-cache-control).
        """
        self.begin()
        first, headers, body = self.request()
        self.assertEqual(first, "GET /streams/answer?format=events HTTP/1.1")
        self.assertEqual(headers["host"], "server.test")
        self.assertEqual(headers["accept"], "text/event-stream")
        self.assertEqual(headers["cache-control"], "no-cache")
        self.assertNotIn("last-event-id", headers)
        self.assertEqual(body, b"")

    def test_own(self) -> None:
        """
        Method, headers and body are the program's, in each request; its
        headers are not changed.
        """
        own = Headers({"Accept": ["*/*"], "Authorization": ["Bearer 1"]})
        self.begin(method=b"POST", headers=own, body=b'{"stream":true}', lastEventID="e-1")
        for _ in range(2):
            first, headers, body = self.request()
            self.assertEqual(first, "POST /streams/answer?format=events HTTP/1.1")
            self.assertEqual((headers["accept"], headers["authorization"]), ("*/*", "Bearer 1"))
            self.assertEqual(
                (headers["last-event-id"], headers["content-length"], body), ("e-1", "15", b'{"stream":true}')
            )
            self.respond()
            self.finish()
            self.reactor.advance(6)
        self.assertEqual(len(list(own.getAllRawHeaders())), 2)

    def test_ownLastEventID(self) -> None:
        """
        The last event ID is a parameter; a header of that name is not sent,
        since it would soon be wrong.
        """
        self.begin(headers=Headers({"Last-Event-ID": ["7"]}))
        self.assertNotIn("last-event-id", self.request()[1])

    def test_lastEventIDInUTF8(self) -> None:
        """
        An ID is sent as UTF-8 (9.2.2), whatever it is.
        """
        self.begin(lastEventID="…ü")
        self.assertEqual(self.request()[1]["last-event-id"].encode("latin-1").decode("utf-8"), "…ü")

    def test_refused(self) -> None:
        """
        What cannot be asked is refused at once: addresses that are not
        absolute, of another scheme, or with a user's name; IDs that would
        break the request.
        """
        for url in (
            "/streams",
            "ftp://server.test/",
            "http://",
            "http://user:secret@server.test/",
            "nonsense",
            "http://h:x/",
            "http://h:99999/",
            "http://a b/",
            "http://a/\n",
            "http://ü ü/",
        ):
            self.assertRaises(ValueError, EventSource, self.reactor, url)
        self.assertRaises(ValueError, EventSource, self.reactor, URL, lastEventID="1\r\nX: 2")

    def test_hosts(self) -> None:
        """
        An address of numbers is asked, and a name as containers have them;
        what follows the host is sent as it is.
        """
        for url, host, path in (
            ("http://[::1]:8000/x?a=b%2Fc&[d]", "[::1]:8000", "/x?a=b%2Fc&[d]"),
            ("http://my_model:11434", "my_model:11434", "/"),
            ("HTTP://127.0.0.1/a//b/../%zz", "127.0.0.1", "/a//b/../%zz"),
        ):
            self.begin(url)
            first, headers, _ = self.request()
            self.assertEqual((headers["host"], first), (host, f"GET {path} HTTP/1.1"))

    def test_international(self) -> None:
        """
        An address with other letters is asked in its ASCII form.
        """
        self.begin("http://bücher.test/straße")
        first, headers, _ = self.request()
        self.assertEqual((first, headers["host"]), ("GET /stra%C3%9Fe HTTP/1.1", "xn--bcher-kva.test"))


#: Name of the case in web-platform-tests' eventsource/; the bodies of one response after another, each ended in good
#: order; what is dispatched, as type, data and last event ID; the last event ID that is sent at last.
FIELDS: list[tuple[str, list[bytes], list[tuple[str, str, str]], str]] = [
    (
        "event-data",
        [b"data:msg\ndata:msg\n\n:\ndata:msg\n\n"],
        [("message", "msg\nmsg", ""), ("message", "msg", "")],
        "",
    ),
    (
        "format-bom",
        [b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n"],
        [("message", "1", ""), ("message", "3", "")],
        "",
    ),
    ("format-bom-2", [b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\n"], [("message", "2", "")], ""),
    ("format-bom, each response has its own", [b"\xef\xbb\xbfdata:1\n\n"] * 2, [("message", "1", "")] * 2, ""),
    (
        "format-comments",
        [b"data:1\r:\0\n:\r\ndata:2\n:" + b"x" * 4096 + b"\rdata:3\n:data:no\r:\r\ndata:4\n\n"],
        [("message", "1\n2\n3\n4", "")],
        "",
    ),
    (
        "format-data-before-final-empty-line",
        [b"retry:1000\ndata:one\n\nid:cut\ndata:two"],
        [("message", "one", "")],
        "",
    ),
    (
        "format-field-data",
        [b"data:\n\ndata\ndata\n\ndata:test\n\n"],
        [("message", "", ""), ("message", "\n", ""), ("message", "test", "")],
        "",
    ),
    ("format-field-event", [b"event:test\ndata:x\n\ndata:y\n\n"], [("test", "x", ""), ("message", "y", "")], ""),
    ("format-field-event-empty", [b"event: \ndata:data\n\n"], [("message", "data", "")], ""),
    ("format-field-id", [b"data:hello\nid:\xe2\x80\xa6\n\n"], [("message", "hello", "\u2026")], "\u2026"),
    (
        "format-field-id, a reset",
        [b"id: 1\ndata: a\n\nid:\ndata: b\n\n"],
        [("message", "a", "1"), ("message", "b", "")],
        "",
    ),
    (
        "format-field-id-2",
        [b"id: 1\ndata: a\n\ndata: b\n\n", b"data: c\n\n"],
        [("message", "a", "1"), ("message", "b", "1"), ("message", "c", "1")],
        "1",
    ),
    ("format-field-id-2, without data", [b"id: 7\n\n", b"data: c\n\n"], [("message", "c", "7")], "7"),
    (
        "format-field-id-3",
        [b"data:hello\nid:1\n\n", b"data:again\nid\n\n"],
        [("message", "hello", "1"), ("message", "again", "")],
        "",
    ),
    ("format-field-id-null", [b"id: 1\n\nid: \0\0\ndata: x\n\n"], [("message", "x", "1")], "1"),
    (
        "format-field-parsing",
        [
            (
                b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
                b"data:3\rdata:\r\n data:32\ndata:4\n\n"
            )
        ],
        [("message", "\0\n 2\n1\n3\n\n4", "")],
        "",
    ),
    (
        "format-field-unknown",
        [b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n"],
        [("message", "test\n\ntest", "")],
        "",
    ),
    ("format-leading-space", [b"data:\ttest\rdata: \ndata:test\n\n"], [("message", "\ttest\n\ntest", "")], ""),
    ("format-newlines", [b"data:test\r\ndata\ndata:test\r\n\r"], [("message", "test\n\ntest", "")], ""),
    ("format-null-character", [b"data:\0\n\n\n\n"], [("message", "\0", "")], ""),
    ("format-utf-8", ["data:ok…\n\n".encode()], [("message", "ok…", "")], ""),
    ("format-utf-8, broken", [b"data:\xff\n\n"], [("message", "\ufffd", "")], ""),
]


class FieldTests(ClientTestCase):
    """What the bytes mean, over as many responses as it takes."""

    def play(self, bodies: list[bytes], size: int, **keywords: Any) -> str:
        """Answer with these bodies, in chunks of this size; give the last event ID of the request after them."""
        self.events.clear()
        source = self.begin(**keywords)
        for body in bodies:
            self.respond()
            for start in range(0, len(body), size):
                self.chunk(body[start : start + size])
            self.finish()
            self.reactor.advance(source.reconnectionTime)
        sent = self.request()[1].get("last-event-id", "")
        source.close()
        return sent.encode("latin-1").decode("utf-8")

    def test_table(self) -> None:
        """
        Each case is dispatched as the standard says, in one piece and byte
        by byte, and the next request says the ID.
        """
        for name, bodies, expected, lastEventID in FIELDS:
            for size in (1 << 20, 1):
                sent = self.play(bodies, size)
                self.assertEqual([(e.type, e.data, e.id) for e in self.events], expected, name)
                self.assertEqual(sent, lastEventID, name)
                self.assertEqual(self.sources[-1].lastEventID, lastEventID, name)

    def test_dataOnly(self) -> None:
        """
        Who wants only the data gets the same data, in UTF-8, and the next request says the same ID.
        """
        for name, bodies, expected, lastEventID in FIELDS:
            for size in (1 << 20, 1):
                data: list[bytes] = []
                sent = self.play(bodies, size, onData=data.append)
                self.assertEqual(data, [text.encode("utf-8") for _, text, _ in expected], name)
                self.assertEqual((sent, self.events), (lastEventID, []), name)

    def test_oneByOne(self) -> None:
        """
        Events that come in a piece each, as from a slow stream, are what they are in one piece: whatever comes between
        them, and in whatever bytes they are written.
        """
        plain = [b"data: a\n\n", b"data: \n\n", b"data: [\xc3\xa9]\n\n", b"data: \xff\n\n", b"data:  b\n\n"]
        others = [
            b"id: 7\n\n",
            b"data: a\rdata: b\n\n",
            b"data: a\r\n\r\n",
            b": c\n",
            b"event: t\n",
            b"id: 8\n",
            b"da",
            b"",
        ]
        for other in others:
            pieces = [b"\n", *plain, other, *plain, b"\n", *plain]
            self.play([b"".join(pieces)], 1)
            expected, seen = list(self.events), list[bytes]()
            for keywords in ({}, {"onData": seen.append}):
                self.events.clear()
                source = self.open(**keywords)
                for piece in pieces:
                    self.chunk(piece)
                self.assertEqual(source.lastEventID, expected[-1].id, other)
                self.assertEqual(self.events, [] if keywords else expected, other)
                source.close()
            self.assertEqual(seen, [event.data.encode("utf-8") for event in expected], other)

    def test_tooLargeAlone(self) -> None:
        """
        An event that comes in a piece of its own may be as large as any, and not larger.
        """
        data: list[bytes] = []
        self.open(b"\n", maxEventBytes=8, onData=data.append)
        self.chunk(b"data: x\n\n")
        self.assertEqual(data, [b"x"])
        self.chunk(b"data: xy\n\n")
        self.assertFails(EventTooLarge)
        self.assertEqual(data, [b"x"])

    def test_retry(self) -> None:
        """
        A reconnection time is obeyed from its line on; what is no number is
        none (format-field-retry, -bogus, -empty).
        """
        for body, seconds in (
            (b"retry:1000\n", 1.0),
            (b"retry:03000\ndata:x\n\n", 3.0),
            (b"retry:1000\nretry:2000x\n\n", 1.0),
            (b"retry:1000\nretry\nretry:\nretry:-1\nretry: 1.5\n", 1.0),
            (b"data: none\n\n", 7.0),
        ):
            source = self.begin(reconnectionTime=7.0)
            self.respond()
            self.chunk(body)
            self.finish()
            self.assertEqual(self.retries.pop(), (None, seconds), body)
            wires = len(self.wires)
            self.reactor.advance(seconds - 0.125)
            self.assertEqual(len(self.wires), wires)
            self.reactor.advance(0.125)
            self.assertEqual(len(self.wires), wires + 1)
            source.close()


class ResponseTests(ClientTestCase):
    """What responses mean."""

    def test_states(self) -> None:
        """
        It is CONNECTING until there is an event stream, OPEN until that ends,
        and CONNECTING again (eventsource-reconnect).
        """
        source = self.make()
        self.assertIs(source.state, State.CONNECTING)
        self.done = source.start()
        self.assertIs(source.state, State.CONNECTING)
        self.respond()
        self.assertIs(source.state, State.OPEN)
        self.assertEqual([response.code for response in self.opened], [200])
        self.finish()
        self.assertIs(source.state, State.CONNECTING)
        self.reactor.advance(6)
        self.respond()
        self.assertIs(source.state, State.OPEN)
        self.assertEqual(len(self.opened), 2)
        self.assertNoResult(self.done)

    def test_noContent(self) -> None:
        """
        204 is the end, in good order: at once, or when it comes back.
        """
        self.begin()
        self.respond("204 No Content", {}, b"")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()
        self.open(b"data: x\n\n")
        self.finish()
        self.reactor.advance(3)
        self.respond("204 No Content", {}, b"")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()

    def test_statuses(self) -> None:
        """
        Any other status than 200 fails it for good, and the error says what
        was answered (request-status-error).
        """
        for status in (201, 205, 206, 210, 299, 300, 304, 400, 401, 403, 404, 405, 410, 500, 501):
            self.begin()
            body = b"" if status == 304 else b'{"error": 1}'
            self.respond(f"{status} Odd", {**STREAM, "X-Reason": "odd"}, body)
            error = self.assertFails(StatusError)
            self.assertEqual((error.status, error.body), (status, body))
            self.assertEqual(error.headers.getRawHeaders("X-Reason"), ["odd"])
            self.assertEqual(str(error), f"The server answered {status}.")
        self.assertEqual((self.events, self.opened, self.retries), ([], [], []))

    def test_busy(self) -> None:
        """
        A server that is busy or restarting is asked again, not before it
        said, each time later; without reconnecting, and for who wants to be
        a browser, it fails.
        """
        for status in (429, 502, 503, 504):
            source = self.begin()
            for header, seconds in (({}, 6.0), ({"Retry-After": "30"}, 30.0), ({"Retry-After": "soon"}, 24.0)):
                self.respond(f"{status} Busy", header, b"busy")
                error, delay = self.retries.pop()
                assert isinstance(error, StatusError)
                self.assertEqual((error.status, delay, source.state), (status, seconds, State.CONNECTING))
                self.reactor.advance(delay)
            self.respond(f"{status} Busy")
            self.assertTrue(self.wires[-1].closed)
            source.close()
            self.assertOver()
            for keywords in ({"reconnect": False}, {"retriedStatuses": ()}):
                self.begin(**keywords)
                self.respond(f"{status} Busy", {"Retry-After": "30"}, b"busy")
                error = self.assertFails(StatusError)
                self.assertEqual((error.body, retryAfter(error.headers)), (b"busy", 30.0))

    def test_contentTypes(self) -> None:
        """
        The essence of the content type decides, whatever follows it
        (format-mime-*).
        """
        for good in (
            "text/event-stream",
            "text/event-stream;",
            "text/event-stream;charset=utf-8",
            "text/event-stream;charset=windows-1252",
            "TEXT/Event-Stream ; charset=x",
        ):
            source = self.begin()
            self.respond(headers={"Content-Type": good})
            self.chunk("data: …\n\n".encode())
            self.assertEqual(self.events.pop().data, "…", good)
            source.close()
        for bad in ("text/x-bogus", "text/event-stream foo", "text/event-streams", "x text/event-stream", ""):
            self.begin()
            self.respond(headers={"Content-Type": bad} if bad else {}, body=b"data: x\n\n")
            error = self.assertFails(WrongContentType)
            self.assertEqual((error.status, error.body), (200, b"data: x\n\n"))
        self.assertEqual(self.events, [])

    def test_refusalIsBounded(self) -> None:
        """
        Of a body that is no event stream so much is read, and for so long;
        then the connection is dropped.
        """
        self.begin()
        self.respond("500 Oops", {})
        self.chunk(b"x" * (REFUSAL_BYTES + 1))
        self.assertEqual(self.assertFails(StatusError).body, b"x" * REFUSAL_BYTES)
        self.begin()
        self.respond("500 Oops", {})
        self.chunk(b"only this")
        self.reactor.advance(REFUSAL_SECONDS - 0.1)
        self.assertNoResult(self.done)
        self.reactor.advance(0.1)
        self.assertEqual(self.assertFails(ResponseRefused).body, b"only this")

    def test_closeDuringRefusal(self) -> None:
        """
        Closed while such a body is read, it ends in good order.
        """
        source = self.begin()
        self.respond("500 Oops", {})
        source.close()
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()

    def test_endWithoutReconnect(self) -> None:
        """
        Without reconnecting, the end of the response is the end: in chunks,
        with a length, and, where HTTP knows no other, by the close.
        """
        self.open(b"data: x\n\n", reconnect=False)
        self.finish()
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()
        self.begin(reconnect=False)
        self.respond(body=b"data: y\n\n")
        self.assertIsNone(self.successResultOf(self.done))
        self.begin(reconnect=False)
        self.wires[-1].send(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: z\n\n")
        self.wires[-1].close()
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.data, ["x", "y", "z"])
        self.assertOver()

    def test_truncated(self) -> None:
        """
        A response that breaks off is told from one that ends: by errback, or
        before it is asked for again.
        """
        for lose in ("close", "breakDown"):
            self.open(b"data: x\n\n", reconnect=False)
            getattr(self.wires[-1], lose)()
            self.reactor.turn()
            self.assertFails(ResponseTruncated)
        self.open(b"id: 5\ndata: x\n\ndata: torn")
        self.wires[-1].close()
        error, delay = self.retries.pop()
        self.assertIsInstance(error, ResponseTruncated)
        self.reactor.advance(delay)
        self.assertEqual(self.request()[1]["last-event-id"], "5")

    def test_noHTTP(self) -> None:
        """
        An answer that is no HTTP, or none at all, is no connection.
        """
        for answer in (b"220 mail.test ESMTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b""):
            self.begin(reconnect=False)
            self.wires[-1].send(answer)
            self.wires[-1].close()
            error = self.assertFails(ConnectionFailed)
            self.assertNotIn("\n", str(error))

    def test_tooLarge(self) -> None:
        """
        An event over the limit ends it: coming back it would be as large.
        """
        self.open(b"data: small\n\n", maxEventBytes=100)
        self.chunk(b"data: " + b"x" * 100)
        self.assertFails(EventTooLarge)
        self.assertEqual((self.data, self.retries), (["small"], []))


class RedirectTests(ClientTestCase):
    """Where it follows."""

    def redirect(self, status: int, location: str) -> None:
        """Answer with a redirect."""
        self.respond(f"{status} Elsewhere", {"Location": location}, b"It is elsewhere.")

    def test_followed(self) -> None:
        """
        Each redirect of the same origin is followed (request-redirect); the
        next request goes where a permanent one led, and else where the first
        went.
        """
        for status, next in ((301, "/new"), (308, "/new"), (302, "/old"), (303, "/old"), (307, "/old")):
            source = self.begin("http://server.test/old", lastEventID="3")
            self.redirect(status, "/new?a#b" if status == 302 else "new")
            first, headers, _ = self.request()
            self.assertEqual(first.split()[1], "/new?a" if status == 302 else "/new")
            self.assertEqual((headers["accept"], headers["last-event-id"]), ("text/event-stream", "3"))
            self.respond(body=b"data: x\n\n")
            self.reactor.advance(3)
            self.assertEqual(self.request()[0].split()[1], next)
            source.close()
        self.assertEqual(self.data, ["x"] * 5)
        self.assertOver()

    def test_permanentAfterTemporary(self) -> None:
        """
        A permanent redirect of an address that only holds for now is not
        remembered.
        """
        self.begin("http://server.test/1")
        self.redirect(308, "/2")
        self.redirect(307, "/3")
        self.redirect(308, "/4")
        self.respond(body=b"data: x\n\n")
        self.reactor.advance(3)
        self.assertEqual(self.request()[0].split()[1], "/2")

    def test_otherOrigin(self) -> None:
        """
        Another origin is not asked, be it another host, port or scheme: the
        headers may hold a secret.
        """
        for location in (
            "http://other.test/",
            "http://server.test:8080/",
            "https://server.test/",
            "//other.test/",
            "http://user@server.test/",
            "ftp://server.test/",
            "http://[/",
            "",
        ):
            self.begin(headers=Headers({"Authorization": ["Bearer 1"]}))
            self.redirect(307, location)
            error = self.assertFails(StatusError)
            self.assertEqual(error.headers.getRawHeaders("Location"), [location])
        self.assertEqual(set(self.network.asked), {(b"server.test", 80)})

    def test_bounded(self) -> None:
        """
        A circle is left after so many redirects.
        """
        self.begin()
        for _ in range(MAX_REDIRECTS + 1):
            self.redirect(302, URL)
        self.assertEqual(self.assertFails(StatusError).status, 302)
        self.assertEqual(len(self.wires), MAX_REDIRECTS + 1)

    def test_itsBody(self) -> None:
        """
        What a redirect has to say itself is not waited for, but dropped.
        """
        self.begin()
        self.respond("307 There", {"Location": "/new"})
        self.assertEqual(len(self.wires), 2)
        self.assertTrue(self.wires[0].closed)
        self.assertFalse(self.wires[1].closed)

    def test_otherMethods(self) -> None:
        """
        A POST is not repeated elsewhere.
        """
        self.begin(method=b"POST", body=b"x")
        self.redirect(307, "/new")
        self.assertFails(StatusError)

    def test_timeIsOne(self) -> None:
        """
        All redirects together have the time of one request.
        """
        self.begin(connectTimeout=10, reconnect=False)
        self.reactor.advance(6)
        self.redirect(302, "/a")
        self.reactor.advance(4)
        self.assertFails(ConnectTimeout)


class DelayTests(ClientTestCase):
    """How long it waits."""

    def test_growing(self) -> None:
        """
        With each failure it may wait twice as long, up to the ceiling, and
        as short as ever once an event stream has come.
        """
        self.network.refusals = [ConnectionRefusedError(), DNSLookupError()] * 4
        self.begin(reconnectionTime=2.0, maxDelay=50.0)
        for expected in (4, 8, 16, 32, 50, 50, 50, 50):
            error, delay = self.retries.pop()
            self.assertIsInstance(error, ConnectionFailed)
            self.assertEqual(delay, expected)
            self.reactor.advance(delay)
        self.respond(body=b":\n")
        self.assertEqual(self.retries.pop(), (None, 2.0))

    def test_openingIsNotEnough(self) -> None:
        """
        A server that answers well but says nothing, again and again, is asked
        less and less often.
        """
        self.begin(reconnectionTime=1.0)
        for expected in (2, 4, 8):
            self.respond(body=b"")
            self.assertEqual(self.retries[-1], (None, expected))
            self.reactor.advance(expected)

    def test_jitter(self) -> None:
        """
        The delay lies anywhere from the reconnection time to what it has
        grown to.
        """
        spans: list[tuple[float, float]] = []
        self.patch(eventsource, "uniform", lambda least, most: spans.append((least, most)) or most / 2)
        self.network.refusals = [ConnectionRefusedError()] * 4
        self.begin(reconnectionTime=10.0, maxDelay=60.0)
        for expected in (15.0, 25.0, 35.0):
            self.assertEqual(self.retries[-1][1], expected)
            self.reactor.advance(expected)
        self.assertEqual(spans[:3], [(0.0, 10.0), (0.0, 30.0), (0.0, 50.0)])

    def test_extremes(self) -> None:
        """
        A reconnection time of nothing does not make a storm of failures, and
        one above the ceiling is obeyed.
        """
        self.network.refusals = [ConnectionRefusedError()]
        self.begin(reconnectionTime=0.0)
        self.assertEqual(self.retries.pop()[1], 1.0)
        self.network.refusals = [ConnectionRefusedError()]
        self.begin(reconnectionTime=3600.0)
        self.assertEqual(self.retries.pop()[1], 3600.0)

    def test_retryAfter(self) -> None:
        """
        C{Retry-After} is seconds or a date, compared with the server's own
        clock; anything else is nothing.
        """
        date = "Sun, 06 Nov 1994 08:49:37 GMT"
        for headers, seconds in (
            ({}, 0.0),
            ({"Retry-After": ["7"]}, 7.0),
            ({"Retry-After": ["99999999999999999999"]}, 2147483.647),
            ({"Retry-After": ["-7"]}, 0.0),
            ({"Retry-After": ["nonsense"]}, 0.0),
            ({"Retry-After": ["Sun, 06 Nov 1994 08:51:37 GMT"], "Date": [date]}, 120.0),
            ({"Retry-After": [date]}, 0.0),
            ({"Retry-After": ["Sun, 06 Xyz 1994 08:51:37 GMT"], "Date": [date]}, 0.0),
        ):
            self.assertEqual(retryAfter(Headers(headers)), seconds, headers)


class TimeLimitTests(ClientTestCase):
    """How long it puts up with nothing."""

    def test_connecting(self) -> None:
        """
        A connection that is not made, and a response that does not begin,
        have a time limit together; then it is tried again, or given up.
        """
        self.network.refusals = [None]
        source = self.begin(connectTimeout=5)
        self.reactor.advance(5)
        self.assertIsInstance(self.retries[-1][0], ConnectTimeout)
        self.reactor.advance(6)
        self.wires[-1].send(b"HTTP/1.1 200 OK\r\n")
        self.reactor.advance(5)
        self.assertIsInstance(self.retries[-1][0], ConnectTimeout)
        self.assertTrue(self.wires[-1].closed)
        source.close()
        self.begin(connectTimeout=5, reconnect=False)
        self.reactor.advance(5)
        self.assertFails(ConnectTimeout)

    def test_agent(self) -> None:
        """
        An agent's own time limit is the same.
        """
        self.network.refusals = [ConnectionTimeout()]
        self.begin(reconnect=False)
        self.assertFails(ConnectTimeout)

    def test_first(self) -> None:
        """
        The first byte of the body has a time limit of its own, from the
        request on; what a stream needs afterwards is its own matter.
        """
        self.begin(connectTimeout=5, firstTimeout=20, reconnect=False)
        self.reactor.advance(15)
        self.respond()
        self.reactor.advance(4.9)
        self.assertNoResult(self.done)
        self.reactor.advance(0.1)
        self.assertFails(SilenceTimeout)
        self.begin(firstTimeout=20, reconnect=False)
        self.reactor.advance(20)
        self.assertFails(SilenceTimeout)
        source = self.open(b":\n", firstTimeout=20, reconnect=False)
        self.reactor.advance(1000)
        self.assertNoResult(self.done)
        source.close()
        self.open(b":\n", firstTimeout=20, silence=2, reconnect=False)
        self.reactor.advance(2)
        self.assertFails(SilenceTimeout)

    def test_silence(self) -> None:
        """
        A connection on which nothing comes, not even a comment, is lost; the
        stream goes on with another.
        """
        self.open(b"id: 1\ndata: x\n\n", silence=10)
        for _ in range(5):
            self.reactor.advance(9.9)
            self.chunk(b":\n")
        self.assertEqual(self.retries, [])
        self.reactor.advance(10)
        error, delay = self.retries.pop()
        self.assertIsInstance(error, SilenceTimeout)
        self.assertTrue(self.wires[-1].closed)
        self.reactor.advance(delay)
        self.assertEqual(self.request()[1]["last-event-id"], "1")

    def test_silenceFromTheHead(self) -> None:
        """
        Silence is measured from the head on.
        """
        self.begin(silence=10, reconnect=False)
        self.respond()
        self.reactor.advance(10)
        self.assertFails(SilenceTimeout)

    def test_silenceWhilePaused(self) -> None:
        """
        Who does not listen cannot complain of silence: it is measured again
        from the resumption on.
        """
        source = self.open(b":\n", silence=10, reconnect=False)
        source.pauseProducing()
        self.reactor.advance(1000)
        source.resumeProducing()
        self.reactor.advance(9.9)
        self.assertNoResult(self.done)
        self.reactor.advance(0.1)
        self.assertFails(SilenceTimeout)


class BackpressureTests(ClientTestCase):
    """Who takes the events can be slow."""

    def test_socket(self) -> None:
        """
        Paused, it gives out nothing and reads nothing: the bytes stay with
        the network.
        """
        source = self.open(b"data: 1\n\n")
        source.pauseProducing()
        self.chunk(b"data: 2\n\n")
        self.assertEqual((self.data, self.wires[-1].unread), (["1"], 14))
        source.resumeProducing()
        self.reactor.turn()
        self.assertEqual((self.data, self.wires[-1].unread), (["1", "2"], 0))

    def test_inTheMiddle(self) -> None:
        """
        Paused by one event of many, it keeps the others, in order, and the
        end of the response behind them; the last event ID is that of the last
        event that was given out.
        """
        source = self.begin(onEvent=lambda event: (self.events.append(event), source.pauseProducing()))
        self.respond(body=b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\nid: 3\ndata: 3\n\nid: 4\n\n")
        for number in "12":
            self.assertEqual((self.data[-1], source.lastEventID, len(self.events)), (number, number, int(number)))
            self.assertEqual((source.state, self.retries), (State.OPEN, []))
            source.resumeProducing()
        self.assertEqual((source.state, source.lastEventID, self.data[-1]), (State.CONNECTING, "4", "3"))

    def test_beforeItIsOpen(self) -> None:
        """
        Paused while there is no connection, or when one opens, it pauses the
        next one.
        """
        for keywords in ({}, {"onOpen": lambda response: self.sources[-1].pauseProducing()}):
            source = self.begin(**keywords)
            if not keywords:
                source.pauseProducing()
            self.respond()
            self.chunk(b"data: 1\n\n")
            self.assertEqual(self.events, [])
            self.assertGreater(self.wires[-1].unread, 0)
            source.resumeProducing()
            self.reactor.turn()
            self.assertEqual(self.events.pop().data, "1")
            source.close()

    def test_byEach(self) -> None:
        """
        Paused by an event that came alone, it keeps what comes behind it, and the end; resumed inside the callback it
        goes on.
        """
        data: list[bytes] = []
        source = self.open(b"\n", onData=lambda event: (data.append(event), source.pauseProducing()))
        for number in (b"1", b"2", b"3"):
            self.chunk(b"data: %b\n\n" % number)
            self.assertEqual(data[-1], number)
            source.resumeProducing()
            self.reactor.turn()
        self.chunk(b"data: 4\n\ndata: 5\n\n")
        self.assertEqual(data[-1], b"4")
        source.resumeProducing()
        self.assertEqual(data[-1], b"5")
        source.close()
        self.chunk(b"data: 6\n\n")
        self.assertEqual(data[-1], b"5")

    def test_deep(self) -> None:
        """
        Who pauses and resumes at each of very many events goes no deeper.
        """
        source = self.begin(
            onEvent=lambda event: (self.events.append(event), source.pauseProducing(), source.resumeProducing())
        )
        self.respond()
        self.chunk(b"data\n\n" * 10_000)
        self.assertEqual(len(self.events), 10_000)

    def test_closeWhileEventsWait(self) -> None:
        """
        Closed while events wait, it drops them, and knows which was the last
        that anybody saw.
        """
        source = self.begin(onEvent=lambda event: (self.events.append(event), source.pauseProducing()))
        self.respond()
        self.chunk(b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n")
        source.stopProducing()
        source.resumeProducing()
        self.assertEqual((self.data, source.lastEventID), (["1"], "1"))
        self.assertOver()


class EndTests(ClientTestCase):
    """How a program ends it."""

    def check(self, source: EventSource) -> None:
        """Close, twice: nothing follows, nothing is left."""
        events = list(self.events)
        source.close()
        self.assertIs(source.state, State.CLOSED)
        self.assertIsNone(self.successResultOf(self.done))
        self.assertOver()
        source.close()
        self.reactor.advance(1000)
        self.assertEqual(self.events, events)
        self.assertOver()

    def test_everywhere(self) -> None:
        """
        It can be closed at any time: before the connection is made, before
        the response, in the middle of it, and while it waits.
        """
        self.network.refusals = [None]
        self.check(self.begin())
        self.check(self.begin(firstTimeout=5))
        self.check(self.open(b"data: x\n\ndata: torn", silence=5))
        source = self.open(b"data: x\n\n")
        self.finish()
        self.check(source)

    def test_serverThatTakesNothing(self) -> None:
        """
        Nor does the end wait for a server that has not even read the request.
        """
        source = self.make(method=b"POST", body=b"x" * 1_000_000)
        self.done = source.start()
        self.wires[-1].stall()
        self.respond()
        self.chunk(b"data: x\n\n")
        self.assertEqual(self.data, ["x"])
        self.check(source)

    def test_inCallbacks(self) -> None:
        """
        Closed in a callback, not one event follows of those that came
        together (eventsource-close).
        """
        for name in ("onOpen", "onEvent", "onRetry"):
            self.events.clear()
            source = self.make()
            before = getattr(source, "_" + name)
            setattr(
                source, "_" + name, lambda *arguments, before=before: (before(*arguments), self.sources[-1].close())
            )
            self.done = source.start()
            self.respond(body=b"data: 1\n\ndata: 2\n\n")
            self.assertEqual(len(self.events), {"onOpen": 0, "onEvent": 1, "onRetry": 2}[name])
            self.check(source)

    def test_asItOpens(self) -> None:
        """
        Closed as it opens, or broken, a response that would go on for ever is
        let go.
        """
        source = self.begin(onOpen=lambda response: self.sources[-1].close())
        self.respond()
        self.check(source)
        self.begin(onOpen=lambda response: 1 / 0)
        self.respond()
        self.assertFails(ZeroDivisionError)

    def test_broken(self) -> None:
        """
        What a callback raises ends it and comes out of L{EventSource.start}.
        """

        def broken(*arguments: object) -> None:
            raise ZeroDivisionError

        for name in ("onOpen", "onEvent", "onRetry"):
            self.begin(**{name: broken})
            self.respond(body=b"data: 1\n\ndata: 2\n\n")
            self.assertFails(ZeroDivisionError)

    def test_cancelled(self) -> None:
        """
        Cancelling what L{EventSource.start} returned closes it.
        """
        self.open(b"data: x\n\n")
        self.done.cancel()
        self.assertFails(CancelledError)

    def test_once(self) -> None:
        """
        It is started once, and not after its end.
        """
        source = self.begin()
        self.assertRaises(NoTransition, source.start)
        source.close()
        self.assertRaises(NoTransition, source.start)
        unused = self.make()
        unused.close()
        self.assertRaises(NoTransition, unused.start)
        self.assertEqual(len(self.wires), 1)

    def test_mistake(self) -> None:
        """
        What is no failure of the network, but the program's own mistake, is
        not tried again.
        """
        self.network.refusals = [ZeroDivisionError()]
        self.begin()
        self.assertFails(ZeroDivisionError)
        self.begin(method=b"not a method")
        self.assertFails(ValueError)

    def test_connectionIsReused(self) -> None:
        """
        With an agent that keeps connections, one whose response has ended
        serves the next request; closing in the middle drops it.
        """
        pool = HTTPConnectionPool(self.reactor)
        agent = Agent.usingEndpointFactory(self.reactor, self.network, pool)
        self.open(b"data: 1\n\n", agent=agent, reconnect=False)
        self.finish()
        self.successResultOf(self.done)
        source = self.open(b"data: 2\n\n", agent=agent)
        self.assertEqual((self.data, len(self.wires)), (["1", "2"], 1))
        source.close()
        self.assertOver()


class LoopTests(ClientTestCase):
    """C{async for}."""

    def loop(self, source: EventSource, until: int | None = None) -> Deferred[None]:
        """Loop over the events, up to so many."""

        async def take() -> None:
            async for event in source:
                self.events.append(event)
                if len(self.events) == until:
                    break

        return Deferred.fromCoroutine(take())

    def begin(self, url: str = URL, **keywords: Any) -> EventSource:
        """Make one and loop over it."""
        until = keywords.pop("until", None)
        source = self.make(url, onEvent=None, **keywords)
        self.done = self.loop(source, until)
        self.reactor.turn()
        return source

    def test_events(self) -> None:
        """
        The events come, over lost connections, and the loop ends with them.
        """
        self.begin()
        self.respond()
        self.chunk(b"data: 1\n\n")
        self.assertEqual(self.data, ["1"])
        self.chunk(b"data: 2\n\ndata: 3\n\n")
        self.finish()
        self.reactor.advance(3)
        self.respond(body=b"data: 4\n\n")
        self.reactor.advance(3)
        self.respond("204 No Content", {}, b"")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.data, ["1", "2", "3", "4"])
        self.assertOver()

    def test_error(self) -> None:
        """
        What goes wrong is raised in the loop, after the events before it.
        """
        self.begin(reconnect=False)
        self.respond()
        self.chunk(b"data: 1\n\ndata: 2\n\n")
        self.wires[-1].close()
        self.assertFails(ResponseTruncated)
        self.assertEqual(self.data, ["1", "2"])
        self.begin()
        self.respond("404 Not Found", {}, b"")
        self.assertFails(EventSourceError)

    def test_left(self) -> None:
        """
        Leaving the loop closes it.
        """
        self.begin(until=2)
        self.respond()
        self.chunk(b"data: 1\n\ndata: 2\n\ndata: 3\n\n")
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.data, ["1", "2"])
        self.assertOver()

    def test_cancelled(self) -> None:
        """
        So does cancelling the coroutine that waits in it.
        """
        self.begin()
        self.respond()
        self.done.cancel()
        self.assertFails(CancelledError)

    def test_slow(self) -> None:
        """
        While the loop's body takes its time few events wait, and the rest
        stays with the network; it all comes in the end.
        """
        gate: list[Deferred[None]] = []

        async def take() -> None:
            async for event in source:
                self.events.append(event)
                gate.append(Deferred())
                await gate[-1]

        source = self.make(onEvent=None)
        self.done = Deferred.fromCoroutine(take())
        self.respond()
        for number in range(3 * LENGTH):
            self.chunk(b"data: %d\n\n" % number)
        self.assertEqual(len(self.events), 1)
        self.assertGreater(self.wires[-1].unread, LENGTH)
        while gate:
            gate.pop().callback(None)
            self.reactor.turn()
        self.assertEqual(self.data, [str(number) for number in range(3 * LENGTH)])
        self.assertEqual(self.wires[-1].unread, 0)
        self.done.cancel()
        self.failureResultOf(self.done, CancelledError)

    def test_closedElsewhere(self) -> None:
        """
        Closed from elsewhere, the loop ends, without the events that waited
        for it.
        """
        gate: Deferred[None] = Deferred()

        async def take() -> None:
            async for event in source:
                self.events.append(event)
                await gate

        source = self.make(onEvent=None)
        self.done = Deferred.fromCoroutine(take())
        self.respond()
        self.chunk(b"data: 1\n\ndata: 2\n\n")
        source.close()
        gate.callback(None)
        self.assertIsNone(self.successResultOf(self.done))
        self.assertEqual(self.data, ["1"])
        self.assertOver()

    def test_callbackToo(self) -> None:
        """
        Events go to a callback or to a loop, not to both.
        """
        source = self.make()
        self.failureResultOf(self.loop(source), RuntimeError)
        source.close()


class CommandTests(SynchronousTestCase):
    """The command line; what the command does is in tests/integration/."""

    def test_wrong(self) -> None:
        """
        A wrong command line is told in a sentence, with status 2.
        """
        for arguments, sentence in (
            ([], "required: URL"),
            (["ftp://server.test/"], "Not an absolute URL"),
            (["http://user:secret@server.test/"], "Authorization header"),
            ([URL, "--header", "nonsense"], "not of the form 'Name: value'"),
            ([URL, "--header", ": x"], "not of the form 'Name: value'"),
            ([URL, "--silence", "-1"], "not a number of seconds"),
            ([URL, "--silence", "soon"], "not a number of seconds"),
            ([URL, "--last-event-id", "1\n2"], "an ID has no CR, LF or NUL"),
        ):
            with redirect_stderr(StringIO()) as said:
                self.assertEqual(self.assertRaises(SystemExit, main, arguments).code, 2)
            self.assertIn(sentence, " ".join(said.getvalue().split()))
            self.assertNotIn("secret", said.getvalue())

    def test_terminal(self) -> None:
        """
        On a terminal, what would command it is shown as U+FFFD; elsewhere
        data are left as they are.
        """

        class Terminal(StringIO):
            def isatty(self) -> bool:
                return True

        for out, expected in ((Terminal(), "a\tb\n\ufffd[2J\ufffd\n"), (StringIO(), "a\tb\n\x1b[2J\x9b\n")):
            printer = Printer(makeParser().parse_args([URL]), out, StringIO())
            printer._print(Event("a\tb\n\x1b[2J\x9b"))
            self.assertEqual(out.getvalue(), expected)
