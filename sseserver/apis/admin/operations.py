"""
The operations for operators, for the OpenAPI documents: the health checks are on both sites, metrics on one.
"""

from __future__ import annotations

from sseserver.apis.admin.missing import PackageMissing
from sseserver.web.accept import PLAIN_TEXT
from sseserver.web.openapi.operations import TEXT, Answer, Described, Operation, makeJSON, makeObject

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
    },
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
)

#: The health checks, for everybody.
HEALTH_CHECKS = Described("health", "Health checks.", _HEALTH, {"Readiness": _READINESS})

#: The site for operators.
OPERATORS = Described("operators", "Metrics.", (_METRICS,))
