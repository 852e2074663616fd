"""
Tests for `sseserver.protocols.responses.native`, and for the requests to upstreams that speak Responses.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from sseserver.errors import InvalidMember, SourceError
from sseserver.interfaces import IModels, IResponsesSource
from sseserver.jsontext import readJSON
from sseserver.protocols.jsonpieces import PLAIN, encodePieces
from sseserver.protocols.responses.native import NATIVE, makeChatBody, mayPass, needsResponses
from sseserver.protocols.responses.request import readResponse
from sseserver.protocols.responses.upstreamrequest import convertRequest
from tests.protocols.responses.passedevents import OUTPUT

SEARCH = {"type": "web_search", "filters": {"allowed_domains": ["example.org"]}}
FUNCTION = {"type": "function", "name": "f", "parameters": {}}


@implementer(IModels, IResponsesSource)
class Source:
    """A source that may ask an upstream that speaks Responses."""

    takesPrompt = True
    model = "m"

    def __init__(self, writesResponseEvents: bool = True) -> None:
        self.writesResponseEvents = writesResponseEvents


class NativeTests(SynchronousTestCase):
    """A request that an upstream gets as it is."""

    def options(self, body: dict[str, Any], *earlier: Any, may: bool = True) -> dict[str, Any]:
        """Return the options of the prompt of a request."""
        source: Any = Source(may)
        return dict(readResponse(body, source).makePrompt(earlier, source).options)

    def ask(self, body: dict[str, Any], *earlier: Any, **options: Any) -> Any:
        """Return the body that an upstream gets that speaks Responses."""
        members = {**self.options(body, *earlier), "messages": [], **options}
        return readJSON(b"".join(encodePieces(convertRequest(members), PLAIN)), dict)

    def test_members(self) -> None:
        """Every member is sent, known or not, except for those that are for this server."""
        kept: dict[str, Any] = {
            "instructions": "Be short.",
            "include": ["web_search_call.action.sources"],
            "metadata": {"a": "b"},
            "model": "m",
            "reasoning": {"summary": "auto"},
            "tools": [SEARCH, FUNCTION],
            "tool_choice": {"type": "web_search"},
            "x_future": [1],
        }
        own = {"background": True, "previous_response_id": "resp_1", "store": True, "stream": False}
        items = [{"type": "message", "role": "user", "content": "Hi"}, {"type": "item_of_the_future"}]
        asked = self.ask({**kept, **own, "input": items})
        self.assertEqual(asked, {**kept, "input": items, "store": False, "stream": True})

    def test_model(self) -> None:
        """The model is that of the prompt: a group of upstreams chooses it."""
        self.assertEqual(self.ask({"input": "Hi", "model": "big/m"}, model="m")["model"], "m")
        self.assertNotIn("model", self.ask({"input": "Hi"}))

    def test_conversation(self) -> None:
        """The items before come first, without IDs that stand for what the upstream has kept."""
        kept = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x"}
        asked = self.ask({"input": "Hi"}, *OUTPUT, kept)
        reasoning, search, *others = OUTPUT
        found = [{name: value for name, value in item.items() if name != "id"} for item in others]
        question = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        self.assertEqual(reasoning["type"], "reasoning")
        code = {**found[2], "id": "ci_1"}
        known = {name: value for name, value in kept.items() if name != "id"}
        self.assertEqual(asked["input"], [search, *found[:2], code, found[3], known, question])

    def test_chat(self) -> None:
        """An upstream that speaks chat completions gets what these have, and refuses what they do not have."""
        options = self.options({"input": "Hi", "tools": [FUNCTION]})
        self.assertFalse(needsResponses(options))
        body = makeChatBody(options)
        self.assertEqual((NATIVE in body, body["stream"], len(body["tools"])), (False, True, 1))
        for asked, param in (
            ({"input": "Hi", "tools": [SEARCH]}, "tools[0].type"),
            ({"input": [{"type": "item_reference"}]}, "input[0].type"),
        ):
            options = self.options(asked)
            self.assertTrue(needsResponses(options))
            error = self.assertRaises(SourceError, makeChatBody, options)
            self.assertEqual((error.status, error.param), (400, param))
            self.assertRaises(InvalidMember, self.options, asked, may=False)

    def test_mayPass(self) -> None:
        """The source says whether its upstream may speak Responses."""
        sources: list[Any] = [Source(True), Source(False), object()]
        self.assertEqual([mayPass(source) for source in sources], [True, False, False])
        self.assertNotIn(NATIVE, self.options({"input": "Hi"}, may=False))
