"""
The OpenAPI 3.1 document: built from the operations of APIs, the error classes, and the settings of a server.

Reference: https://spec.openapis.org/oas/v3.1.1.html. Two members are our own: `x-error-codes` of a response lists the
codes of its errors, and `x-relays-errors` of an operation means that a token source may answer with others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec

from sseserver.errors import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    ForeignOrigin,
    KeysUnavailable,
    MisdirectedRequest,
    RequestTimeout,
    SSEServerError,
    Unauthorized,
    UnsupportedType,
)
from sseserver.settings import Settings
from sseserver.values import VERSION
from sseserver.web.accept import HTML, JSON
from sseserver.web.access.sessions import COOKIE
from sseserver.web.heads import ExpectationFailed, HeadTooLarge, TargetTooLong
from sseserver.web.openapi.operations import TEXT, Answer, Body, Described, Operation, Parameter, makeObject, refer

#: Version of the specification.
OPENAPI = "3.1.1"

#: Errors of a request whose head or body cannot be read. Every operation has them.
EVERY = (
    BadRequest,
    RequestTimeout,
    BodyTooLarge,
    TargetTooLong,
    UnsupportedType,
    ExpectationFailed,
    HeadTooLarge,
    SSEServerError,
)

#: Errors of credentials, where they are needed; the second one only with keys that are fetched. `Forbidden` is listed
#: with the operations that need a right.
GUARDED = (Unauthorized, KeysUnavailable)


class Guard(NamedTuple):
    """
    The credentials that a server asks for.

    Attributes:
        asks: Whether requests need credentials.
        hasSessions: Whether the server checks credentials by itself, and so has sessions.
        fetchesKeys: Whether keys that verify credentials may be missing for a time.
    """

    asks: bool
    hasSessions: bool
    fetchesKeys: bool


#: The header fields of answers, by name.
HEADERS = {
    "Content-Location": "URL of the stream of the answer.",
    "ETag": "Version of the content.",
    "Location": "URL of the stream.",
    "Retry-After": "Seconds after which the request may be repeated.",
    "Set-Cookie": "The session.",
    "Stream-Closed": "`true` if nothing will ever follow.",
    "Stream-Cursor": "Value of the parameter `cursor` of the next request.",
    "Stream-Gap": "Number of entries that were trimmed before the text.",
    "Stream-Next-Offset": "Value of the parameter `offset` of the next request.",
    "Stream-Up-To-Date": "`true` if there is nothing more at present.",
    "WWW-Authenticate": "The credentials that the server takes.",
    "X-Upstream": "Name of the upstream that answers, if there are several.",
    "X-Upstream-Failed": "Upstreams that failed before it, with the reasons.",
    "request-id": "ID of the request, as Anthropic's clients look for it.",
    "x-request-id": "ID of the request.",
    "x-should-retry": "`false` if the same request would fail again.",
    "x-vercel-ai-ui-message-stream": "Version of the UI message stream.",
    "x-workflow-run-id": "Name of the stream of the answer, by which it is resumed.",
    "x-workflow-stream-tail-index": "Number of the newest part of the message, from 0; -1 if there is none.",
}

_ERROR = makeObject(
    "An error.",
    {
        "error": makeObject(
            "Its description.",
            {
                "message": {"type": "string", "description": "A sentence for people, which may change."},
                "type": {"type": "string", "description": "Class of the error, in OpenAI's words."},
                "param": {"type": "string", "description": "Path of the wrong member of the body."},
                "code": {"type": "string", "description": "Name of the error, for programs."},
            },
            optional=("param",),
        )
    },
)

_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token."},
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same, as Anthropic's clients do.",
    },
    "link": {"type": "apiKey", "in": "query", "name": "sig", "description": "Signature of a signed link."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A session of a browser."},
}

_INTRODUCTION = (
    "Paths are relative to the place of this document. A trailing slash makes no difference. HEAD has the status and "
    "the headers of GET. Any other method is answered 405 (`method_not_allowed`) with the header `Allow`, any other "
    "path 404 (`not_found`), and CONNECT 501 (`method_not_supported`)."
)


class DocumentBuilder:
    """
    Builds the document of a server.

    Args:
        title: Title of the document.
        apis: The APIs that it describes.
        settings: The settings of the server, with the limits of bodies.
        guard: The credentials that the server asks for.
    """

    def __init__(self, title: str, apis: Sequence[Described], settings: Settings, guard: Guard) -> None:
        self._title = title
        self._apis = apis
        self._settings = settings
        self._guard = guard

    def build(self) -> dict[str, Any]:
        """Return the document, as JSON values."""
        security: dict[str, Any] = {"security": [{name: []} for name in _SECURITY_SCHEMES]} if self._guard.asks else {}
        schemes = {"securitySchemes": _SECURITY_SCHEMES} if self._guard.asks else {}
        return {
            "openapi": OPENAPI,
            "info": {"title": self._title, "version": VERSION, "description": _INTRODUCTION},
            "servers": [{"url": "."}],
            "tags": [{"name": api.tag, "description": api.description} for api in self._apis],
            **security,
            "paths": self._buildPaths(),
            "components": {"schemas": self._buildSchemas(), **schemes},
        }

    def _buildPaths(self) -> dict[str, dict[str, Any]]:
        paths: dict[str, dict[str, Any]] = {}
        for api in self._apis:
            for operation in api.operations:
                if self._guard.hasSessions or not operation.needsSessions:
                    described = {"tags": [api.tag], **self._buildOperation(operation)}
                    paths.setdefault(operation.path, {})[operation.method.lower()] = described
        return paths

    def _buildSchemas(self) -> dict[str, Any]:
        schemas: dict[str, Any] = {"Error": _ERROR}
        for api in self._apis:
            schemas |= api.schemas
            _, components = msgspec.json.schema_components(api.structs, ref_template="#/components/schemas/{name}")
            schemas |= components
        return schemas

    def _buildOperation(self, operation: Operation) -> dict[str, Any]:
        body = {} if operation.body is None else {"requestBody": self._buildBody(operation.body)}
        parameters = {"parameters": list(map(_buildParameter, operation.parameters))} if operation.parameters else {}
        return {
            "operationId": operation.name,
            "summary": operation.summary,
            **({"security": []} if operation.isOpen and self._guard.asks else {}),
            **({"x-relays-errors": True} if operation.relays else {}),
            **parameters,
            **body,
            "responses": self._buildResponses(operation),
        }

    def _buildBody(self, body: Body) -> dict[str, Any]:
        return {
            "description": f"At most {body.limit(self._settings)} bytes.",
            "required": body.required,
            "content": _buildContent(body.content),
        }

    def _buildResponses(self, operation: Operation) -> dict[str, Any]:
        # A browser gets a page.
        page = {HTML: TEXT} if operation.method == "GET" else {}
        content = _buildContent({JSON: refer(operation.errorSchema), **page})
        always = operation.headers
        responses = {str(answer.status): _buildAnswer(answer, always) for answer in operation.answers}
        for status, errors in sorted(_groupErrors(self._findErrors(operation)).items()):
            responses[str(status)] = _buildErrors(status, errors, content, always)
        if operation.relays:
            for group in ("4XX", "5XX"):
                responses[group] = _buildRelayed(content, always)
        return responses

    def _findErrors(self, operation: Operation) -> set[type[SSEServerError]]:
        """Return the errors of an operation on this server."""
        errors: set[type[SSEServerError]] = {*EVERY, *operation.errors}
        if operation.isChecked:
            errors.add(MisdirectedRequest)
            if operation.method != "GET":
                errors.add(ForeignOrigin)
        if not self._guard.asks:
            errors.discard(Forbidden)
        elif not operation.isOpen:
            errors.update(GUARDED if self._guard.fetchesKeys else GUARDED[:1])
        return errors


def _groupErrors(errors: Iterable[type[SSEServerError]]) -> dict[int, list[type[SSEServerError]]]:
    """Return errors by their statuses, each group in the order of the codes."""
    groups: dict[int, list[type[SSEServerError]]] = {}
    for error in sorted(errors, key=lambda error: error.code):
        groups.setdefault(error.status, []).append(error)
    return groups


def _buildParameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        **({"required": True} if parameter.place == "path" else {}),
        "schema": parameter.schema,
    }


def _buildContent(content: Mapping[str, Any]) -> dict[str, Any]:
    return {mediaType: {"schema": schema} for mediaType, schema in content.items()}


def _buildHeaders(names: Iterable[str]) -> dict[str, Any]:
    described = {name: {"description": HEADERS[name], "schema": TEXT} for name in names}
    return {"headers": described} if described else {}


def _buildAnswer(answer: Answer, always: tuple[str, ...]) -> dict[str, Any]:
    content = {"content": _buildContent(answer.content)} if answer.content else {}
    return {"description": answer.description, **_buildHeaders((*answer.headers, *always)), **content}


def _buildErrors(
    status: int, errors: Sequence[type[SSEServerError]], content: dict[str, Any], always: tuple[str, ...]
) -> dict[str, Any]:
    """
    Describe the answers with one status.

    Args:
        status: The status.
        errors: The errors.
        content: Content of the answers.
        always: Names of header fields that every answer may have.
    """
    headers = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",), 529: ("Retry-After",)}.get(
        status, ()
    )
    return {
        "description": "; ".join(f"`{error.code}`: {_describe(error)}" for error in errors) + ".",
        **_buildHeaders((*headers, *always)),
        "content": content,
        "x-error-codes": [error.code for error in errors],
    }


def _buildRelayed(content: dict[str, Any], always: tuple[str, ...]) -> dict[str, Any]:
    """Describe the answers whose status is that of a failed token source."""
    return {
        "description": "The token source has failed with this status, or the run was cancelled.",
        **_buildHeaders(("Retry-After", "x-should-retry", *always)),
        "content": content,
    }


def _describe(error: type[SSEServerError]) -> str:
    """Return the cause of an error: the first sentence of its docstring, which `python -OO` removes."""
    if error is SSEServerError:
        return "a bug of the server"
    text = (error.__doc__ or HTTPStatus(error.status).phrase).strip().partition(".")[0].partition("\n")[0]
    return text[:1].lower() + text[1:]
