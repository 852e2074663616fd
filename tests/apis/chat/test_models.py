"""
Tests for `sseserver.apis.chat.models`.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import IModels
from tests.apis.chat.cases import ChatTestCase
from tests.served import ScriptedSource


@implementer(IModels)
class ManyModels(ScriptedSource):
    """A source that offers what its test says."""

    answer: Deferred[list[str]]

    def models(self) -> Deferred[list[str]]:
        return self.answer


class ModelTests(ChatTestCase):
    """`GET /v1/models`."""

    def test_own(self) -> None:
        """
        A source of ours is a model.
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
        A source that offers more lists them; there may be slashes in their
        names. It takes every model's name: it knows itself what it has.
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

    def test_unknown(self) -> None:
        """
        A source that does not know them now says so with its status.
        """
        source = ManyModels()
        source.answer = fail(SourceError("Too many.", "upstream", 429, 5))
        self.serve(source)
        response = self.ask("/v1/models")
        self.assertEqual((response.status, response.error["message"]), (429, "Too many."))
        self.assertEqual(response.headers["retry-after"], "5")
