"""
The test case of the API of responses.
"""

from __future__ import annotations

import json
from typing import Any

from tests.apis.chat.cases import ChatTestCase
from tests.http import Response
from tests.wires import Wire

RESPONSES = "/v1/responses"


class ResponsesTestCase(ChatTestCase):
    """The complete server, with a scripted source, and shortcuts for clients that ask for responses."""

    def create(self, key: str | None = None, **members: Any) -> Wire:
        """Ask for a response."""
        headers = {} if key is None else {"Idempotency_Key": key}
        return self.post(RESPONSES, {"input": "Hello", **members}, **headers)

    def events(self, response: Response) -> list[dict[str, Any]]:
        """Return the data of events, but of `[DONE]`."""
        return [json.loads(event.data) for event in response.events if event.data != "[DONE]"]

    def finish(self, *tokens: str, **members: Any) -> str:
        """Ask for a response, let it have tokens, and return its ID."""
        wire = self.create(**members)
        # A conversation is read in several turns.
        self.reactor.run(0.05)
        self.write(*(tokens or ("One", " two")))
        self.end()
        return str(wire.response.json["id"])

    def newest(self) -> str:
        """Return the name of the newest stream."""
        return str(self.ask("/streams").json["streams"][0]["name"])

    def get(self, response: str, query: str = "") -> Response:
        """Get a response, or its events, or what is below it."""
        return self.ask(f"{RESPONSES}/{response}{query}")
