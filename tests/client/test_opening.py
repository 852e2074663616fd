"""Tests for `sseserver.client.opening`: the decision about a response."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from sseserver.client import (
    ConnectionFailed,
    NotHTTP,
    State,
    StatusError,
    Unanswered,
    WrongContentCoding,
    WrongContentType,
)
from sseserver.client.opening import MAX_MESSAGE, readContentCoding
from sseserver.client.retry import readRetryAfter
from tests.client.clients import STREAM, ClientTestCase


class ResponseTests(ClientTestCase):
    """Responses that are event streams or not."""

    def test_statuses(self) -> None:
        """Any status other than 200 is final, and the error shows the response (request-status-error)."""
        for status in (201, 205, 206, 210, 299, 300, 304, 400, 401, 403, 404, 405, 410, 500, 501):
            self.begin()
            body = b"" if status == 304 else b'{"error": 1}'
            self.respond(f"{status} Odd", {**STREAM, "X-Reason": "odd"}, body)
            error = self.assertFails(StatusError)
            self.assertEqual((error.status, error.body), (status, body))
            self.assertEqual(error.headers.getRawHeaders("X-Reason"), ["odd"])
            self.assertEqual(str(error), f"The server answered {status}.")
        self.assertEqual((self.events, self.opened, self.retries), ([], [], []))

    def test_message(self) -> None:
        """The error has the message of the server, as far as it is JSON: bounded, on one line."""
        for body, said in (
            (b'{"error": {"code": "not_found", "message": "There is no such stream."}}', ": There is no such stream"),
            (b'{"error": "gone"}', ": gone"),
            (b'{"error": null, "message": "a\\nb\\u001b[0m"}', r": a\nb\x1b[0m"),
            (b'{"error": {"message": "%b"}}' % (b"a" * 5000), ": " + "a" * MAX_MESSAGE),
            *((body, "") for body in (b"", b"<html>", b"[" * 50000, b"\xff", b"[1]", b'{"error": {"message": 1}}')),
        ):
            self.begin()
            self.respond("404 Not Found", {"Content-Type": "application/json"}, body)
            self.assertEqual(str(self.assertFails(StatusError)), f"The server answered 404{said}.")

    def test_busy(self) -> None:
        """
        A server that is overloaded is asked again, later each time and not before `Retry-After`. Without
        retries, or with no statuses to retry, the client fails.
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
            for keywords in ({"retry": None}, {"statuses": ()}):
                self.begin(**keywords)
                self.respond(f"{status} Busy", {"Retry-After": "30"}, b"busy")
                error = self.assertFails(StatusError)
                self.assertEqual((error.body, readRetryAfter(error.headers)), (b"busy", 30.0))

    def test_contentTypes(self) -> None:
        """The essence of the content type decides, whatever its parameters are (format-mime-*)."""
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

    def test_F27_compressed(self) -> None:
        """F27: a compressed event stream is an error. `identity` is no coding."""
        for coding in ("gzip", "GZIP", "br"):
            self.begin()
            self.respond(headers={"Content-Type": "text/event-stream", "Content-Encoding": coding}, body=b"\x1f\x8b")
            self.assertEqual(self.assertFails(WrongContentCoding).body, b"")
        self.open(retry=None).close()
        self.begin()
        self.respond(headers={"Content-Type": "text/event-stream", "Content-Encoding": "identity"})
        self.chunk(b"data: x\n\n")
        self.assertEqual(self.data, ["x"])

    def test_noHTTP(self) -> None:
        """An answer that is not HTTP, or none at all, is a failed connection."""
        for answer, kind in (
            (b"220 mail.test ESMTP\r\n", NotHTTP),
            (b"HTTP/1.1 abc OK\r\n", NotHTTP),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", NotHTTP),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n", NotHTTP),
            (b"HTTP/1.1 200 OK\r\n", Unanswered),
            (b"", Unanswered),
        ):
            self.begin(retry=None)
            self.wires[-1].send(answer)
            self.wires[-1].close()
            error = self.assertFails(kind)
            self.assertIsInstance(error, ConnectionFailed)
            begin = "The answer is not HTTP" if kind is NotHTTP else "There is no response"
            self.assertRegex(str(error), f"^{begin}: .+$")


class CodingTests(SynchronousTestCase):
    """`readContentCoding`."""

    def test_codings(self) -> None:
        """A body is encoded unless the header is missing, empty or `identity`."""
        for values, coding in (([], ""), (["identity"], ""), ([""], ""), (["GZip"], "gzip"), (["br"], "br")):
            self.assertEqual(readContentCoding(Headers({"Content-Encoding": values})), coding)
