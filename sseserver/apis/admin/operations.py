"""
The operations for operators, for the OpenAPI documents: the health checks are on both sites, metrics on one.
"""

from __future__ import annotations

from sseserver.apis.admin.missing import PackageMissing
from sseserver.apis.admin.page import ASSETS
from sseserver.errors import Forbidden, NotFound, Overloaded
from sseserver.web.accept import HTML, PLAIN_TEXT
from sseserver.web.assets import findType
from sseserver.web.openapi.operations import (
    TEXT,
    Answer,
    Described,
    Operation,
    Parameter,
    Schema,
    makeJSON,
    makeObject,
    refer,
)
from sseserver.web.pages import MAX_PAGE, makeLimit

#: Media type of OpenMetrics.
OPEN_METRICS = "application/openmetrics-text"

_READINESS = makeObject(
    "Whether the server should get new clients.",
    {
        "ready": {"type": "boolean"},
        "problems": {
            "type": "object",
            "description": "What is not ready: sentences by the part; of a pool, these objects by the worker.",
            "additionalProperties": {"anyOf": [TEXT, {"type": "object", "additionalProperties": TEXT}]},
        },
        "upstreams": {
            "type": "object",
            "description": "Problems of several upstreams by their names; `null` for none, in one worker at least.",
            "additionalProperties": {"type": ["string", "null"]},
        },
    },
    optional=("upstreams",),
)

_HEALTH = (
    Operation(
        method="GET",
        path="/healthz",
        name="readHealth",
        summary="Tell whether the process works",
        answers=(Answer(200, "`ok`.", {PLAIN_TEXT: TEXT}),),
        isOpen=True,
        isChecked=False,
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="readReadiness",
        summary="Tell whether the server should get new clients",
        answers=(
            Answer(200, "It is ready.", makeJSON("Readiness")),
            Answer(503, "It is not ready.", makeJSON("Readiness")),
        ),
        isOpen=True,
        isChecked=False,
    ),
)

_METRICS = Operation(
    method="GET",
    path="/metrics",
    name="readMetrics",
    summary="Read all metrics",
    answers=(
        Answer(200, "The metrics, in the format that `Accept` asks for.", {PLAIN_TEXT: TEXT, OPEN_METRICS: TEXT}),
    ),
    errors=(PackageMissing,),
    isOpen=True,
)

_COUNT: Schema = {"type": "integer", "minimum": 0}
_UNKNOWN_COUNT: Schema = {"type": ["integer", "null"], "minimum": 0}
_SECONDS: Schema = {"type": "number", "description": "Seconds since 1970."}
_UNKNOWN_TEXT: Schema = {"type": ["string", "null"]}

_LIMIT = makeObject(
    "A limit beside its use.",
    {
        "name": TEXT,
        "title": TEXT,
        "used": _COUNT,
        "limit": {**_UNKNOWN_COUNT, "description": "`null` if there is none."},
        "unit": {"type": "string", "enum": ["number", "bytes"]},
    },
)

_KEPT = makeObject("Numbers of streams.", {"open": _COUNT, "ended": _COUNT})

_PROCESS = makeObject(
    "The state of a process.",
    {
        "worker": {"type": ["integer", "null"], "description": "Its number; `null` without `--workers`."},
        "process": _COUNT,
        "host": TEXT,
        "time": _SECONDS,
        "started": _SECONDS,
        "version": TEXT,
        "build": TEXT,
        "speedups": {"type": "boolean"},
        "python": TEXT,
        "twisted": TEXT,
        "source": TEXT,
        "store": TEXT,
        "formats": {"type": "array", "items": TEXT},
        "problems": {"type": "object", "additionalProperties": TEXT},
        "streams": makeObject("Streams in memory, by the kind of their writer.", {"runs": _KEPT, "published": _KEPT}),
        "limits": {"type": "array", "items": refer("Limit")},
        "counts": {
            "type": "object",
            "description": "Counts since the start.",
            "additionalProperties": {"type": "number"},
        },
    },
)

_STATUS = makeObject(
    "The states of all processes of a server.",
    {
        "processes": {"type": "array", "items": refer("Process")},
        "silent": {"type": "array", "items": _COUNT, "description": "Numbers of workers that do not answer."},
    },
)

_VIEWER = makeObject(
    "A viewer. Sizes are bytes.",
    {
        "stream": {**_UNKNOWN_TEXT, "description": "`null`: it gets another large answer."},
        "format": {**_UNKNOWN_TEXT, "description": "`null`: its answer has not begun, or is no event stream."},
        "address": _UNKNOWN_TEXT,
        "principal": _UNKNOWN_TEXT,
        "cursor": {**_UNKNOWN_COUNT, "description": "Number of the last entry read."},
        "behind": {**_UNKNOWN_COUNT, "description": "Number of entries that follow."},
        "sent": _COUNT,
        "queued": {**_COUNT, "description": "Written, and not with the system yet."},
        "isPaused": {"type": "boolean", "description": "Whether it takes nothing now."},
        "age": {"type": ["number", "null"], "description": "Seconds."},
    },
)

_VIEWERS = makeObject(
    "A page of the list of viewers.",
    {
        "viewers": {"type": "array", "items": refer("Viewer"), "maxItems": MAX_PAGE},
        "total": {**_COUNT, "description": "Number of viewers on all pages."},
        "next": {**_UNKNOWN_COUNT, "description": "Value of `after` for the next page."},
    },
)

_PAGE = (
    Operation(
        method="GET",
        path="/admin",
        name="readPage",
        summary="Get the operator's page",
        answers=(Answer(200, "The page.", {HTML: TEXT}),),
        isOpen=True,
    ),
    Operation(
        method="GET",
        path="/admin/assets/{file}",
        name="readAsset",
        summary="Get a file of the page",
        answers=(
            Answer(200, "The file.", {findType(name).partition(";")[0]: TEXT for name in ASSETS}, ("ETag",)),
            Answer(304, "The client has this version.", headers=("ETag",)),
        ),
        errors=(NotFound,),
        parameters=(Parameter("path", "file", "Name of the file.", {"type": "string", "enum": list(ASSETS)}),),
        isOpen=True,
    ),
    Operation(
        method="GET",
        path="/admin/status.json",
        name="readStatus",
        summary="Read the limits beside their use, and the counts",
        answers=(Answer(200, "The states of all processes.", makeJSON("Status")),),
        errors=(Forbidden,),
    ),
    Operation(
        method="GET",
        path="/admin/viewers.json",
        name="listViewers",
        summary="List the viewers, the oldest first",
        answers=(Answer(200, "A page of the list.", makeJSON("ViewerList")),),
        errors=(Forbidden, Overloaded),
        parameters=(
            makeLimit("viewers"),
            Parameter("query", "after", "Number of viewers before the page.", {**_COUNT, "maximum": 10**9 - 1}),
            Parameter("query", "stream", "Only the viewers of this stream."),
            Parameter(
                "query",
                "worker",
                "With `--workers`: the number of the worker; otherwise it is the first one.",
                {"type": "integer", "minimum": 1, "maximum": 99},
            ),
        ),
    ),
)

#: The health checks, for everybody.
HEALTH_CHECKS = Described("health", "Health checks.", _HEALTH, {"Readiness": _READINESS})

#: The site for operators.
OPERATORS = Described("operators", "Metrics.", (_METRICS,))

#: The operator's page.
PAGE = Described(
    "page",
    "The operator's page, and its data beside the streams.",
    _PAGE,
    {"Limit": _LIMIT, "Process": _PROCESS, "Status": _STATUS, "Viewer": _VIEWER, "ViewerList": _VIEWERS},
)
