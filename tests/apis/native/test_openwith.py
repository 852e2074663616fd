"""
Tests of streams that open with their first publish: `PUT` with a body, or with `Stream-Closed`.
"""

from __future__ import annotations

from sseserver.settings import Settings
from sseserver.web.accept import JSON
from tests.apis.cases import PublishingTestCase
from tests.http import Response


class OpenWithTests(PublishingTestCase):
    """F131: the body of a PUT is the first publish, and `Stream-Closed` ends the stream."""

    def open(
        self, body: bytes = b"", contentType: str = JSON, closed: str | None = None, key: str | None = None
    ) -> Response:
        """Open the stream `a`."""
        headers = {"Content-Type": contentType, "Stream-Closed": closed, "Idempotency-Key": key}
        given = {name: value for name, value in headers.items() if value is not None}
        return self.ask("/streams/a", method="PUT", body=body, headers=given)

    def test_F131_body(self) -> None:
        """The entries of the body are in the stream when the answer comes, which is the state after them."""
        answer = self.open(b'[{"data":"1"},{"token":"2"}]')
        self.assertEqual((answer.status, answer.headers["location"]), (201, "/streams/a"))
        self.assertEqual((answer.json["state"], answer.json["last"]), ("open", 2))
        self.assertEqual(self.read("a"), [("message", "1"), ("message", "2")])
        self.publish("a", {"data": "3"})
        self.assertEqual(self.state("/streams/a")["last"], 3)

    def test_F131_types(self) -> None:
        """The body has the media types of a publish; any other is refused, and nothing is opened."""
        self.assertError(self.open(b"x", "image/png"), 415, "unsupported_media_type")
        self.assertError(self.open(b'{"data"', JSON), 400, "bad_request")
        self.assertError(self.open(closed="perhaps"), 400, "bad_request")
        self.assertEqual(self.ask("/streams/a", JSON).status, 404)
        self.assertEqual(self.open(b"data: x\n\n", "text/event-stream").status, 201)
        self.assertEqual(self.read("a"), [("message", "x")])

    def test_F131_closed(self) -> None:
        """With `Stream-Closed: true` the stream ends `done`, with a body or without."""
        answer = self.open(b'{"data":"1"}', closed="true")
        self.assertEqual((answer.status, answer.json["state"]), (201, "done"))
        self.assertEqual([name for name, _ in self.read("a")], ["message", "done"])
        self.delete("a")
        self.assertEqual(self.open(closed="true").json["state"], "done")

    def test_F131_repeated(self) -> None:
        """The same PUT again changes nothing and is answered 200, also after the end of the stream."""
        for closed in (None, "true"):
            self.open(b'{"data":"1"}', closed=closed)
            before = self.state("/streams/a")
            again = self.open(b'{"data":"1"}', closed=closed)
            self.assertEqual((again.status, again.json), (200, before))
            self.delete("a")

    def test_F131_keys(self) -> None:
        """A PUT with an idempotency key is repeated as a publish is: the key belongs to one body."""
        self.assertEqual(self.open(b'{"data":"1"}', key="k").status, 201)
        self.assertEqual(self.open(b'{"data":"1"}', key="k").status, 200)
        self.assertError(self.open(b'{"data":"2"}', key="k"), 422, "idempotency_key_reused")
        self.assertEqual(self.read("a"), [("message", "1")])

    def test_deletedMeanwhile(self) -> None:
        """A stream that is deleted between its opening and the first publish is opened again, but not for ever."""
        publish, left = self.service.publish, 0

        def deleteFirst(name: str, *arguments: object) -> object:
            nonlocal left
            left -= 1
            if left >= 0:
                self.service.delete(name)
            return publish(name, *arguments)

        self.patch(self.service, "publish", deleteFirst)
        for times, status in ((1, 201), (2, 201), (9, 404)):
            left = times
            self.assertEqual(self.open(b'{"data":"1"}').status, status)
            if status == 201:
                self.assertEqual(self.read("a"), [("message", "1")])
                self.delete("a")
        self.assertEqual(left, 6)

    def test_F131_entries(self) -> None:
        """A stream that has other entries is not opened with a body: the answer is 409."""
        self.open(b'{"data":"1"}')
        self.assertError(self.open(b'{"data":"2"}'), 409, "stream_exists")
        self.delete("a")
        self.put("a")
        self.publish("a", {"data": "0"})
        self.assertError(self.open(b'{"data":"1"}'), 409, "stream_exists")
        self.assertError(self.open(closed="true"), 409, "stream_exists")
        self.assertEqual(self.read("a"), [("message", "0")])

    def test_F131_empty(self) -> None:
        """A stream that was opened without entries takes the body of a later PUT."""
        self.put("a")
        self.assertEqual(self.open(b'{"data":"1"}').status, 200)
        self.assertEqual(self.read("a"), [("message", "1")])

    def test_F131_run(self) -> None:
        """The stream of a run and an ended stream are not opened: the answer is 409."""
        path = self.startRun()
        answer = self.ask(path, method="PUT", body=b'{"data":"1"}', headers={"Content-Type": JSON})
        self.assertError(answer, 409, "stream_exists")
        self.put("a")
        self.publish("a", closed="true")
        self.assertError(self.open(b'{"data":"1"}'), 409, "stream_ended")

    def test_F131_noRoom(self) -> None:
        """Without room the answer is 503, and nothing is opened."""
        self.serve(self.source, Settings(maxStreams=1))
        self.put("b")
        self.assertEqual(self.open(b'{"data":"1"}').status, 503)
        self.assertEqual(self.ask("/streams/a", JSON).status, 404)
