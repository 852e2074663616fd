"""
Tests for `sseserver.apis.chat.models`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from sseserver.delivery.document import STEP_BYTES
from sseserver.errors import SourceError
from sseserver.interfaces import IModels
from tests.apis.chat.cases import ChatTestCase
from tests.served import ScriptedSource


@implementer(IModels)
class ManyModels(ScriptedSource):
    """A source with the models that its test gives."""

    answer: Deferred[list[str]]

    def models(self) -> Deferred[list[str]]:
        return self.answer


class ModelTests(ChatTestCase):
    """`GET /v1/models`."""

    def test_own(self) -> None:
        """
        A source of one model is the model.
        """
        self.reactor.advance(1_700_000_000.5)
        self.serve(self.source)
        model = {"id": "script", "object": "model", "created": 1_700_000_000, "owned_by": "sseserver"}
        for path in ("/v1/models", "/v1/models/"):
            self.assertEqual(self.ask(path).json, {"object": "list", "data": [model]})
        self.assertEqual(self.ask("/v1/models/script").json, model)
        response = self.ask("/v1/models/gpt%209")
        self.assertEqual((response.status, response.error["code"]), (404, "model_not_found"))
        self.assertEqual(self.ask("/v1/models", method="HEAD").status, 200)

    def test_many(self) -> None:
        """
        A source of several models lists them. Their names may contain slashes, and it is asked for
        any name.
        """
        source = ManyModels(takesPrompt=True)
        source.answer = succeed(["small", "org/large"])
        self.serve(source)
        self.assertEqual([model["id"] for model in self.ask("/v1/models").json["data"]], ["small", "org/large"])
        for path in ("/v1/models/org/large", "/v1/models/org%2Flarge"):
            self.assertEqual(self.ask(path).json["id"], "org/large")
        self.assertEqual(self.ask("/v1/models/org").status, 404)
        self.complete(model="another")
        self.assertEqual(source.run.prompt and source.run.prompt.options["model"], "another")

    def test_longList(self) -> None:
        """#12: a long list is made and sent in several turns, without `Content-Length`."""
        source = ManyModels(takesPrompt=True)
        names = [f"model-{number}" for number in range(20_000)]
        source.answer = succeed(names)
        self.serve(source)
        turns = []
        callLater = self.reactor.callLater

        def watch(delay: float, call: Any, *arguments: Any) -> Any:
            turns.append(delay)
            return callLater(delay, call, *arguments)

        self.patch(self.reactor, "callLater", watch)
        response = self.ask("/v1/models")
        self.assertEqual([model["id"] for model in response.json["data"]], names)
        self.assertNotIn("content-length", response.headers)
        # A full transport also ends a turn: its producer goes on when the bytes are sent.
        self.assertGreaterEqual(turns.count(0), len(response.body) // STEP_BYTES // 2)

    def test_unknown(self) -> None:
        """
        A source that cannot list its models now answers with the status of its error.
        """
        source = ManyModels()
        source.answer = fail(SourceError("Too many.", "upstream", 429, 5))
        self.serve(source)
        response = self.ask("/v1/models")
        self.assertEqual((response.status, response.error["message"]), (429, "Too many."))
        self.assertEqual(response.headers["retry-after"], "5")
