"""
Tests of `sseserver.web.access.cors`, with real requests to a whole server.
"""

from __future__ import annotations

from sseserver.web.accept import JSON
from sseserver.web.access.cors import SharedOrigins
from sseserver.web.deadlines import BODY_TIMEOUT, HEAD_TIMEOUT
from tests.http import EVENTSOURCE, Response
from tests.web.access.test_gate import APP, CHANGES, EVIL, GateTestCase


class SharedTestCase(GateTestCase):
    """A server that the pages of two other origins may use."""

    def setUp(self) -> None:
        super().setUp()
        self.open(corsOrigins=[APP, "https://app.example"])

    def assertShared(self, response: Response, origin: str | None, credentials: str | None) -> None:
        """Check which page may read an answer."""
        self.assertEqual(response.headers.get("access-control-allow-origin"), origin)
        self.assertEqual(response.headers.get("access-control-allow-credentials"), credentials)
        self.assertEqual("access-control-expose-headers" in response.headers, origin is not None)


class AnswerTests(SharedTestCase):
    """Answers to pages of other origins."""

    def test_listed(self) -> None:
        """A page of a listed origin may read every answer, errors too, and the headers that matter."""
        # The answers of the other ones come with the text.
        changes = [CHANGES[0], *CHANGES[3:]]
        answers = [self.send(*change, Origin=APP, Sec_Fetch_Site="same-site") for change in changes]
        paths = ("/streams", "/nothing", "/streams/none", "/assets/app.js")
        answers += [self.send("GET", path, Origin=APP) for path in paths]
        for response in answers:
            self.assertNotEqual(response.status, 403)
            self.assertShared(response, APP, "true")
            self.assertIn("Origin", response.headers["vary"].split(", "))
            exposed = response.headers["access-control-expose-headers"].lower().split(", ")
            self.assertLessEqual({"content-location", "location", "retry-after", "stream-gap"}, set(exposed))
        for run in self.source.runs:
            run.done.callback(None)

    def test_eventStreams(self) -> None:
        """Event streams can be read as well; their answers depend on both headers."""
        for path in ("/", "/streams/news"):
            response = self.connect(self.factory).ask(path, EVENTSOURCE, headers={"Origin": APP})
            self.assertEqual(response.status, 200)
            self.assertShared(response, APP, "true")
            self.assertEqual(set(response.headers["vary"].split(", ")), {"Origin", "Accept"})

    def test_earlyRefusals(self) -> None:
        """A body that is refused before it arrives is answered so that the page can read why."""
        for origin in (APP, EVIL, None):
            response = self.send("POST", "/streams", None, Origin=origin, Content_Length="99999999999")
            self.assertEqual((response.status, response.error["code"]), (413, "body_too_large"))
            self.assertShared(response, APP if origin == APP else None, "true" if origin == APP else None)
            self.assertEqual(response.headers["vary"], "Origin")
        self.open()
        self.assertNotIn("vary", self.send("POST", "/streams", None, Content_Length="99999999999").headers)

    def test_incomplete(self) -> None:
        """An answer before the request is complete can be read if the origin was; not if the target is too long."""
        head = b"POST /streams HTTP/1.1\r\nHost: localhost\r\nOrigin: %b\r\n" % APP.encode()
        for rest, seconds, status in (
            (b"Expect: x\r\n\r\n", 0, 417),
            (b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", 0, 415),
            (b"Transfer-Encoding: identity\r\n\r\n", 0, 400),
            (b"X: y\r\nX: " + b"x" * 20_000, 0, 431),
            (b"X: y\r\nX: y\r\n", HEAD_TIMEOUT + 1, 408),
            (b"Content-Length: 2\r\n\r\nx", BODY_TIMEOUT + 1, 408),
        ):
            wire = self.connect(self.factory)
            wire.methods.append("POST")
            wire.send(head + rest)
            self.reactor.run(seconds, 1)
            self.assertEqual(wire.response.status, status)
            self.assertShared(wire.response, APP, "true")
        wire = self.connect(self.factory)
        wire.methods.append("GET")
        wire.send(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\nOrigin: %b\r\n\r\n" % APP.encode())
        self.assertEqual(wire.response.status, 414)
        self.assertShared(wire.response, None, None)

    def test_others(self) -> None:
        """No other origin is named, and none is if there is no origin."""
        for fields in ({"Origin": EVIL}, {"Origin": "null"}, {"Origin": ""}, {"Origin": APP + ".evil.example"}, {}):
            response = self.send("GET", "/streams", **fields)
            self.assertEqual(response.status, 200)
            self.assertShared(response, None, None)
            self.assertEqual(response.headers["vary"], "Origin")
        self.assertRefused(self.send("POST", "/streams", b"", Origin=EVIL), 403, "foreign_origin")

    def test_any(self) -> None:
        """With `*` every page may use the server, and read answers to requests without cookies."""
        self.open(corsOrigins=["*", APP])
        for origin in (EVIL, "null"):
            response = self.send("POST", "/streams/none", b"", Origin=origin, Sec_Fetch_Site="cross-site")
            self.assertEqual(response.status, 400)
            self.assertShared(response, "*", None)
            response = self.send("POST", "/streams", b"", Origin=origin, Cookie="session=1")
            self.assertRefused(response, 403, "foreign_origin")
        response = self.send("POST", "/streams/none", b"", Origin=APP, Cookie="session=1")
        self.assertEqual(response.status, 400)
        self.assertShared(response, APP, "true")
        self.assertEqual(self.send("POST", "/streams", b"", Sec_Fetch_Site="cross-site").status, 403)

    def test_none(self) -> None:
        """Without listed origins no answer has a header of this kind."""
        self.open()
        for path in ("/streams", "/nothing"):
            response = self.send("GET", path, Origin=APP)
            self.assertShared(response, None, None)
            self.assertNotIn("vary", response.headers)


class PreflightTests(SharedTestCase):
    """Requests that ask for the permission of another one."""

    def test_F86_preflight(self) -> None:
        """F86: a preflight names the methods and header fields of all APIs, at every URL, and needs no more."""
        for path in ("/", "/streams", "/streams/news/cancel", "/v1/chat/completions", "/api/chat", "/nothing"):
            response = self.ask(path, method="OPTIONS", headers={"Origin": APP, **ASKED})
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertShared(response, APP, "true")
            allowed = response.headers["access-control-allow-methods"].split(", ")
            self.assertEqual(set(allowed), {"GET", "HEAD", "POST", "PUT", "DELETE"})
            fields = response.headers["access-control-allow-headers"].split(", ")
            self.assertLessEqual(set(ASKED["Access-Control-Request-Headers"].split(",")), set(fields))
            self.assertIn("last-event-id", fields)
            self.assertEqual(response.headers["access-control-max-age"], "7200")

    def test_fields(self) -> None:
        """Fields of proxies are not allowed, nor what is no field at all; and the answer is bounded."""
        asked = [
            "x-forwarded-for",
            "X-Real-IP",
            "cookie",
            "host",
            "x-a b",
            "x-\xe4",
            "",
            *(f"x-{n}" for n in range(999)),
        ]
        headers = {"Origin": APP, **ASKED, "Access-Control-Request-Headers": ",".join(asked)}
        response = self.ask("/", method="OPTIONS", headers=headers)
        fields = response.headers["access-control-allow-headers"].split(", ")
        self.assertFalse({"x-forwarded-for", "x-real-ip", "cookie", "host"}.intersection(fields))
        self.assertTrue(all(field.replace("-", "").isalnum() and field.isascii() for field in fields))
        self.assertLess(len(fields), 100)

    def test_refused(self) -> None:
        """A page of another origin is told so, and an OPTIONS that is no preflight goes to its resource."""
        response = self.ask("/streams", JSON, "OPTIONS", headers={"Origin": EVIL, **ASKED})
        self.assertRefused(response, 403, "foreign_origin")
        self.assertShared(response, None, None)
        self.assertEqual(self.ask("/streams", JSON, "OPTIONS", headers={"Origin": APP}).status, 405)


#: Fields of a preflight of OpenAI's client.
ASKED = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,openai-organization,x-stainless-os,"
    "x-api-key,anthropic-version,hx-current-url,datastar-request",
}


class ListTests(GateTestCase):
    """The list of origins."""

    def test_malformed(self) -> None:
        """An origin that browsers would send in another form, or that any page can have, cannot be listed."""
        for origin, message in (
            ("null", "'null' is the origin of any page that hides its own; it cannot be listed"),
            ("http://localhost:5173/", "'http://localhost:5173/' is not an origin, such as https://example.com"),
            ("localhost:5173", "is not an origin"),
            ("https://example.com:443", "browsers send this origin as https://example.com"),
            ("HTTPS://Example.com", "browsers send this origin as https://example.com"),
            ("https://*.example.com", "'*.example.com' is not a host name"),
        ):
            with self.assertRaises(ValueError) as caught:
                SharedOrigins([origin])
            self.assertIn(message, str(caught.exception))
