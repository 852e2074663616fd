"""Tests for `sseserver.client.request`: headers, URLs and redirects."""

from __future__ import annotations

from twisted.web.http_headers import Headers

from sseserver.client import ConnectTimeout, EventSource, Request, StatusError
from sseserver.client.request import MAX_REDIRECTS
from tests.client.clients import URL, ClientTestCase


class RequestTests(ClientTestCase):
    """Requests as the server sees them."""

    def test_plain(self) -> None:
        """
        A request has `Accept` and `Cache-Control` as Fetch sends them, and no last event ID while there is
        none (web-platform-tests request-accept, request-cache-control).
        """
        self.begin()
        first, headers, body = self.request()
        self.assertEqual(first, "GET /streams/answer?format=events HTTP/1.1")
        self.assertEqual(headers["host"], "server.test")
        self.assertEqual(headers["accept"], "text/event-stream")
        self.assertEqual(headers["cache-control"], "no-cache")
        self.assertEqual(headers["accept-encoding"], "identity")
        self.assertNotIn("last-event-id", headers)
        self.assertEqual(body, b"")

    def test_own(self) -> None:
        """Method, headers and body are repeated in each request, and the caller's headers stay unchanged."""
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
        The last event ID is a field of its own. A header of that name is dropped, because it would become
        wrong.
        """
        self.begin(headers=Headers({"Last-Event-ID": ["7"]}))
        self.assertNotIn("last-event-id", self.request()[1])

    def test_lastEventIDInUTF8(self) -> None:
        """An ID is sent as UTF-8 (WHATWG HTML 9.2.2)."""
        self.begin(lastEventID="…ü")
        self.assertEqual(self.request()[1]["last-event-id"].encode("latin-1").decode("utf-8"), "…ü")

    def test_repr(self) -> None:
        """The representation of a request shows no headers and no body, which may hold secrets."""
        request = Request(URL, headers=Headers({"Authorization": ["hunter2"]}), body=b"hunter2")
        self.assertIn(URL, repr(request))
        self.assertNotIn("hunter2", repr(request))

    def test_ownCacheControl(self) -> None:
        """`Cache-Control` can be replaced."""
        self.begin(headers=Headers({"Cache-Control": ["no-store"]}))
        self.assertEqual(self.request()[1]["cache-control"], "no-store")

    def test_refused(self) -> None:
        """
        A request is refused at once if its URL is relative, malformed, of another scheme or with user
        information, or if its ID would break the header.
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
            self.assertRaises(ValueError, Request, url)
        self.assertRaises(ValueError, Request, URL, lastEventID="1\r\nX: 2")

    def test_hosts(self) -> None:
        """IP addresses and host names with underscores are accepted, and the path is sent unchanged."""
        for url, host, path in (
            ("http://[::1]:8000/x?a=b%2Fc&[d]", "[::1]:8000", "/x?a=b%2Fc&[d]"),
            ("http://my_model:11434", "my_model:11434", "/"),
            ("HTTP://127.0.0.1/a//b/../%zz", "127.0.0.1", "/a//b/../%zz"),
        ):
            self.begin(url)
            first, headers, _ = self.request()
            self.assertEqual((headers["host"], first), (host, f"GET {path} HTTP/1.1"))

    def test_international(self) -> None:
        """A URL outside ASCII is sent in its ASCII form."""
        self.begin("http://bücher.test/straße")
        first, headers, _ = self.request()
        self.assertEqual((first, headers["host"]), ("GET /stra%C3%9Fe HTTP/1.1", "xn--bcher-kva.test"))


class RedirectTests(ClientTestCase):
    """Redirects."""

    def redirect(self, status: int, location: str) -> None:
        """Answer with a redirect."""
        self.respond(f"{status} Elsewhere", {"Location": location}, b"It is elsewhere.")

    def test_followed(self) -> None:
        """
        Each redirect within the origin is followed (request-redirect). The next request goes to the target of
        a permanent redirect, otherwise to the first URL.
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
        """A permanent redirect behind a temporary one is not remembered."""
        self.begin("http://server.test/1")
        self.redirect(308, "/2")
        self.redirect(307, "/3")
        self.redirect(308, "/4")
        self.respond(body=b"data: x\n\n")
        self.reactor.advance(3)
        self.assertEqual(self.request()[0].split()[1], "/2")

    def test_otherOrigin(self) -> None:
        """A redirect to another host, port or scheme is not followed, because the headers may hold a secret."""
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
        """A loop of redirects ends after `MAX_REDIRECTS`."""
        self.begin()
        for _ in range(MAX_REDIRECTS + 1):
            self.redirect(302, URL)
        self.assertEqual(self.assertFails(StatusError).status, 302)
        self.assertEqual(len(self.wires), MAX_REDIRECTS + 1)

    def test_otherMethods(self) -> None:
        """A redirected POST is not repeated."""
        self.begin(method=b"POST", body=b"x")
        self.redirect(307, "/new")
        self.assertFails(StatusError)

    def test_timeIsOne(self) -> None:
        """All redirects of one request share its time limit."""
        self.begin(connectTimeout=10, retry=None)
        self.reactor.advance(6)
        self.redirect(302, "/a")
        self.reactor.advance(4)
        self.assertFails(ConnectTimeout)
