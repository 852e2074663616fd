"""
The test case of the readers of Durable Streams: chats of the Vercel AI SDK, read by their offsets.
"""

from __future__ import annotations

import json
from typing import Any

from tests.apis.chat.cases import ChatTestCase
from tests.http import Response
from tests.wires import Wire


class DurableTestCase(ChatTestCase):
    """The complete server, with shortcuts for readers."""

    def chat(self) -> str:
        """Start an answer that nobody views, and return its URL for readers."""
        body = {"id": "c", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}
        answer = self.post("/api/chat", body, Prefer="respond-async").response
        self.assertEqual(answer.status, 202)
        url: str = answer.json["streamUrl"]
        return url

    def page(self, url: str, offset: str = "-1", **headers: str) -> Response:
        """Get the next page."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(f"{url}?offset={offset}", headers=told)

    def poll(self, url: str, offset: str = "-1", more: str = "") -> Wire:
        """Wait for the next page."""
        return self.view(f"{url}?offset={offset}&live=long-poll{more}")

    def follow(self, url: str, offset: str = "-1", more: str = "") -> Wire:
        """Follow the stream."""
        return self.view(f"{url}?offset={offset}&live=sse{more}")

    def types(self, response: Response) -> list[str]:
        """Return the types of the parts on a page."""
        return [part["type"] for part in response.json]

    def messages(self, wire: Wire) -> list[Any]:
        """Return the messages that a follower has got."""
        data = [json.loads(event.data) for event in wire.response.events if event.type == "data"]
        return [message for batch in data for message in batch]

    def controls(self, wire: Wire) -> list[dict[str, Any]]:
        """Return the members of the events `control` that a follower has got."""
        return [json.loads(event.data) for event in wire.response.events if event.type == "control"]
