"""
Writes docs/errors.md, the reference of the error codes, from the error classes, the operations and the texts below.

Run it after a change of one of them, from the root of the repository:

    python docs/errorreference.py

tests/docs/test_errorreference.py fails while page and code differ.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sseserver.apis.admin.operations import HEALTH_CHECKS, OPERATORS
from sseserver.apis.chat.operations import CHAT
from sseserver.apis.durable.operations import DURABLE
from sseserver.apis.messages.operations import MESSAGES
from sseserver.apis.native.operations import makeNative
from sseserver.apis.page.operations import makePage
from sseserver.apis.responses.operations import RESPONSES
from sseserver.apis.session.operations import SESSION
from sseserver.apis.ui.operations import CHATS
from sseserver.errors import ForeignOrigin, MethodNotAllowed, MisdirectedRequest, NotFound, SSEServerError
from sseserver.formats import makeFormats
from sseserver.sources.standardinput import BEHIND
from sseserver.sources.upstreamerrors import CLIENT_STATUSES, UPSTREAM_STATUSES
from sseserver.values import MODEL, Reason
from sseserver.web.openapi.document import EVERY, GUARDED
from sseserver.web.openapi.operations import DESCRIPTION, Operation
from sseserver.web.targets import MethodNotSupported

#: Breaks lines where no name has a dash.
_fill = partial(textwrap.fill, width=99, break_long_words=False, break_on_hyphens=False, subsequent_indent="  ")

#: Pieces of a line that stay together: code, and the texts of links.
_PIECE = re.compile(r"`[^`]*`|\[[^]]*\]")

#: Stands for a space in them.
_NO_BREAK = "\0"

PAGE = Path(__file__).with_name("errors.md")


class Advice(NamedTuple):
    """
    The texts about an error code.

    Attributes:
        cause: A sentence.
        remedy: What the client or its developer does: one sentence or two.
        retry: Whether the same request may be sent again. An error with `Retry-After` needs none.
    """

    cause: str
    remedy: str
    retry: str = "no, the answer would be the same"


class Failure(NamedTuple):
    """
    The row of a reason for which a token source fails.

    Attributes:
        statuses: HTTP statuses of a request that has no other answer yet.
        cause: A noun phrase or a short clause.
        retry: Whether a retry can help.
    """

    statuses: tuple[int, ...]
    cause: str
    retry: str


#: Texts by code, for every error that a request can be answered with.
ADVICE = {
    "bad_request": Advice(
        "The request is malformed: its head, a parameter, or a body that is no JSON.",
        "Read the message, which names the part that is wrong.",
    ),
    "invalid_value": Advice(
        "A member of the body is missing or has a wrong value.",
        "`param` has the path of the member, such as `messages[0].role`, and the message says what it must be.",
    ),
    "malformed_event": Advice(
        "An event stream cannot carry the published event, because of a line end or NUL in its type, for example.",
        "Publish the text as `data`, which may have any characters.",
    ),
    "answer_too_long": Advice(
        "The answer is longer than one response may be (`--window`), or its start is no longer kept.",
        'Ask for it with `"stream": true`, or read the stream at `Content-Location`.',
    ),
    "unauthorized": Advice(
        "The request has no credential, or one that is wrong or has expired. `WWW-Authenticate` says how to send one.",
        "Get a new key, token or link ([Access](access.md)), and send it in `Authorization`.",
        "with another credential",
    ),
    "forbidden": Advice(
        "The credential is valid, but gives no right to do this with a stream of this name.",
        "Use a credential with the right that the message names ([Rights](access.md#rights)).",
        "with another credential",
    ),
    "foreign_origin": Advice(
        "A page of another origin has sent a request that would change something.",
        "List the origin of the page with `--cors-origin` "
        "([Pages of other origins](http-api.md#pages-of-other-origins)).",
    ),
    "not_found": Advice(
        "No resource has this URL.",
        "Compare the path with the [list of URLs](http-api.md#urls), and with the path where the resource is mounted.",
    ),
    "response_not_found": Advice(
        "There is no response with this ID: it never existed, was not stored, or is no longer kept.",
        "Ask for a new response. `--keep` sets how long one is kept.",
    ),
    "events_gone": Advice(
        "A response cannot be continued after this event: what follows is no longer kept, or is void.",
        "If the answer has begun anew, read its events from the start. If events were trimmed, read the stream that "
        "`Content-Location` names, which has what is left, or start the server with a larger `--window`.",
    ),
    "offset_gone": Advice(
        "A reader of Durable Streams cannot continue after its offset: what follows is no longer kept, was lost, or "
        "is void.",
        "Read the stream from its start, with `offset=-1`. If that is answered 410 as well, its beginning is gone.",
    ),
    "stream_not_found": Advice(
        "No stream has this name, it is no longer kept, or the credential does not let you know of it.",
        "Open it with `PUT`, or start a run. If it ended longer ago than `--keep`, its text is gone.",
    ),
    "model_not_found": Advice(
        "The token source has no model of this name.",
        "Take a name from `GET /v1/models`, or leave out `model`.",
    ),
    "method_not_allowed": Advice(
        "The resource does not have this method.", "The header `Allow` lists those that it has."
    ),
    "not_acceptable": Advice(
        "The header `Accept` excludes every media type that the resource offers.",
        "Leave it out, or take a type that the message lists.",
    ),
    "request_timeout": Advice(
        "The head or the body of the request did not arrive in time, and the connection was closed.",
        "Send a head within 10 seconds, and a body within 30, or in smaller parts.",
        "yes, on a new connection",
    ),
    "stream_exists": Advice(
        "The name belongs to a stream that this request cannot use: a run writes it, or it has other entries.",
        "Choose another name, or publish into the stream with `POST` if it is yours.",
    ),
    "stream_ended": Advice(
        "The stream has its terminal entry, and nothing can be appended.",
        "Publish into a new stream. To use the name again, delete the old stream first.",
    ),
    "cancelled": Advice(
        "The run was cancelled or deleted before it had an answer.",
        "Send a new request, with a new `Idempotency-Key`, if the answer is wanted after all.",
        "no, somebody did not want this answer",
    ),
    "body_too_large": Advice(
        "The body is larger than `--max-body`, or a JSON body has too many values.",
        "Publish in several requests. For long prompts raise `--max-body`.",
    ),
    "target_too_long": Advice(
        "The first line of the request is longer than 16 KiB.", "Put the data into the body instead of the URL."
    ),
    "unsupported_media_type": Advice(
        "The body is compressed, or has a type that the URL does not take.",
        "Send `Content-Type: application/json` (or a type in the message), without `Content-Encoding`.",
    ),
    "expectation_failed": Advice("The header `Expect` has another value than `100-continue`.", "Leave the header out."),
    "misdirected_request": Advice(
        "The server does not answer to the name in the header `Host`.",
        "List the name with `--host` ([Hosts and origins](operations.md#hosts-and-origins)).",
    ),
    "idempotency_key_reused": Advice(
        "The `Idempotency-Key` came before, with another request.",
        "Make a new key for each request, and keep it for its repetitions only.",
    ),
    "rate_limit_exceeded": Advice(
        "This client has reached a limit of its own ([Clients](limits.md#clients)); others are served.",
        "Close viewers that are not needed, and let runs end.",
    ),
    "head_too_large": Advice(
        "The head of the request is larger than 16 KiB, often because of cookies.",
        "Send fewer or smaller header fields.",
    ),
    "internal_error": Advice(
        "A bug of the server or of an embedder's code. The log has the traceback.",
        "Report it, with the line of the log.",
        "once; with an `Idempotency-Key` nothing is done twice",
    ),
    "method_not_supported": Advice(
        "The method is `CONNECT`: the server is no proxy.", "Do not name the server as a proxy."
    ),
    "package_missing": Advice(
        "Metrics need a package that is not installed.", "`pip install 'sseserver[metrics]'`, and start again."
    ),
    "overloaded": Advice(
        "A limit of the whole server is reached, or the server is stopping.",
        "Wait. If it happens often, raise the limit in the message ([Limits](limits.md)).",
    ),
    "overloaded_error": Advice(
        "The same as `overloaded`, with the status that Anthropic's clients know for it.",
        "Wait. Anthropic's clients repeat the request by themselves.",
    ),
    "keys_unavailable": Advice(
        "The keys that verify tokens cannot be fetched from their issuer.",
        "Look into the log of the server, and try the URL of `--jwks-url`.",
    ),
    "store_unavailable": Advice(
        "The store cannot read or write now: a full disk, a locked file, a lost connection to Redis.",
        "Repeat a publish with the same `Idempotency-Key`: it is not doubled if it had been stored.",
    ),
    "store_damaged": Advice(
        "Another program has changed what Redis has of this stream, or of this idempotency key. The log names the key.",
        "Delete the stream, or take another key ([Foreign values](scaling.md#foreign-values)).",
    ),
}

_RELAYED = (*sorted(CLIENT_STATUSES), 502, *sorted(UPSTREAM_STATUSES))

#: Rows by reason, for everything that ends a run `failed`.
FAILURES = {
    Reason.SHUTDOWN: Failure((503,), "the server was stopped", "yes, after `Retry-After`"),
    Reason.INTERRUPTED: Failure((503,), "the server died", "yes, after `Retry-After`"),
    Reason.ERROR: Failure((502,), "the token source has a bug; see the log", "once"),
    Reason.SOURCE: Failure((502,), "the token source gave no other reason", "once"),
    Reason.PROMPT: Failure((400, 404), "the source cannot take this prompt or model", "no, change it"),
    Reason.ASYNCIO: Failure((502,), "the source needs `twistd --reactor asyncio`", "no"),
    Reason.START: Failure((500, 503), "the program could not be started", "after 503, later"),
    Reason.EXIT: Failure((502,), "the program ended with an exit status", "once"),
    Reason.SIGNAL: Failure((502,), "the program was ended by a signal", "once"),
    BEHIND: Failure((502,), "the visitor read standard input too late: its start is gone", "no"),
    Reason.UNREACHABLE: Failure((502,), "no connection to the upstream", "yes, later"),
    Reason.REFUSED: Failure(_RELAYED, "the upstream answered with an error status", "as the status says"),
    Reason.UPSTREAM: Failure(_RELAYED, "the upstream reported an error in its stream", "as the status says"),
    Reason.MALFORMED: Failure((502,), "the upstream's answer cannot be read", "once"),
    Reason.TRUNCATED: Failure((502,), "the upstream's answer ended too early", "yes"),
    Reason.TIMEOUT: Failure((504,), "the upstream was silent for too long", "yes, later"),
}

INTRODUCTION = """\
<!-- Written by docs/errorreference.py from the error classes and its texts; edit these instead. -->

# Errors by code

For developers of clients. After this page you know what each error code means, what to do about
it, and whether a request may be sent again.

## The answer

Errors are JSON:

```json
{"error": {"message": "...", "type": "invalid_request_error", "code": "stream_not_found"}}
```

* `code` names the error, for programs. It does not change between versions.
* `type` is a class in OpenAI's words: `invalid_request_error`, `rate_limit_error` or
  `server_error`.
* `message` is a sentence for people. It may change.
* `param` is there if one member of the body is wrong: `"messages[0].role"`, or `"[1].token"` in a
  list that is published.

A browser that opens such a URL gets the message as a small HTML page instead: a `GET` whose
`Accept` prefers `text/html` to JSON.

## Sending a request again

* 429 and 503 have the header `Retry-After`, in seconds, unless a retry cannot help. Wait that long.
* Other statuses below 500 stay as they are until the request changes; `request_timeout` is the
  exception.
* The header `x-should-retry: false` says that a retry cannot help, whatever the status is.
* Without an answer, after a lost connection, repeat the request with the same
  [`Idempotency-Key`](http-api.md#idempotency-keys): nothing is done twice.
* An `EventSource` gives up for good after any status but 200 on a reconnect. So a full server
  answers a viewer in another way: see [A full server](http-api.md#a-full-server).

## Codes

The codes of requests, by status. "Any request" includes those to URLs that do not exist.
"""

FAILED = """\
## Failures of a token source

A run that fails before its answer has begun is answered with these codes. They are also the
`reason` of the event [`failed`](events.md#failed), and the `code` of an error in the format
[`openai`](events.md#openai). An upstream may give a code, a type and a `param` of its own, which
stand in place of these: `reason` then still has the word below. A token source of yours may raise
`SourceError` with a word and a status of its own.

| `code` | status | cause | retry |
| --- | --- | --- | --- |
"""

LATER = f"""
An upstream's status is passed on if it is one of {", ".join(map(str, sorted(CLIENT_STATUSES)))},
{" or ".join(map(str, sorted(UPSTREAM_STATUSES)))}. Any other becomes 502.

## Errors inside a stream

After the first byte a response keeps its status 200, and errors are events. The formats `events`,
`entries` and `text` have [`failed`](events.md#failed), [`cancelled`](events.md#cancelled) and
[`gap`](events.md#gap). In the format `openai` the last event is an error whose `code` is one of
those above, or one of these:

| `code` | cause | remedy |
| --- | --- | --- |
| `gap` | `Last-Event-ID` cannot be continued without a gap | ask again without it |
| `interrupted` | the run has begun anew at another server | ask again, with the same key |
| `shutdown` | the server ends this response, the stream goes on | resume it later |
| `asked`, `deleted` | somebody cancelled or deleted the stream | nothing |
| `linger`, `idle` | nobody was left who read or published | ask again |

## Errors in Python only

These codes are attributes of exceptions that embedders can meet. No answer has them.

"""

#: Causes of the codes that no answer has.
PYTHON_ONLY = {
    "event_source": "an `EventSource` of `sseserver.client` failed: its subclasses say how",
    "event_too_large": "a `Decoder` met an event over its limit",
    "gap": "a log cannot continue after a last event ID; viewers get the event `gap`",
    "refused": "a format cannot serve the rest of a stream to a viewer",
    "unfinished": "a format needs more turns of the reactor before it can write",
}


def listErrors(base: type[SSEServerError] = SSEServerError) -> Iterator[type[SSEServerError]]:
    """Yield the classes of errors that are answers, a class before those that derive from it."""
    if base.code in ADVICE:
        yield base
    for derived in base.__subclasses__():
        yield from listErrors(derived)


def listCodes() -> list[type[SSEServerError]]:
    """Return one class for each code, by status and code."""
    codes: dict[str, type[SSEServerError]] = {}
    for each in listErrors():
        codes.setdefault(each.code, each)
    return sorted(codes.values(), key=lambda each: (each.status, each.code))


def listOperations() -> list[Operation]:
    """Return the operations of all APIs, the native one first."""
    formats = tuple(makeFormats(MODEL))
    models = (CHAT, RESPONSES, MESSAGES, CHATS, DURABLE)
    apis = (makeNative(formats), *models, makePage(formats), SESSION, DESCRIPTION, OPERATORS)
    return [operation for api in apis for operation in api.operations]


def askers(error: type[SSEServerError]) -> str:
    """Return the requests that are answered with an error."""
    code = error.code
    if code in {each.code for each in (*EVERY, MethodNotAllowed, MethodNotSupported, NotFound)}:
        return "any request"
    if code in {each.code for each in GUARDED}:
        return "any request that needs a credential"
    if code == MisdirectedRequest.code:
        checks = [f"`{operation.path}`" for operation in HEALTH_CHECKS.operations]
        return f"any request but {' and '.join(checks)}"
    if code == ForeignOrigin.code:
        return "any request with a method other than GET, and event streams at `/`"
    named = [
        f"`{operation.method} {operation.path}`"
        for operation in listOperations()
        if code in {each.code for each in operation.errors}
    ]
    return ", ".join(named)


def fill(item: str) -> str:
    """Return an item of a list in lines, none of which ends inside code or the text of a link."""
    kept = _PIECE.sub(lambda piece: piece[0].replace(" ", _NO_BREAK), item)
    return _fill(f"* {kept}").replace(_NO_BREAK, " ")


def section(error: type[SSEServerError]) -> str:
    """Return the section of one code."""
    advice = ADVICE[error.code]
    retry = advice.retry if error.retryAfter is None else "yes, after the seconds of `Retry-After`"
    items = (
        f"Status: {error.status}",
        f"Cause: {advice.cause}",
        f"Remedy: {advice.remedy}",
        f"Retry: {retry}",
        f"Answer to: {askers(error)}",
    )
    return f"### `{error.code}`\n\n" + "\n".join(map(fill, items)) + "\n"


def failure(reason: str, row: Failure) -> str:
    """Return the row of a reason."""
    statuses = "the upstream's" if row.statuses is _RELAYED else ", ".join(map(str, row.statuses))
    return f"| `{reason}` | {statuses} | {row.cause} | {row.retry} |"


def reference() -> str:
    """Return the page."""
    return (
        "\n".join([INTRODUCTION, *map(section, listCodes()), FAILED])
        + "\n".join(failure(reason, row) for reason, row in FAILURES.items())
        + "\n"
        + LATER
        + "".join(f"* `{code}`: {cause}.\n" for code, cause in PYTHON_ONLY.items())
    )


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
