"""
Tests of `sseserver.speedups.direct`: a POST is answered the same with a request object and without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import combinedLogFormatter
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from sseserver.errors import StoreUnavailable
from sseserver.speedups import direct
from sseserver.speedups.direct import AnswerForm, DirectHead, readHead
from sseserver.web.answers import answerEncoded, finishAnswer
from sseserver.web.site import StreamSite
from tests.speedups.cases import FastTestCase


def makePost(path: str = "/s/a", body: bytes = b"{}", *fields: str, version: str = "1.1") -> bytes:
    """Make a POST with these header fields."""
    lines = [f"POST {path} HTTP/{version}", "Host: a", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


class Answering(Resource):
    """
    A root that answers each POST with a number, at once or later, with a request object or without.

    Attributes:
        direct: Answers directly: itself.
        asked: Number of heads that it was asked to admit.
        principalName: See `DirectAnswers`.
        ways: How each request came: `direct` or `usual`.
        later: Answers that are not given yet; `None` to answer at once.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.direct: Answering | None = self
        self.asked = 0
        self.principalName = ""
        self.ways: list[str] = []
        self.later: list[Deferred[bytes]] | None = None

    def admits(self, fields: Mapping[bytes, bytes]) -> bool:
        """Admit requests for any host but `elsewhere`."""
        self.asked += 1
        return fields[b"host"] != b"elsewhere"

    def respond(self, head: DirectHead, key: str, body: bytes, peer: Any) -> bytes | Deferred[bytes] | None:
        """Answer without a request object; not the path `/s/usual`."""
        path = head.path
        # The credential itself.
        self.principalName = head.fields.get(b"authorization", b"").decode("ascii")
        if path == b"/s/usual":
            return None
        self.ways.append("direct")
        if path == b"/s/refused":
            return fail(StoreUnavailable("Full."))
        fields = path, head.contentType.encode("ascii"), key.encode("ascii"), body
        answer = b'["%b", "%b", "%b", "%b"]' % fields
        if self.later is None:
            # Both are allowed.
            return answer if path == b"/s/a" else succeed(answer)
        self.later.append(Deferred())
        return self.later[-1].addCallback(lambda _: answer)

    def render(self, request: Request) -> int:
        """Answer with a request object."""
        self.ways.append("usual")
        contentType, key = (request.getHeader(name) or b"" for name in (b"content-type", b"idempotency-key"))
        assert request.content is not None
        answer = b'["%b", "%b", "%b", "%b"]' % (request.path, contentType, key, request.content.read())
        finishAnswer(request, answerEncoded(request, answer))
        return NOT_DONE_YET


class DirectTestCase(FastTestCase):
    """A site whose root answers directly."""

    def setUp(self) -> None:
        super().setUp()
        self.root = Answering()
        self.factory: Any = self.site(self.root)

    def receive(self, *pieces: bytes, factory: Any = None) -> bytes:
        """Send pieces on a connection of its own; return all that came, with a fixed date."""
        wire = self.connect(factory or self.factory)
        for piece in pieces:
            if not wire.closed:
                wire.send(piece)
        return re.sub(rb"Date: [^\r]*", b"Date:", wire.received)

    def receiveUsual(self, *pieces: bytes) -> bytes:
        """Do the same on a plain site."""
        return self.receive(*pieces, factory=StreamSite(Answering(), reactor=self.reactor, plain=True))


class SameTests(DirectTestCase):
    """Requests that are answered directly, and requests that are not."""

    def test_same(self) -> None:
        """A direct answer has the bytes of a usual one, on the same connection again and again."""
        for post in (
            makePost(),
            makePost("/streams/a-b_c.~", b"x" * 9000, "Content-Type: application/json; charset=utf-8"),
            makePost("/a/b", b"1", "accept:*/*", "USER-AGENT:\t me ", "Connection: Keep-Alive", "Content-Type: a"),
            makePost("/s/a", b"\xff\0\r\n\r\n", "Accept-Encoding: gzip, deflate", "Referer: \xe4"),
            makePost("/s/a", b"{}", "Idempotency-Key: k", "Accept: b"),
            makePost("/s/b", b"{}", "idempotency-key:\t a-1 "),
        ):
            self.root.ways.clear()
            whole = self.receive(post, post, post)
            self.assertEqual(self.root.ways, ["direct"] * 3, post)
            self.assertEqual(whole, self.receiveUsual(post, post, post))

    def test_others(self) -> None:
        """Every other request goes the usual way, and so does one that is refused."""
        for post in (
            b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /s/a HTTP/1.1\r\nHost: a\r\n\r\n",
            makePost("/s/usual"),
            makePost("/s/a?b"),
            makePost("/s/%61"),
            makePost("/a"),
            makePost("/s/a/"),
            makePost("//s/a"),
            makePost("*"),
            makePost("/s/a", b""),
            makePost("/s/a", b"{}", version="1.0"),
            makePost("/s/a", b"{}", "Connection: close"),
            makePost("/s/a", b"{}", "Stream-Closed: true"),
            makePost("/s/a", b"{}", "Idempotency-Key: a", "Idempotency-Key: b"),
            makePost("/s/a", b"{}", "Idempotency-Key: a b"),
            makePost("/s/a", b"{}", "Idempotency-Key:"),
            makePost("/s/a", b"{}", "IDEMPOTENCY-KEY: a"),
            makePost("/s/a", b"{}", f"Idempotency-Key: {'a' * 256}"),
            makePost("/s/a", b"{}", "Cookie: a=b"),
            makePost("/s/a", b"{}", "Expect: 100-continue"),
            makePost("/s/a", b"{}", "Accept: a", "Accept: b"),
            makePost("/s/a", b"{}", "Host: b"),
            makePost("/s/a", b"{}", "Content-Length: 2"),
            makePost("/s/a", b"{}", "User-Agent: a", " b"),
            makePost("/s/a", b"{}", "User-Agent : a"),
            makePost("/s/a", b"{}", "User-Agent: a\0"),
            makePost("/s/a", b"{}", f"User-Agent: {'a' * 2048}"),
            makePost("/s/a", b"{}").replace(b": 2", b": 02"),
            makePost("/s/a", b"{}").replace(b": 2", b": +2"),
            makePost("/s/a", b"{}", "Transfer-Encoding: chunked"),
            b"POST /s/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            makePost() * 2,
            makePost() + b"\r\n",
        ):
            self.root.ways.clear()
            came = self.receive(post)
            self.assertNotIn("direct", self.root.ways, post)
            self.assertEqual(came, self.receiveUsual(post), post)
        self.root.ways.clear()
        self.assertEqual(self.receive(makePost("/s/refused")), self.receiveUsual(makePost("/s/refused")))
        self.assertEqual(self.root.ways, ["direct", "usual"])

    def test_cutAnywhere(self) -> None:
        """A POST that arrives in two pieces goes the usual way; the next one does not."""
        post = makePost("/s/a", b"{}", "Content-Type: application/json")
        whole = self.receiveUsual(post, post)
        for place in range(1, len(post)):
            self.root.ways.clear()
            self.assertEqual(self.receive(post[:place], post[place:], post), whole)
            self.assertEqual(self.root.ways, ["usual", "direct"])

    def test_tooLarge(self) -> None:
        """A body over the limit of the site is refused as usual."""
        site = StreamSite(self.root, reactor=self.reactor, plain=False, maxBody=9)
        self.assertIn(b"413 Content Too Large", self.receive(makePost("/s/a", b"x" * 10), factory=site))
        self.assertEqual(self.root.ways, [])

    def test_whoIsAsked(self) -> None:
        """The root of the site is asked; one without direct answers, and a plain site, get request objects."""
        site = StreamSite(self.root, reactor=self.reactor, plain=False)
        guarded = Answering()
        guarded.direct = None
        site.resource = guarded
        self.receive(makePost(), factory=site)
        self.assertEqual((self.root.ways, guarded.ways), ([], ["usual"]))
        self.receive(makePost(), factory=StreamSite(self.root, reactor=self.reactor, plain=True))
        self.assertEqual(self.root.ways, ["usual"])

    def test_changedTwisted(self) -> None:
        """With a Twisted whose answers have another form all requests go the usual way."""
        self.assertRaises(ValueError, AnswerForm, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def test_date(self) -> None:
        """Each answer has the date of its second."""
        wire = self.connect(self.factory)
        for second in (0.5, 0.9, 1.2, 1.3):
            with mock.patch.object(direct, "time", lambda second=second: second):
                wire.send(makePost())
        dates = re.findall(rb"Date: Thu, 01 Jan 1970 00:00:0(\d) GMT\r", wire.received)
        self.assertEqual(dates, [b"0", b"0", b"1", b"1"])

    def test_fullSocket(self) -> None:
        """Answers that the socket does not take wait in order. A channel that is full reads no further request."""
        wire = self.connect(self.factory)
        wire.stall()
        for letter in b"abc":
            wire.send(makePost("/s/a", bytes([letter]) * 65_000))
        self.assertEqual(len(self.root.ways), 2)
        wire.take()
        self.assertEqual(re.findall(rb"([abc])\1{64999}", wire.received), [b"a", b"b", b"c"])

    def test_heads(self) -> None:
        """A head is read once, and judged once, whatever the connection. What goes another way is judged, too."""
        for _ in range(3):
            self.receive(makePost("/read/once", b"12345"))
        self.assertEqual((self.root.asked, self.root.ways), (1, ["direct"] * 3))
        for _ in range(3):
            self.receive(makePost("/read/once", b"12345").replace(b"Host: a", b"Host: elsewhere"))
        self.assertEqual((self.root.asked, self.root.ways), (2, ["direct"] * 3 + ["usual"] * 3))
        for key in range(3):
            self.receive(makePost("/read/once", b"12345", f"Idempotency-Key: {key}"))
        self.assertEqual((self.root.asked, self.root.ways[6:]), (2, ["direct"] * 3))

    def test_manyHeads(self) -> None:
        """The heads that are kept are bounded, and belong to the present root."""
        self.patch(direct, "HEADS", 3)
        channel: Any = self.factory.buildProtocol(None)
        for number in range(5):
            self.receive(makePost(f"/s/{number}"))
        self.assertEqual((channel.direct.heads, self.root.asked), (3, 5))
        self.factory.resource = other = Answering()
        other.direct = Answering()
        self.receive(makePost("/s/4"))
        self.assertEqual((channel.direct.heads, other.direct.asked), (1, 1))

    def test_timeout(self) -> None:
        """A direct answer begins the idle time anew."""
        wire = self.connect(self.factory)
        for _ in range(3):
            wire.send(makePost())
            self.reactor.advance(70)
        self.assertFalse(wire.closed)
        self.assertEqual(self.root.ways, ["direct"] * 3)
        self.reactor.advance(10)
        self.assertTrue(wire.closed)


class WaitingTests(DirectTestCase):
    """Answers that are given later."""

    def setUp(self) -> None:
        super().setUp()
        self.later: list[Deferred[Any]] = []
        self.root.later = self.later

    def test_order(self) -> None:
        """Requests that come meanwhile are answered afterwards, and the connection does not time out."""
        wire = self.connect(self.factory)
        wire.send(makePost("/s/1"))
        wire.send(makePost("/s/2"))
        self.reactor.advance(200)
        self.assertEqual((self.root.ways, wire.received, wire.closed), (["direct"], b"", False))
        self.root.later = None
        self.later[0].callback(None)
        self.reactor.turn()
        self.assertEqual(re.findall(rb'\["/s/(\d)"', wire.received), [b"1", b"2"])
        usual = self.receiveUsual(makePost("/s/1"), makePost("/s/2"))
        self.assertEqual(re.sub(rb"Date: [^\r]*", b"Date:", wire.received), usual)
        self.reactor.advance(80)
        self.assertTrue(wire.closed)

    def test_refusedLater(self) -> None:
        """A request that is refused later goes the usual way, before those that came meanwhile."""
        wire = self.connect(self.factory)
        wire.send(makePost("/s/1"))
        wire.send(makePost("/s/2"))
        self.later[0].errback(StoreUnavailable("Full."))
        self.reactor.turn()
        self.assertEqual(self.root.ways, ["direct", "usual", "usual"])
        self.assertEqual(re.findall(rb'\["/s/(\d)"', wire.received), [b"1", b"2"])

    def test_gone(self) -> None:
        """Nothing is written to a client that is gone by then, and no request is made anew."""
        for outcome in (None, StoreUnavailable("Full.")):
            wire = self.connect(self.factory)
            wire.send(makePost("/s/1"))
            wire.close()
            if outcome is None:
                self.later[-1].callback(None)
            else:
                self.later[-1].errback(outcome)
            self.assertEqual((self.root.ways.pop(), wire.received), ("direct", b""))
        self.assertEqual(self.root.ways, [])


class AccessLogTests(DirectTestCase):
    """Direct answers in the access log."""

    def log(self, post: bytes, **keywords: Any) -> str:
        """Send a POST to a site with a log; return the log without times."""
        path = self.mktemp()
        site = StreamSite(self.root, reactor=self.reactor, logPath=path, **keywords)
        site.startFactory()
        self.receive(post, factory=site)
        site.stopFactory()
        return re.sub(r"\[.*?\]|\d+\.\d+ (?=complete)", "[]", Path(path).read_text("utf-8"))

    def test_same(self) -> None:
        """The line is that of a usual answer."""
        for fields in ((), ("User-Agent: a b", "Referer: http://c/"), ('User-Agent: "\\', "Referer: \xe4")):
            post = makePost("/s/a", b"{}", *fields)
            self.root.ways.clear()
            self.assertEqual(self.log(post, plain=False), self.log(post, plain=True))
            self.assertEqual(self.root.ways, ["direct", "usual"])

    def test_principal(self) -> None:
        """The line has the principal, if the request has a credential."""
        self.assertTrue(self.log(makePost(), plain=False).startswith('"127.0.0.1" - - [] '))
        post = makePost("/s/a", b"{}", "Authorization: alice")
        self.assertTrue(self.log(post, plain=False).startswith('"127.0.0.1" - alice [] '))
        self.assertEqual(self.root.ways, ["direct", "direct"])

    def test_laterPrincipal(self) -> None:
        """The line of an answer that waited has the principal of its own request, not of one that came meanwhile."""
        path = self.mktemp()
        site = StreamSite(self.root, reactor=self.reactor, logPath=path, plain=False)
        site.startFactory()
        self.root.later = []
        for name in ("alice", "bob"):
            self.receive(makePost("/s/a", b"{}", f"Authorization: {name}"), factory=site)
        for answer in self.root.later:
            answer.callback(b"")
        site.stopFactory()
        lines = Path(path).read_text("utf-8").splitlines()
        self.assertEqual([line.split()[2] for line in lines], ["alice", "bob"])

    def test_formatter(self) -> None:
        """An embedder's own lines are made of request objects."""
        self.log(makePost(), plain=False, logFormatter=combinedLogFormatter)
        self.assertEqual(self.root.ways, ["usual"])


class HeadTests(SynchronousTestCase):
    """`readHead`."""

    def test_read(self) -> None:
        """A head is read into its parts."""
        head = readHead(b"POST /a/b HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\nContent-Length: 12\r\n\r\n")
        assert head is not None
        self.assertEqual((head.path, head.contentType, head.length), (b"/a/b", "x/y", 12))
        self.assertEqual(set(head.fields), {b"host", b"content-type", b"content-length"})

    def test_foreignBytes(self) -> None:
        """A media type that is not ASCII is no media type that anybody reads."""
        head = readHead(b"POST /s/a HTTP/1.1\r\nContent-Type: \xe4\r\nContent-Length: 1\r\n\r\n")
        assert head is not None
        self.assertEqual(head.contentType, "\ufffd")
