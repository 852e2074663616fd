"""
Tests of idempotency keys: a request that is repeated takes effect once.
"""

from __future__ import annotations

from sseserver.settings import Settings
from sseserver.streams.followed import FLUSH_TICK
from tests.apis.cases import PublishingTestCase, listEvents


class KeyTests(PublishingTestCase):
    """`Idempotency-Key`: a repeated request takes effect once."""

    def setUp(self) -> None:
        super().setUp()
        self.put("a")

    def test_same(self) -> None:
        """The same key and body give the same answer, and viewers get the events once."""
        wire = self.view("/streams/a")
        body = b'[{"data":"1"},{"token":"2"}]'
        first = self.post("a", body, key="k")
        between = self.publish("a", {"data": "3"})
        again = self.post("a", body, key="k")
        self.assertEqual((again.status, again.body), (first.status, first.body))
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(listEvents(wire), [("message", "1"), ("message", "2"), ("message", "3")])
        self.assertEqual(self.publish("a", {"data": "4"})[0][:-1], between[0][:-1])

    def test_sameAnswerAfterTheEnd(self) -> None:
        """A retry gets the lost answer, also after the stream has ended."""
        first = self.post("a", b'{"data":"1"}', key="k")
        self.publish("a", closed="true")
        self.assertEqual(self.post("a", b'{"data":"1"}', key="k").json, first.json)

    def test_putIgnoresKeys(self) -> None:
        """A PUT needs no key: it uses up none, and does not conflict with one."""
        self.post("a", b'{"data":"1"}', key="k")
        for key in ("k", "other", "not\tvisible"):
            opened = self.ask("/streams/b", method="PUT", headers={"Idempotency-Key": key})
            self.assertIn(opened.status, (200, 201))
        self.assertEqual(self.post("b", b'{"data":"2"}', key="other").status, 200)

    def test_close(self) -> None:
        """
        A publish that ends the stream can be repeated: it is no conflict, and there is one end.
        """
        first = self.post("a", b'{"data":"1"}', key="k", closed="true")
        again = self.post("a", b'{"data":"1"}', key="k", closed="true")
        self.assertEqual((again.status, again.body), (200, first.body))
        self.assertEqual([name for name, _ in self.read("a")], ["message", "done"])

    def test_closeAlone(self) -> None:
        """A publish that only ends the stream can be repeated."""
        answers = [self.post("a", b"", None, key="k", closed="true") for _ in range(3)]
        self.assertEqual([answer.body for answer in answers], [answers[0].body] * 3)
        self.assertEqual([name for name, _ in self.read("a")], ["done"])

    def test_otherBody(self) -> None:
        """
        The same key with another body, or another `Stream-Closed`, is answered 422, and nothing is
        published.
        """
        self.post("a", b'{"data":"1"}', key="k")
        for body, closed in (
            (b'{"data":"2"}', None),
            (b'{"token":"1"}', None),
            (b'{"data":"1"}', "true"),
            (b"", "true"),
        ):
            self.assertError(self.post("a", body, key="k", closed=closed), 422, "idempotency_key_reused")
        self.assertError(self.post("a", b'[{"data":"1"},{"data":"1"}]', key="k"), 422, "idempotency_key_reused")
        self.assertEqual(self.read("a"), [("message", "1")])

    def test_others(self) -> None:
        """Another key, no key, and the same key in another stream publish again."""
        self.put("b")
        for name, key in (("a", "k"), ("a", "K"), ("a", None), ("a", None), ("b", "k")):
            self.publish(name, {"data": "1"}, key=key)
        self.assertEqual(self.read("a"), [("message", "1")] * 4)
        self.assertEqual(self.read("b"), [("message", "1")])

    def test_afterARefusal(self) -> None:
        """A refused body releases its key."""
        self.assertEqual(self.post("a", b'{"event":"done","data":""}', key="k").status, 400)
        self.publish("a", {"data": "1"}, key="k")
        self.assertEqual(self.read("a"), [("message", "1")])

    def test_trimmed(self) -> None:
        """A key is kept as long as its entries, and no longer."""
        self.serve(self.source, Settings(window=64 * 1024))
        self.put("a")
        self.publish("a", {"data": "1"}, key="k")
        self.assertEqual(self.post("a", b'{"data":"2"}', key="k").status, 422)
        self.publish("a", *[{"data": "x" * 1000}] * 100)
        self.assertGreater(self.state("/streams/a")["first"], 1)
        self.publish("a", {"data": "2"}, key="k")

    def test_run(self) -> None:
        """A repeated `POST /streams` finds the run that it started."""
        headers = {"Idempotency-Key": "k"}
        answers = [self.ask("/streams", method="POST", body=b"{}", headers=headers) for _ in range(2)]
        self.assertEqual(len(self.source.runs), 1)
        self.assertEqual([answer.status for answer in answers], [201, 201])
        self.assertEqual(answers[0].body, answers[1].body)
        self.assertEqual(answers[0].headers["location"], answers[1].headers["location"])
        self.source.run.write("Hello")
        self.source.run.end()
        again = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.assertEqual(
            self.read(again.json["name"]), [("message", "Hello"), ("done", '{"reason":"stop","tokens":1}')]
        )

    def test_runOtherPrompt(self) -> None:
        """Another prompt with the same key is refused. Another key, or none, starts another run."""
        for body, key, status in (
            (b"a", "k", 201),
            (b"b", "k", 422),
            (b"b", "K", 201),
            (b"a", None, 201),
            (b"a", "k", 201),
        ):
            headers = {} if key is None else {"Idempotency-Key": key}
            response = self.ask("/streams", method="POST", body=b'{"prompt":"%b"}' % body, headers=headers)
            self.assertEqual(response.status, status)
        self.assertEqual([run.prompt.text for run in self.source.runs if run.prompt], ["a", "b", "a"])

    def test_runExpired(self) -> None:
        """After its stream is no longer kept, a key starts a new run."""
        headers = {"Idempotency-Key": "k"}
        first = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.source.run.end()
        self.reactor.run(self.settings.keep + 1, 10)
        again = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.assertNotEqual(again.json["name"], first.json["name"])
        self.assertEqual(self.read(again.json["name"]), [])

    def test_runDeleted(self) -> None:
        """A key never finds a stream that was deleted."""
        headers = {"Idempotency-Key": "k"}
        first = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.delete(first.json["name"])
        again = self.ask("/streams", method="POST", body=b"{}", headers=headers)
        self.assertEqual(again.status, 201)
        self.assertEqual(self.view(again.headers["location"]).response.status, 200)

    def test_runRefusedKey(self) -> None:
        """A malformed key is refused, and no run is started."""
        for key in ("a b", "", "x" * 256, "\xe9"):
            response = self.ask("/streams", method="POST", body=b"{}", headers={"Idempotency-Key": key})
            self.assertError(response, 400, "bad_request")
        self.assertEqual(self.source.runs, [])
