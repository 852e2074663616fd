"""
The operations of the page, for the OpenAPI document.
"""

from __future__ import annotations

from sseserver.apis.page.page import ASSETS
from sseserver.errors import (
    Forbidden,
    ForeignOrigin,
    NotAcceptable,
    NotFound,
    Overloaded,
    RateLimited,
    StoreUnavailable,
)
from sseserver.web.accept import EVENT_STREAM, HTML
from sseserver.web.assets import findType
from sseserver.web.openapi.operations import EVENTS, TEXT, Answer, Described, Operation, Parameter, makeViewing

_KEPT = Answer(304, "The client has this version.", headers=("ETag",))

_FILE = Parameter("path", "file", "Name of the file.", {"type": "string", "enum": list(ASSETS)})


def makePage(formats: tuple[str, ...]) -> Described:
    """
    Describe the page.

    Args:
        formats: Names of the formats.
    """
    return Described("page", "The page, and a run for each visitor.", (_makeVisit(makeViewing(formats)), *_FILES))


def _makeVisit(parameters: tuple[Parameter, ...]) -> Operation:
    return Operation(
        method="GET",
        path="/",
        name="visit",
        summary="Get the page, or start a run and follow it",
        answers=(
            Answer(
                200,
                "The page; or the events of the visitor's run, if `Accept` prefers them.",
                {HTML: TEXT, EVENT_STREAM: EVENTS},
                ("x-vercel-ai-ui-message-stream",),
            ),
            Answer(204, "The visitor has the terminal event, or the run was not started here."),
        ),
        errors=(Forbidden, ForeignOrigin, NotAcceptable, RateLimited, Overloaded, StoreUnavailable),
        parameters=parameters,
    )


_FILES = (
    Operation(
        method="GET",
        path="/assets/{file}",
        name="readAsset",
        summary="Get a file of the page",
        answers=(
            Answer(200, "The file.", {findType(name).partition(";")[0]: TEXT for name in ASSETS}, ("ETag",)),
            _KEPT,
        ),
        errors=(NotFound,),
        parameters=(_FILE,),
        isOpen=True,
    ),
    Operation(
        method="GET",
        path="/favicon.ico",
        name="readIcon",
        summary="Get the icon",
        answers=(Answer(200, "The icon.", {findType("icon.svg"): TEXT}, ("ETag",)), _KEPT),
        isOpen=True,
    ),
)
