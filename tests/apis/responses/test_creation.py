"""
Tests for `sseserver.apis.responses.creation`.
"""

from __future__ import annotations

from sseserver.errors import SourceError
from sseserver.settings import Settings
from sseserver.values import LargePrompt
from tests.apis.responses.cases import ResponsesTestCase


class CreationTests(ResponsesTestCase):
    """Responses, in events and in one piece."""

    settings = Settings(heartbeat=15, linger=10, window=100_000)

    def test_stream(self) -> None:
        """The answer is an event stream, with the URL of its stream in a header, without IDs, and with `[DONE]`."""
        wire = self.create(stream=True)
        self.write("One ", "two")
        self.assertFalse(wire.response.complete)
        self.end()
        response = wire.response
        self.assertTrue(response.complete)
        self.assertEqual(response.headers["content-type"], "text/event-stream")
        self.assertRegex(response.headers["x-request-id"], "^req_[0-9a-f]{32}$")
        self.assertEqual(self.ask(response.headers["content-location"], "text/plain").body, b"One two")
        self.assertEqual(response.events[-1].data, "[DONE]")
        self.assertFalse(any(event.id for event in response.events))
        self.assertIsNotNone(response.events[0].retry)
        events = self.events(response)
        self.assertEqual([event["sequence_number"] for event in events], list(range(10)))
        self.assertEqual([event.type for event in response.events[:-1]], [event["type"] for event in events])
        self.assertEqual(events[-1]["response"], self.get(events[0]["response"]["id"]).json)

    def test_whole(self) -> None:
        """Without `stream` the answer is the response, at its end."""
        wire = self.create(metadata={"a": "b"}, instructions="Be short.")
        self.write("One")
        self.assertEqual(wire.responses, [])
        self.end()
        response = wire.response.json
        self.assertEqual((response["status"], response["object"]), ("completed", "response"))
        self.assertEqual((response["metadata"], response["instructions"]), ({"a": "b"}, "Be short."))
        self.assertEqual(response["output"][0]["content"][0]["text"], "One")
        self.assertEqual(response["usage"]["total_tokens"], 4)
        self.assertEqual(self.source.run.prompt.messages[0], {"role": "system", "content": "Be short."})

    def test_waits(self) -> None:
        """The head waits for the source, without work for the reactor, and no longer than a heartbeat interval."""
        wire = self.create(stream=True)
        self.reactor.run(14)
        self.assertEqual(wire.responses, [])
        self.reactor.run(2)
        self.assertEqual(
            [event["type"] for event in self.events(wire.response)][:2], ["response.created", "response.in_progress"]
        )

    def test_refused(self) -> None:
        """A run that fails before its first word is an HTTP error; later, the response says so."""
        for stream in (False, True):
            wire = self.create(stream=stream)
            self.breakDown(SourceError("No.", "refused", 429))
            self.assertEqual(wire.response.status, 429)
            self.assertEqual(wire.response.json["error"]["message"], "No.")
            wire = self.create(stream=stream)
            self.write("One")
            self.breakDown(SourceError("No.", "refused", 429))
            response = self.events(wire.response)[-1]["response"] if stream else wire.response.json
            self.assertEqual((response["status"], response["error"]["message"]), ("failed", "No."))
        wire = self.create(stream=True)
        wire.close()
        self.reactor.run(11)
        self.assertEqual(self.create(input=[]).response.status, 400)

    def test_background(self) -> None:
        """A background response is answered at once, and its run goes on without viewers, however long."""
        wire = self.create(background=True)
        name = wire.response.json["id"]
        self.assertEqual(wire.response.json["status"], "queued")
        self.reactor.run(1000)
        self.write("One")
        self.assertEqual(self.get(name).json["status"], "in_progress")
        self.end()
        self.assertEqual(self.get(name).json["status"], "completed")

    def test_backgroundStream(self) -> None:
        """The events of a background response begin before its source does, and its run outlives the connection."""
        wire = self.create(background=True, stream=True)
        events = self.events(wire.response)
        self.assertEqual([event["type"] for event in events], ["response.created", "response.queued"])
        wire.close()
        self.reactor.run(1000)
        self.write("One")
        self.end()
        rest = self.events(self.get(events[0]["response"]["id"], "?stream=true&starting_after=1"))
        self.assertEqual(rest[0]["type"], "response.in_progress")
        self.assertEqual(rest[-1]["type"], "response.completed")

    def test_cutIsNoCancel(self) -> None:
        """A connection that is cut cancels nothing: the response can be continued until the linger is over."""
        wire = self.create(stream=True)
        self.write("One")
        name = self.events(wire.response)[0]["response"]["id"]
        wire.close()
        self.reactor.run(5)
        self.assertEqual(self.get(name).json["status"], "in_progress")
        self.write(" two")
        self.end()
        self.assertEqual(self.get(name).json["status"], "completed")

    def test_notStored(self) -> None:
        """A response that is not stored is not found, and its stream is gone with its viewer."""
        for stream in (False, True):
            wire = self.create(stream=stream, store=False)
            self.write("One")
            name = self.newest()
            self.assertEqual(self.get(f"resp_{name}").status, 404)
            self.assertEqual(self.get(f"resp_{name}", "?stream=true").status, 404)
            self.end()
            self.assertNotIn("content-location", wire.response.headers)
            self.reactor.run(0.1)
            self.assertEqual(self.ask(f"/streams/{name}", "application/json").status, 404)
        wire = self.create(stream=True, store=False)
        self.write("One")
        wire.close()
        self.reactor.run(0.1)
        self.assertTrue(self.source.run.cancelled)

    def test_key(self) -> None:
        """A repeated request with the same key gets the same response; another one is refused."""
        first = self.create("key", stream=True)
        self.write("One")
        second = self.create("key", stream=True)
        self.end()
        self.assertEqual(self.events(second.response), self.events(first.response))
        self.assertEqual(len(self.source.runs), 1)
        said = {"role": "user", "content": "Hello"}
        for other in (
            {"input": "Other"},
            {"metadata": {"a": "b"}},
            {"store": False},
            {"input": [{"type": "reasoning"}, said]},
        ):
            self.assertEqual(self.create("key", **other).response.status, 422, other)

    def test_notStoredTwice(self) -> None:
        """A repeated request with the same key starts no second run, though its response is not stored."""
        first = self.create("key", stream=True, store=False)
        self.write("One")
        first.close()
        self.reactor.run(1)
        self.end()
        second = self.create("key", stream=True, store=False)
        events = self.events(second.response)
        self.assertEqual(events[-1]["type"], "response.completed")
        self.assertEqual(len(self.source.runs), 1)
        self.assertEqual(self.get(events[0]["response"]["id"]).status, 404)

    def test_large(self) -> None:
        """A large request is read and kept in several turns; one that is too large to be kept is refused."""
        text = "word " * 9000
        wire = self.create(input=text)
        self.reactor.advance(0)
        self.assertEqual(self.source.run.prompt.text, text)
        self.end()
        self.assertEqual(wire.response.status, 200)
        refused = self.create(input=text * 4)
        self.reactor.run(0.1)
        self.assertEqual((refused.response.status, refused.response.json["error"]["param"]), (400, "store"))
        wire = self.create(input=text * 4, store=False)
        self.reactor.run(0.1)
        self.assertIs(type(self.source.run.prompt), LargePrompt)
        self.end()
        self.assertEqual(wire.response.status, 200)
