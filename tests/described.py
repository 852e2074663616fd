"""
An OpenAPI document as the judge of answers: each must be as the document says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.integration.node import missing

try:
    from jsonschema import Draft202012Validator as Validator
    from jsonschema.exceptions import best_match
except ImportError:
    Validator: Any = None

#: Header fields of answers that the document does not list: those of HTTP, of caches, and of the protection of pages.
USUAL = {
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-resource-policy",
    "date",
    "incremental",
    "referrer-policy",
    "server",
    "transfer-encoding",
    "vary",
    "x-accel-buffering",
    "x-content-type-options",
}


class Told(NamedTuple):
    """
    An answer.

    Attributes:
        method: Method of the request.
        target: Its target.
        status: Status of the answer.
        headers: Its header fields, by names in lower case.
        body: Its body as far as it has come; `None` if it is not known.
    """

    method: str
    target: str
    status: int
    headers: Mapping[str, str]
    body: bytes | None


class Outcome(NamedTuple):
    """
    A kind of answer of an operation.

    Attributes:
        operation: Name of the operation.
        status: Its status, or a group such as `4XX`.
        code: Code of the error; empty if it is none.
    """

    operation: str
    status: str
    code: str


class Judge:
    """
    Judges answers by a document.

    Args:
        document: The document.

    Attributes:
        paths: The paths of the document.
        seen: The outcomes that it has judged.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        if Validator is None:
            raise missing("jsonschema is not installed: pip install -e '.[test]'")
        self.paths: Mapping[str, Mapping[str, Any]] = document["paths"]
        self._paths = [(_makePattern(path), methods) for path, methods in document["paths"].items()]
        self._schemas = {"components": close(document["components"])}
        self.seen: set[Outcome] = set()

    def list(self) -> set[Outcome]:
        """Return all outcomes that the document has."""
        return {
            Outcome(operation["operationId"], status, code)
            for methods in self.paths.values()
            for operation in methods.values()
            for status, response in operation["responses"].items()
            for code in response.get("x-error-codes", [""])
        }

    def judge(self, told: Told) -> None:
        """
        Check an answer.

        Raises:
            AssertionError: It is not as the document says.
        """
        path = told.target.partition("?")[0]
        methods = next((found for pattern, found in self._paths if pattern.fullmatch(path)), None)
        method = "get" if told.method == "HEAD" else told.method.lower()
        if methods is None:
            wanted = 404 if told.method in {"GET", "HEAD", "PUT", "POST", "DELETE"} else 405
            assert told.status == wanted, told
        elif method not in methods:
            assert told.status == 405, told
            allowed = {name.upper() for name in methods} | ({"HEAD"} if "get" in methods else set())
            assert set(told.headers["allow"].split(", ")) == allowed, told
        else:
            self._judgeAnswer(methods[method], told)

    def _judgeAnswer(self, operation: Mapping[str, Any], told: Told) -> None:
        responses, group = operation["responses"], f"{told.status // 100}XX"
        relays = operation.get("x-relays-errors", False)
        status = str(told.status) if str(told.status) in responses else group
        assert status in responses, told
        response = responses[status]
        named = {name.lower() for name in response.get("headers", ())}
        assert told.headers.keys() <= named | USUAL, (told, told.headers.keys() - named - USUAL)
        content = response.get("content")
        mediaType = told.headers.get("content-type", "").partition(";")[0]
        if content is None:
            assert not told.body, told
            assert not mediaType, told
        else:
            assert mediaType in content, (told, list(content))
        isJSON = bool(content) and mediaType == "application/json"
        code = self._judgeBody(content[mediaType]["schema"], told) if isJSON else ""
        codes = response.get("x-error-codes")
        if code and codes and code not in codes:
            assert relays, told
            status = group
        self.seen.add(Outcome(operation["operationId"], status, code if codes and code in codes else ""))

    def _judgeBody(self, schema: Mapping[str, Any], told: Told) -> str:
        """Check a body in JSON; return the code of an error."""
        if told.method == "HEAD" or told.body is None:
            return ""
        value = json.loads(told.body)
        found = best_match(Validator({**self._schemas, **schema}).iter_errors(value))
        assert found is None, (told, found.message)
        error = value.get("error") if told.status >= 400 else None
        return str(error["code"]) if isinstance(error, dict) else ""


def close(schema: Any) -> Any:
    """Return a schema whose objects have no members beside those that it names, unless it says so."""
    if isinstance(schema, list):
        return [close(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {name: close(value) for name, value in schema.items()}
    isObject = isinstance(schema.get("properties"), Mapping) and schema.get("type") == "object"
    return {"additionalProperties": False, **closed} if isObject else closed


def _makePattern(path: str) -> re.Pattern[str]:
    """Return the pattern of the targets of a path. IDs of models may have slashes."""
    value = ".+" if path.startswith("/v1/models/") else "[^/]+"
    return re.compile(re.sub(r"\\\{[a-z]+\\\}", value, re.escape(path.rstrip("/"))) + "/*")
