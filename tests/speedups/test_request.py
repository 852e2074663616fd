"""
Tests of `sseserver.speedups.request`: its probes, and requests that go the short way. `test_channel` compares whole
exchanges with those of Twisted.
"""

from __future__ import annotations

import re
from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.web import server
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory, Site

from sseserver.speedups import request
from sseserver.speedups.probes import ProbeTransport
from sseserver.speedups.request import FastRequest, fillsRequests, servesRequests
from tests.fakes import logged
from tests.speedups.cases import FastTestCase, look
from tests.speedups.mirror import GOOD, Mirror


class ProbeTests(FastTestCase):
    """The probes of requests."""

    def test_pass(self) -> None:
        """With the Twisted that is installed the probes pass: see `tests.speedups.test_privates`."""
        self.assertTrue(fillsRequests())
        with logged() as events:
            self.assertTrue(look(servesRequests))
        self.assertEqual(events, [])
        self.assertIs(FastRequest.isShort, True)

    def test_otherAttributes(self) -> None:
        """
        A request whose constructor sets another attribute, or another value, fails the probe; its constructor serves.
        """
        construct = Request.__init__
        for name, value in (("anotherName", None), ("startedWriting", 2)):

            def change(receiver: Any, *arguments: Any, name: str = name, value: Any = value, **keywords: Any) -> None:
                construct(receiver, *arguments, **keywords)
                setattr(receiver, name, value)

            self.patch(Request, "__init__", change)
            self.assertFalse(look(fillsRequests), name)
            with mock.patch.object(request, "fillsRequests", lambda: False):
                made = FastRequest(self.makeChannel(), False)
            self.assertEqual(getattr(made, name), value)

    def test_otherAnswers(self) -> None:
        """The short way is not taken where Twisted answers differently: then its own way serves."""
        process = server.Request.process

        def change(changed: Any) -> None:
            changed.setHeader(b"X-New", b"1")
            process(changed)

        self.patch(server.Request, "process", change)
        self.assertFalse(look(servesRequests))
        self.patch(FastRequest, "isShort", False)
        wire = self.connect(self.site(Mirror()))
        wire.send(GOOD["plain"])
        self.assertIn(b"\r\nX-New: 1\r\n", wire.received)
        self.assertTrue(wire.received.endswith(b"\r\n\r\nwhole"))

    def makeChannel(self) -> Any:
        """Make the channel of a site."""
        made: Any = HTTPChannel()
        made.site = Site(Resource(), reactor=Clock(), parsePOSTFormSubmission=False)
        made.makeConnection(ProbeTransport())
        return made


class _Broken(Resource):
    """Fails."""

    isLeaf = True

    def render(self, request: Any) -> bytes:
        raise RuntimeError("planted")


class ShortTests(FastTestCase):
    """Requests that go the short way."""

    def ask(self, resource: Resource, head: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") -> bytes:
        """Send a request; return the answer."""
        wire = self.connect(self.site(resource))
        wire.send(head)
        return wire.received

    def test_date(self) -> None:
        """The date is that of the second, and there is no `Server`."""
        received = self.ask(Mirror())
        self.assertRegex(received, rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n")
        self.assertNotIn(b"Server", received)

    def test_broken(self) -> None:
        """An exception of a resource is answered by Twisted, and logged."""
        self.assertTrue(self.ask(_Broken()).startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_encoded(self) -> None:
        """A resource can have an encoder: the answer is written through it."""
        wrapped = EncodingResourceWrapper(Mirror(), [GzipEncoderFactory()])
        received = self.ask(wrapped, b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        self.assertIn(b"\r\nContent-Encoding: gzip\r\n", received)
        self.assertNotIn(b"whole", received)

    def test_segments(self) -> None:
        """Segments of the path are decoded as bytes, empty ones among them."""
        mirror = Mirror()
        self.ask(mirror, b"GET /a%2Fb//%C3%B6/ HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertIn([b"a/b", b"", b"\xc3\xb6", b""], mirror.seen[0][2])  # type: ignore[index]

    def test_fieldsOfOneName(self) -> None:
        """Fields of one name stay in their order, however they are written, beside fields that are checked."""
        mirror = Mirror()
        head = b"ACCEPT: 1\r\nX-Other: 2\r\nExpect: 100-continue\r\nAccept: 3\r\naccept:\t4 \r\nContent-Length: 0\r\n"
        self.ask(mirror, b"GET / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n")
        fields = dict(mirror.seen[0][1])  # type: ignore[index]
        self.assertEqual((fields[b"Accept"], fields[b"X-Other"]), ([b"1", b"3", b"4"], [b"2"]))

    def test_closes(self) -> None:
        """`Connection: close` in any form ends the connection, and is answered; any other kept one is not."""
        for value, closes in ((b"close", True), (b"Close, x", False), (b"x CLOSE", True), (b"keep-alive", False)):
            received = self.ask(Mirror(), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + value + b"\r\n\r\n")
            self.assertEqual(bool(re.search(rb"\r\nConnection: close\r\n", received)), closes, value)


class HostTests(FastTestCase):
    """`FastRequest.host`."""

    def test_known(self) -> None:
        """It is the address of the connection, until the response is over, and can be set as Twisted's."""
        mirror = Mirror()
        wire = self.connect(self.site(mirror))
        wire.begin()
        made: Any = FastRequest(wire.transport.protocol, False)
        self.assertEqual(made.host, wire.transport.getHost())
        made.host = None
        made.setHost(b"example.com", 80)
        self.assertEqual(made.host.port, 80)
        late: Any = FastRequest(wire.transport.protocol, False)
        late.channel = None
        self.assertIsNone(late.host)
