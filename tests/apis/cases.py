"""
Test cases of the APIs: the whole server on wires, with a scripted source.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.accept import JSON
from tests.http import Response
from tests.served import ServedTestCase
from tests.wires import Wire


class ScriptedTestCase(ServedTestCase):
    """The complete server, with a scripted source."""

    def write(self, *tokens: str) -> None:
        """Let the newest run write tokens, each in a flush tick of its own."""
        for token in tokens:
            self.source.run.write(token)
            self.reactor.advance(FLUSH_TICK)

    def end(self) -> None:
        """Let the newest run end."""
        self.source.run.end()
        self.reactor.advance(FLUSH_TICK)

    def mount(self, *path: bytes) -> None:
        """Put the resource below a path of another site."""
        root = resource = Resource()
        for name in path[:-1]:
            child = Resource()
            resource.putChild(name, child)
            resource = child
        resource.putChild(path[-1], self.resource)
        self.factory = Site(root, reactor=self.reactor)

    def lastID(self, wire: Wire) -> str:
        """Return the ID of the last event of a viewer."""
        return wire.response.events[-1].id or ""


class PublishingTestCase(ServedTestCase):
    """The complete server, with shortcuts for publishers."""

    def put(self, name: str) -> Response:
        """Open a named stream."""
        return self.ask(f"/streams/{name}", method="PUT")

    def post(
        self,
        name: str,
        body: bytes,
        contentType: str | None = JSON,
        key: str | None = None,
        closed: str | None = None,
    ) -> Response:
        """Publish into a stream."""
        headers = {"Content-Type": contentType, "Idempotency-Key": key, "Stream-Closed": closed}
        return self.ask(f"/streams/{name}", method="POST", body=body, headers=headers)

    def publish(self, name: str, *items: object, **keywords: Any) -> list[str]:
        """Publish items in JSON, a flush tick after the last; return their IDs."""
        self.reactor.advance(FLUSH_TICK)
        response = self.post(name, json.dumps(items).encode(), **keywords)
        self.assertEqual(response.status, 200, response)
        answer = response.json
        epoch, _, first = answer["first"].rpartition("-")
        last = int(answer["last"].rpartition("-")[2])
        ids = [f"{epoch}-{number}" for number in range(int(first), last + 1)]
        self.assertEqual(answer.get("ids"), ids if len(ids) <= 100 else None)
        return ids

    def delete(self, name: str) -> Response:
        """Delete a stream."""
        return self.ask(f"/streams/{name}", method="DELETE")

    def epoch(self, name: str) -> str:
        """Return the epoch of a stream."""
        return str(self.state(f"/streams/{name}")["epoch"])

    def read(self, name: str, **keywords: Any) -> list[tuple[str, str]]:
        """
        Return types and data of the events that a new viewer gets at once, except for `stream`.
        """
        return listEvents(self.view(f"/streams/{name}", **keywords))

    def assertError(self, response: Response, status: int, code: str) -> None:
        """Check that an answer is this error, with a sentence, and that nothing was logged."""
        self.assertEqual((response.status, response.error["code"]), (status, code), response)
        self.assertRegex(response.error["message"], r"^[A-Z].{10,}")
        self.assertNotIn("Traceback", response.error["message"])
        self.assertEqual(self.flushLoggedErrors(), [], response)


def listEvents(wire: Wire) -> list[tuple[str, str]]:
    """Return types and data of the events of a viewer, except for `stream`."""
    return [(event.type, event.data) for event in wire.response.events if event.type != "stream"]
