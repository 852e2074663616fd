"""
Tests of `sseserver.web.openapi.document` and `sseserver.web.openapi.operations`. tests/apis/test_openapi.py compares
the documents with the code.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import Forbidden, ModelNotFound, StreamNotFound
from sseserver.settings import Settings
from sseserver.web.openapi.document import DocumentBuilder, Guard
from sseserver.web.openapi.operations import (
    Answer,
    Body,
    Described,
    Operation,
    limitNative,
    makeJSON,
    makeObject,
    makeViewing,
    refer,
)


def build(*operations: Operation, isGuarded: bool = False, hasSessions: bool = False) -> dict[str, Any]:
    """Build the document of an API."""
    api = Described("a", "An API.", operations, {"A": makeObject("An A.", {"b": {"type": "string"}})})
    return DocumentBuilder("title", (api,), Settings(maxBody=7), Guard(isGuarded, hasSessions, True)).build()


def make(**members: Any) -> Operation:
    """Make an operation."""
    given = {"method": "GET", "path": "/a", "name": "readA", "summary": "Read", "answers": (Answer(204, "Done."),)}
    return Operation(**{**given, **members})


def listCodes(document: dict[str, Any], method: str = "get") -> set[str]:
    """Return all error codes of `/a`."""
    responses = document["paths"]["/a"][method]["responses"].values()
    return {code for response in responses for code in response.get("x-error-codes", ())}


class DocumentTests(SynchronousTestCase):
    """Documents of small APIs."""

    def test_errors(self) -> None:
        """Errors with one status are one response, which names their codes and causes."""
        found = build(make(errors=(StreamNotFound, ModelNotFound), headers=("x-request-id",)))["paths"]["/a"]["get"][
            "responses"
        ]["404"]
        self.assertEqual(found["x-error-codes"], ["model_not_found", "stream_not_found"])
        self.assertIn("`stream_not_found`: the store has no stream of this name", found["description"])
        self.assertEqual(set(found["content"]), {"application/json", "text/html"})
        self.assertEqual(set(found["headers"]), {"x-request-id"})

    def test_guarded(self) -> None:
        """Only a server that asks for credentials answers 401 and 403, and only where it asks."""
        guarded = {"unauthorized", "forbidden", "keys_unavailable"}
        operation = make(errors=(Forbidden,))
        self.assertEqual(listCodes(build(operation)) & guarded, set())
        self.assertEqual(listCodes(build(operation, isGuarded=True)) & guarded, guarded)
        document = build(make(isOpen=True), isGuarded=True)
        self.assertEqual(listCodes(document) & guarded, set())
        self.assertEqual(document["paths"]["/a"]["get"]["security"], [])
        self.assertEqual(set(document["components"]["securitySchemes"]), {"bearer", "key", "link", "session"})

    def test_pages(self) -> None:
        """Pages of other origins cannot use methods that change something; health checks ignore the host."""
        self.assertIn("foreign_origin", listCodes(build(make(method="POST")), "post"))
        self.assertNotIn("foreign_origin", listCodes(build(make())))
        self.assertIn("misdirected_request", listCodes(build(make())))
        self.assertNotIn("misdirected_request", listCodes(build(make(isChecked=False))))

    def test_sessions(self) -> None:
        """Operations of sessions are there only if there are sessions."""
        self.assertEqual(build(make(needsSessions=True))["paths"], {})
        self.assertEqual(set(build(make(needsSessions=True), hasSessions=True)["paths"]), {"/a"})

    def test_body(self) -> None:
        """The body of a request has the limit of the settings."""
        body = Body(makeJSON("A"), limitNative)
        found = build(make(method="POST", body=body))["paths"]["/a"]["post"]["requestBody"]
        self.assertEqual(found["description"], "At most 7 bytes.")
        self.assertEqual(found["content"], {"application/json": {"schema": refer("A")}})

    def test_relays(self) -> None:
        """A failure of the token source may have any status."""
        operation = build(make(relays=True))["paths"]["/a"]["get"]
        self.assertTrue(operation["x-relays-errors"])
        self.assertLessEqual({"4XX", "5XX"}, set(operation["responses"]))

    def test_viewing(self) -> None:
        """The parameters of viewers name the formats."""
        self.assertEqual(makeViewing(("a",))[0].schema["enum"], ["a"])
