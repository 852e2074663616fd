"""
Hooks of Schemathesis (`SCHEMATHESIS_HOOKS`): names of streams that exist, and checks of codes and header fields.

Without them nearly every request for a stream would be answered 404, and a viewer of an open stream would read for
ever: names are replaced by that of a stream that has ended for readers, and of an open one for publishers.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis

from tests.described import USUAL

#: A stream that has ended.
ENDED = "ended"

#: A stream that stays open, and that nobody reads.
OPEN = "open"

#: Names by the operations that get them.
_NAMES = {"readStream": ENDED, "cancelStream": ENDED, "publish": OPEN, "makeLink": ENDED}


@schemathesis.hook
def before_call(context: Any, case: Any, keywords: Any) -> None:
    """Send each second request for a stream to one that exists; let every new stream end at once."""
    name = _NAMES.get(case.operation.definition.raw["operationId"])
    parameters = case.path_parameters or {}
    if name is not None and len(str(parameters.get("name", "a"))) % 2 == 0:
        case.path_parameters = {**parameters, "name": name}
    if case.operation.definition.raw["operationId"] == "openStream":
        case.headers = {**(case.headers or {}), "Stream-Closed": "true"}


@schemathesis.check
def error_codes(context: Any, response: Any, case: Any) -> None:
    """Check that the code of an error is one that the document has for its status."""
    operation = case.operation.definition.raw
    described = operation["responses"].get(str(response.status_code), {})
    if "x-error-codes" in described and response.headers.get("content-type", [""])[0] == "application/json":
        code = json.loads(response.content)["error"]["code"]
        assert code in described["x-error-codes"] or operation.get("x-relays-errors"), code


@schemathesis.check
def known_headers(context: Any, response: Any, case: Any) -> None:
    """Check that the document has the header fields of an answer, but for those that every site has."""
    if response.status_code == 405:
        # The document describes these answers once for all methods that it does not have.
        return
    responses = case.operation.definition.raw["responses"]
    described = responses.get(str(response.status_code)) or responses.get(f"{response.status_code // 100}XX", {})
    named = {name.lower() for name in described.get("headers", ())}
    unknown = {name.lower() for name in response.headers} - named - USUAL
    assert not unknown, unknown
