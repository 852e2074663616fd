"""
Tests of `sseserver.web.accept`.
"""

from __future__ import annotations

from sseserver.web.accept import EVENT_STREAM, HTML, JSON, PLAIN_TEXT, negotiate
from tests.http import CHROME, EVENTSOURCE, FIREFOX, SAFARI, Response
from tests.web.cases import HTTPTestCase

#: Offers of the root, and of a stream; the first is for clients without a preference.
ROOT = (HTML, EVENT_STREAM)

STREAM = (EVENT_STREAM, JSON, PLAIN_TEXT, HTML)


class NegotiationTests(HTTPTestCase):
    """Media types chosen for an `Accept` header (RFC 9110 section 12.5.1)."""

    def wanted(self, accept: str | None, offers: tuple[str, ...]) -> str:
        """Return the media type chosen, or `406`."""
        result = self.read(lambda request: negotiate(request, offers), accept=accept)
        return str(result.status) if isinstance(result, Response) else result

    def assertChosen(self, offers: tuple[str, ...], table: list[tuple[str | None, str]]) -> None:
        """Check a table of headers and chosen media types."""
        self.assertEqual([(accept, self.wanted(accept, offers)) for accept, _ in table], table)

    def test_clients(self) -> None:
        """
        At the root a browser gets the page, an EventSource a stream, and a client without a
        preference the page.
        """
        self.assertChosen(
            ROOT,
            [
                (CHROME, HTML),
                (FIREFOX, HTML),
                (SAFARI, HTML),
                (EVENTSOURCE, EVENT_STREAM),
                ("*/*", HTML),
                (None, HTML),
                ("", HTML),
                ("  ", HTML),
                ("text/event-stream, */*", EVENT_STREAM),
                ("application/json", "406"),
            ],
        )

    def test_clientsOfAStream(self) -> None:
        """At a stream a browser gets the page, and a client without a preference the events."""
        self.assertChosen(
            STREAM,
            [
                (CHROME, HTML),
                (FIREFOX, HTML),
                (SAFARI, HTML),
                (EVENTSOURCE, EVENT_STREAM),
                ("*/*", EVENT_STREAM),
                (None, EVENT_STREAM),
                ("application/json", JSON),
                ("application/json, text/plain, */*", JSON),
                ("text/plain", PLAIN_TEXT),
                ("text/*", EVENT_STREAM),
                ("application/*", JSON),
                ("image/png", "406"),
            ],
        )

    def test_weights(self) -> None:
        """
        The highest weight wins; among equals the most specific range, then the first offer. A
        weight of 0 excludes.
        """
        self.assertChosen(
            STREAM,
            [
                ("text/event-stream;q=0.5, application/json;q=0.6", JSON),
                ("text/event-stream;q=0.6, application/json;q=0.5", EVENT_STREAM),
                ("text/html;q=0.5, text/plain;q=0.5", PLAIN_TEXT),
                ("*/*, application/json", JSON),
                ("text/*, text/plain", PLAIN_TEXT),
                ("text/*;q=0.5, */*", JSON),
                ("*/*;q=0.1, text/html;q=0.2", HTML),
                ("text/event-stream;q=0, */*", JSON),
                ("text/*;q=0, */*;q=0.3", JSON),
                ("text/event-stream;q=0", "406"),
                ("*/*;q=0", "406"),
                ("*/*;q=0, text/html", HTML),
                ("text/event-stream;q=0.001, text/html;q=0.002", HTML),
                ("text/event-stream;q=0.000, text/html;q=0.", "406"),
                ("text/event-stream;q=1.000, text/html;q=0.999", EVENT_STREAM),
            ],
        )

    def test_writing(self) -> None:
        """
        Names and `q` are case-insensitive and may have white space around them. Parameters of a
        type are ignored. Several headers form one list.
        """
        self.assertChosen(
            STREAM,
            [
                ("Text/HTML", HTML),
                ("text/html ; Q=0.3 ,application/json;q=0.2", HTML),
                ("text/html;level=1;q=0.1, application/json;q=0.2", JSON),
                ("text/html;charset=utf-8", HTML),
                ("application/json,,text/html;q=0.1", JSON),
                (",", "406"),
            ],
        )
        self.resource.answer = lambda request: negotiate(request, STREAM).encode()
        wire = self.connect(self.factory)
        wire.send(b"GET /it HTTP/1.1\r\nHost: h\r\nAccept: text/html;q=0.1\r\nAccept: application/json\r\n\r\n")
        wire.methods.append("GET")
        self.assertEqual(wire.response.body, JSON.encode())

    def test_malformed(self) -> None:
        """
        Malformed weights and ranges are ignored; the other ranges count. None of them causes a
        server error.
        """
        self.assertChosen(
            STREAM,
            [
                ("text/event-stream;q=2, application/json;q=0.1", JSON),
                ("text/event-stream;q=, application/json", JSON),
                ("text/event-stream;q=abc, application/json", JSON),
                ("text/event-stream;q=-1, application/json", JSON),
                ("text/event-stream;q=0.1234, application/json;q=0.1", JSON),
                ("text/event-stream;q=1.5, application/json;q=0.1", JSON),
                ("text/event-stream;q=nan, application/json;q=0.1", JSON),
                ("text/event-stream;q=1e0, application/json;q=0.1", JSON),
                ("text/event-stream;q=\u00bd, application/json;q=0.1", JSON),
                (";q=1, application/json", JSON),
                ("text/, /html, html, ***, application/json", JSON),
                ("\xff\xfe, application/json", JSON),
                (";" * 1000 + "," * 1000 + "application/json", JSON),
            ],
        )

    def test_repeatedRange(self) -> None:
        """A range that occurs twice is no error."""
        self.assertIn(self.wanted("text/html;q=0.1, text/html;q=0.9, application/json;q=0.5", STREAM), (HTML, JSON))

    def test_vary(self) -> None:
        """
        Every answer that depends on the `Accept` header has `Vary: Accept`, the 406 too: caches
        must not mix them up.
        """
        self.resource.answer = lambda request: negotiate(request, ROOT).encode()
        for accept in (None, CHROME, EVENTSOURCE, "image/png"):
            self.assertEqual(self.ask(accept=accept).headers["vary"], "Accept")

    def test_notAcceptable(self) -> None:
        """A refusal is 406, and its message lists the media types offered."""
        self.resource.answer = lambda request: negotiate(request, STREAM).encode()
        response = self.ask(accept="image/png")
        self.assertEqual((response.status, response.error["code"]), (406, "not_acceptable"))
        for offer in STREAM:
            self.assertIn(offer, response.error["message"])
