"""
Tests for `sseserver.apis.responses.stored`.
"""

from __future__ import annotations

from typing import Any

from twisted.web.iweb import IRequest

from sseserver.apis.root import StreamResource
from sseserver.formats import translatedlog
from sseserver.interfaces import Grant, Principal, Right
from sseserver.settings import Settings
from sseserver.values import Kind
from tests.apis.responses.cases import RESPONSES, ResponsesTestCase


class StoredTests(ResponsesTestCase):
    """Responses that are retrieved."""

    settings = Settings(heartbeat=15, linger=10, window=4000)

    def test_everyPlace(self) -> None:
        """After every event the rest follows, unchanged; after the last one only `[DONE]`."""
        name = self.finish()
        whole = self.get(name, "?stream=true")
        for after in range(len(whole.events) - 1):
            rest = self.get(name, f"?stream=true&starting_after={after}")
            self.assertTrue(rest.complete)
            told = [(event.type, event.data) for event in rest.events]
            self.assertEqual(told, [(event.type, event.data) for event in whole.events[after + 1 :]])

    def test_live(self) -> None:
        """A viewer that comes while the answer grows gets what it has missed, and then the rest."""
        self.create(stream=True)
        self.write("One")
        name = self.newest()
        wire = self.connect(self.factory)
        wire.begin(f"{RESPONSES}/resp_{name}?stream=true&starting_after=2", None, "GET", b"")
        late = self.connect(self.factory)
        late.begin(f"{RESPONSES}/resp_{name}?stream=true&starting_after=4", None, "GET", b"")
        self.assertEqual([event["sequence_number"] for event in self.events(wire.response)], [3, 4])
        self.assertEqual(self.events(late.response), [])
        self.write(" two")
        self.end()
        self.assertEqual([event["sequence_number"] for event in self.events(wire.response)], list(range(3, 10)))
        self.assertEqual([event["sequence_number"] for event in self.events(late.response)], list(range(5, 10)))

    def test_unknownPlace(self) -> None:
        """A number that no event has yet is an error, never an empty answer; so is one that is no number."""
        name = self.finish()
        for after in ("10", "11", "1000", "x", "-1", "1.5", "9" * 20):
            answer = self.get(name, f"?stream=true&starting_after={after}")
            self.assertEqual(answer.status, 400, after)
        self.assertIn("has no event 1000", self.get(name, "?stream=true&starting_after=1000").json["error"]["message"])
        self.assertEqual(self.get(name, "?stream=yes").status, 400)
        self.assertEqual(self.get(name, "?stream=false").json["id"], name)

    def test_unknown(self) -> None:
        """Neither an unknown ID nor a stream that is no response is found."""
        self.stream()
        name = self.newest()
        for response in ("resp_x", "x", "resp_", f"resp_{name}", name):
            for path in ("", "?stream=true", "/input_items"):
                answer = self.get(response, path)
                self.assertEqual((answer.status, answer.json["error"]["code"]), (404, "response_not_found"))
        self.assertEqual(self.get("resp_x", "/other").status, 404)

    def test_otherAPI(self) -> None:
        """A run of AG-UI, whose stream keeps a part of its request, too, is no response."""
        self.post("/agui", {"threadId": "t", "runId": "r", "messages": [{"id": "1", "role": "user", "content": "x"}]})
        self.write("a")
        self.end()
        name = f"resp_{self.newest()}"
        for path in ("", "?stream=true", "/input_items"):
            self.assertEqual(self.get(name, path).status, 404, path)
        self.assertEqual(self.create(previous_response_id=name).response.status, 400)

    def test_trimmed(self) -> None:
        """If the beginning is no longer kept, the response and its events are errors that say so."""
        wire = self.create(stream=True)
        self.write(*["word " * 20] * 60)
        name = self.events(wire.response)[0]["response"]["id"]
        for path, status in (("", 400), ("?stream=true", 410), ("?stream=true&starting_after=3", 410)):
            answer = self.get(name, path)
            self.assertEqual(answer.status, status)
            self.assertIn("no longer kept", answer.json["error"]["message"])
        # The stream that the message names has what is left.
        rest = self.ask(answer.json["error"]["message"].rpartition(" the stream ")[2][:-1], "text/event-stream")
        self.assertEqual((rest.status, rest.types[0]), (200, "stream"))
        self.assertIn("word word", rest.events[1].data)
        self.assertEqual(self.get(name, "/input_items").status, 404)

    def test_ambiguousPlace(self) -> None:
        """A place that is given twice, or is empty, is refused: the events are not sent from their start."""
        wire = self.create(stream=True)
        self.write("a")
        name = self.events(wire.response)[0]["response"]["id"]
        for query in ("starting_after=", "starting_after=1&starting_after=2"):
            answer = self.get(name, f"?stream=true&{query}")
            self.assertEqual((answer.status, answer.json["error"]["type"]), (400, "invalid_request_error"))
            self.assertIn("parameter starting_after", answer.json["error"]["message"])
        # An empty number that is no place counts as missing.
        self.assertEqual(self.get(name, "/input_items?limit=").status, 200)

    def test_restarted(self) -> None:
        """An event of an answer that has begun anew is told apart from those of the new one."""
        self.create(stream=True)
        self.write("One")
        streamLog = self.successResultOf(self.service.find(self.newest()))
        streamLog.append(Kind.RESTART, b'{"reason":"interrupted","restarts":1}')
        self.write("New")
        answer = self.get(f"resp_{streamLog.name}", "?stream=true&starting_after=3")
        self.assertEqual((answer.status, answer.json["error"]["code"]), (410, "events_gone"))
        self.assertIn("begun anew", answer.json["error"]["message"])
        again = self.get(f"resp_{streamLog.name}", "?stream=true")
        self.assertIn("New", [event.get("delta") for event in self.events(again)])
        text = self.get(f"resp_{streamLog.name}").json["output"][0]["content"][0]["text"]
        self.assertEqual(text, "New")

    def test_turns(self) -> None:
        """A place that is far away is sought in several turns of the reactor."""
        self.patch(translatedlog, "READ_ENTRIES", 2)
        self.patch(translatedlog, "CHECKPOINT", 2)
        self.create(stream=True)
        for _ in range(20):
            self.source.run.sink.writeChunk(b'{"choices":[{"delta":{"content":"x"}}]}', "x")
        self.reactor.advance(1)
        name = self.newest()
        wire = self.connect(self.factory)
        wire.begin(f"{RESPONSES}/resp_{name}?stream=true&starting_after=20", None, "GET", b"")
        self.reactor.run(0.5)
        self.assertEqual([event["sequence_number"] for event in self.events(wire.response)], [21, 22, 23])

    def test_head(self) -> None:
        """HEAD of the events starts no viewer."""
        name = self.finish()
        answer = self.ask(f"{RESPONSES}/{name}?stream=true", method="HEAD")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))

    def test_cancelled(self) -> None:
        """A run that is cancelled keeps its text; a response that has ended stays as it is."""
        name = self.create(background=True).response.json["id"]
        self.write("One")
        for _ in range(2):
            answer = self.ask(f"{RESPONSES}/{name}/cancel", method="POST").json
            self.assertEqual((answer["status"], answer["output"][0]["content"][0]["text"]), ("cancelled", "One"))
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(self.events(self.get(name, "?stream=true"))[-1]["type"], "response.incomplete")
        ended = self.finish()
        self.assertEqual(self.ask(f"{RESPONSES}/{ended}/cancel", method="POST").json["status"], "completed")

    def test_deleted(self) -> None:
        """A response that is deleted is gone."""
        name = self.finish()
        answer = self.ask(f"{RESPONSES}/{name}", method="DELETE")
        self.assertEqual(answer.json, {"id": name, "object": "response", "deleted": True})
        self.assertEqual(self.get(name).status, 404)

    def test_inputItems(self) -> None:
        """The items of the request are listed in pages, the last one first."""
        items = [{"role": "user", "content": f"{n}"} for n in range(5)]
        name = self.finish(input=items)
        page = self.get(name, "/input_items").json
        self.assertEqual([item["content"][0]["text"] for item in page["data"]], list("43210"))
        self.assertEqual((page["object"], page["has_more"], page["first_id"]), ("list", False, page["data"][0]["id"]))
        texts, after = [], ""
        while True:
            page = self.get(name, f"/input_items?order=asc&limit=2{after}").json
            texts += [item["content"][0]["text"] for item in page["data"]]
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        self.assertEqual(texts, list("01234"))
        for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=x"):
            self.assertEqual(self.get(name, f"/input_items?{query}").status, 400)


class FixedPrincipal:
    """An authenticator for which every client has the same rights."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def authenticate(self, request: IRequest) -> Principal:
        return self._principal


class RightsTests(ResponsesTestCase):
    """Each operation needs its right on the stream of the response."""

    def test_rights(self) -> None:
        """A response that a client may not see is unknown to it; what it may not do with another one is forbidden."""
        name = self.finish()
        stream = name.removeprefix("resp_")
        for rights, statuses in (
            ((), [404, 404, 404, 404]),
            ((Right.READ,), [200, 200, 403, 403]),
            ((Right.READ, Right.CANCEL, Right.DELETE), [200, 200, 200, 200]),
        ):
            principal = Principal("someone", (Grant(frozenset(rights), stream),))
            authenticator: Any = FixedPrincipal(principal)
            self.factory = self.site(StreamResource(self.service, access=authenticator))
            told = [
                self.get(name).status,
                self.get(name, "/input_items").status,
                self.ask(f"{RESPONSES}/{name}/cancel", method="POST").status,
                self.ask(f"{RESPONSES}/{name}", method="DELETE").status,
            ]
            self.assertEqual(told, statuses)
