"""
Writes docs/events.md, the reference of the events, from the formats and the texts below.

Every example is written by the format that it shows.

Run it after a change of one of them, from the root of the repository:

    python docs/eventreference.py

tests/docs/test_eventreference.py fails while page and code differ.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from twisted.internet.task import Clock

from sseserver.errors import ErrorDetails, GapError, SourceError, ViewerRefused
from sseserver.formats import makeFormats
from sseserver.interfaces import IFormat
from sseserver.streams.entries import packChunk
from sseserver.streams.log import StreamLog
from sseserver.streams.terminal import packCancelled, packDone, packFailed, packRestart
from sseserver.timing.ticker import Ticker
from sseserver.values import Kind, NewEntry, Reason
from sseserver.wire import Decoder, Event

PAGE = Path(__file__).with_name("events.md")

#: Epoch of the examples.
EPOCH = "9fQ2mZ7cLx0aTbV4kR1sWd"

#: Seconds since 1970. The time at which the stream of the examples began.
CREATED = 1764547200.0

#: Milliseconds. Reconnection time in the examples.
RETRY = 3000

#: Characters. Events in a cell of a table that has more of them are left out.
_CELL = 78

#: Characters of a line of an example.
_WIDTH = 99

#: Bytes. More than an example has.
_ALL = 1 << 20


class Member(NamedTuple):
    """
    A member of the JSON object in the data of an event.

    Attributes:
        name: Its name.
        type: Its type in JSON, with the unit of a number.
        meaning: A phrase.
    """

    name: str
    type: str
    meaning: str


class Described(NamedTuple):
    """
    An event of the server itself.

    Attributes:
        type: Its type.
        when: When it is sent, and what its ID is: sentences.
        members: The members of its data.
        todo: What a client should do.
        entry: The entry of the example; `None` for an event that is no entry.
    """

    type: str
    when: str
    members: tuple[Member, ...]
    todo: str
    entry: NewEntry | None = None


FAILED = SourceError(
    "Rate limit reached.",
    Reason.REFUSED,
    429,
    20,
    ErrorDetails(code="rate_limit_exceeded", type="requests", param="model", final=False),
)

_REASON = Member("reason", "string", "see the table")

#: The events of the format `events`, but for those of entries that a source or a publisher wrote.
EVENTS = (
    Described(
        "stream",
        "The first event of each response; only a `gap` comes before it. Its ID is the position of the\n"
        "viewer, `<epoch>-0` for a new one, and it carries the reconnection time.",
        (
            Member("url", "string", "URL of the stream, relative to the mount point"),
            Member("epoch", "string", "22 letters and digits that no other stream ever had"),
            Member("state", "string", "`open`, `done`, `failed` or `cancelled`"),
        ),
        "Take the URL from it for links, and to cancel: `POST URL/cancel`.",
    ),
    Described(
        "gap",
        "The entry after `Last-Event-ID` cannot be sent. It is the first event of a response, or comes in\n"
        "the middle of one whose viewer was so slow that entries were trimmed. Its ID is the place before the\n"
        "entry that follows, so a viewer that returns with it is not told again.",
        (
            Member("after", "string", "the ID that the viewer had"),
            Member("from", "string", "the ID of the entry that follows"),
            Member("missed", "integer or null", "number of entries that are missing; `null` if unknown"),
            _REASON,
        ),
        "For `trimmed` show that there is a hole. For `lost` and `unknown` drop the text so far.",
    ),
    Described(
        "restart",
        "With `--retry-interrupted`: the server that wrote the answer is gone, and another one has begun it\n"
        "anew in the same stream. Its ID is that of its entry: the numbers go on in a new epoch.",
        (
            Member("reason", "string", "`interrupted`"),
            Member("restarts", "integer", "number of restarts of this run so far"),
        ),
        "Drop the text so far; the answer follows from its beginning.",
        packRestart(1),
    ),
    Described(
        "done",
        "The text is complete. Its ID is that of the terminal entry; the response ends after it.\n"
        "In a response of `/v1/responses` it also has the time, `ended`; in an answer for Ollama\n"
        "`durations`, the seconds to the first token (`first`) and to the end (`total`).",
        (
            _REASON,
            Member("tokens", "integer", "number of tokens of the answer, whether they are kept or not"),
            Member("usage", "object", "tokens of the prompt and the answer; if a chat completion has asked for it"),
        ),
        "Close the `EventSource`. One that returns gets `204 No Content`, which stops it, too.",
        packDone(Reason.STOP, 2, {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
    ),
    Described(
        "failed",
        "The text is not complete, and will not be. Its ID is that of the terminal entry; the response ends\nafter it.",
        (
            Member("reason", "string", "see [Failures of a token source](errors.md#failures-of-a-token-source)"),
            Member("message", "string", "a sentence for people"),
            Member("status", "integer", "HTTP status of a request without another answer; if known"),
            Member("retryAfter", "integer, seconds", "time after which a new request may succeed; if known"),
            Member("code", "string", "name of the error, as the upstream gave it; if it did"),
            Member("type", "string", "class of the error, as the upstream gave it; if it did"),
            Member("param", "string", "the wrong member of the request, as the upstream gave it; if it did"),
            Member("final", "boolean", "whether the same request would fail again; if known"),
        ),
        "Close the `EventSource`, show the message, and offer to ask again if `final` is not true.",
        packFailed(FAILED),
    ),
    Described(
        "cancelled",
        "Somebody ended the stream, or nobody needed it. Its ID is that of the terminal entry; the response\n"
        "ends after it.",
        (_REASON,),
        "Close the `EventSource`, and show that the text ends here.",
        packCancelled(Reason.ASKED),
    ),
)

#: Reasons by event: rows of a table.
REASONS = {
    "gap": {
        "trimmed": "the stream no longer keeps the entry; it continues after a hole",
        "lost": "the ID is of another stream of this name, or of a later entry",
        "unknown": "the ID is malformed, or not UTF-8",
    },
    "done": {
        Reason.STOP: "the source has come to its end",
        Reason.LENGTH: "the model has reached its limit of tokens",
        Reason.CONTENT_FILTER: "the upstream has left something out",
        Reason.TOOL_CALLS: "the model calls tools",
        Reason.FUNCTION_CALL: "the model calls a function, in OpenAI's older way",
    },
    "failed": {
        Reason.TOO_LONG: "only in the format `text`: the text is longer than 1 MiB. The stream goes on",
    },
    "cancelled": {
        Reason.ASKED: "a client called `cancel`",
        Reason.DELETED: "the stream was deleted while it was open",
        Reason.LINGER: "no viewer was left for `--linger` seconds",
        Reason.IDLE: "a published stream had neither publishes nor viewers for `--idle` seconds",
    },
}

#: Text above the table of each format: its purpose, and its rules.
FORMATS = {
    "events": """\
The default, for an `EventSource` that knows the types of its events. A token is an event of the
default type, a published event has its own type, and every event is described above.

Tokens that are waiting when a viewer first reads, or when it continues after a pause, are joined
into events of at most 32 KiB, each with the ID of its last token. Published events are never
joined.
""",
    "entries": """\
For pages that show a stream without knowing the types of its events. Each event is of the default
type, and its data is a JSON object as `POST /streams/NAME` takes it. Everything else is as in
`events`.
""",
    "text": """\
Each event has the entire text so far, so that nine lines of HTML can show it:

```html
<!DOCTYPE html>
<title>Plain</title>
<p id="text"></p>
<script>
  const source = new EventSource("/");
  source.onmessage = event => {
    document.getElementById("text").textContent = event.data;
  };
</script>
```

The first event is empty and has the first ID. The traffic grows with the square of the length, so
the format serves texts up to 1 MiB. For a viewer of a longer text the response ends with `gap` and
`failed` (reason `too_long`); the stream itself continues. A restart is an event with the empty
text.
""",
    "openai": """\
The chunks of OpenAI's API. A chunk with the role comes before the first token, a chunk with the
finish reason after the last one, and then `data: [DONE]`. Waiting tokens are joined, as in
`events`.

Chunks of an upstream pass unchanged, byte for byte, with tool calls, log probabilities and usage.
They are never joined. If an entry is written as several events, the last of them has its ID. No
event has a type. The first event has the `retry:` field.

The response ends without `[DONE]` if the stream failed or was cancelled, and if the server stops
while the stream continues. These cases, a gap and a restart are reported as an error. Its `code` is
that of an upstream's error, the reason of the terminal event, or one of
[these](errors.md#errors-inside-a-stream). `type` and `param` are those of an upstream's error.
""",
    "completions": """\
The chunks of OpenAI's legacy completions, which have the text alone. A chunk of an upstream without
text and end, such as one with a role, reasoning or a tool call, is left out. Everything else is as
in `openai`.
""",
    "ui": """\
The UI message stream of the Vercel AI SDK, version 1, with its header
`x-vercel-ai-ui-message-stream: v1`. A failed stream ends with `error`, a cancelled one with
`abort`, each before `[DONE]`.

The chunks of an upstream become parts of text and of reasoning, tool calls (`tool-input-start`,
`tool-input-delta`, and at the end `tool-input-available`), `source-url` and `file`. The last part,
`finish`, has the usage in its `messageMetadata`, and the finish reason if it is not `stop`.

Events have no ID, but numbers: an entry always makes the same ones, and nothing is joined
([Vercel AI SDK](http-api.md#vercel-ai-sdk)). Every viewer gets the message from its start. If the
start is no longer kept, the viewer gets `error` and `[DONE]`.
""",
    "agui": """\
The events of AG-UI: `RUN_STARTED`, then those of text messages, reasoning and tool calls, then
`RUN_FINISHED` with the usage. A failed and a cancelled stream end with `RUN_ERROR`. Citations and
pictures, for which AG-UI has no events, are `CUSTOM` events with the names `citation` and `image`.

Each event has an ID, directly before its one line of data. It counts events, not entries, because
clients drop an event whose ID they have seen: return with it to [`/agui`](http-api.md#ag-ui).
Nothing is joined. Every viewer gets the run from its start. If the start is no longer kept, the
viewer gets `RUN_ERROR`.

If the server ends a response whose stream goes on, nothing tells so: clients that can return do.
""",
    "html": """\
For pages that append the data of events as HTML, such as those of [htmx](guides/htmx.md). The text
of each token is escaped, so an answer with `<script>` shows these characters. Space alone is in a
`<span>`: htmx would leave it out. Tokens are joined as in `events`; published events are left out,
since their data may be no HTML.

The last event is `done`, however the stream ends, and its data is the reason. After a failure or a
cancellation `failed` comes before it, with a sentence. So does a restart that makes text void. The
data of every event is HTML.
""",
    "responses": """\
The events of a response of [OpenAI's API](http-api.md#responses). The text, the reasoning and each
function call of an upstream is an item of its output. Published events are left out.

Events have no ID, but numbers from 0 (`sequence_number`): an entry always makes the same ones, and
nothing is joined. `[DONE]` has none. `starting_after` continues after a number.

The events of an [upstream that speaks Responses](sources.md#upstreams-that-speak-responses) stand
in the stream as they came, and are written with the ID of the response here. The chunks beside them
are for the other formats.

A failed and a cancelled stream end with the response and its status. A restart, and a response that
the server ends early, are told by the event `error`. It is not one of the response: do not continue
after its number.
""",
    "messages": """\
The events of a streamed message of [Anthropic's API](http-api.md#messages). The text, the
reasoning and each tool call of an upstream is a content block. Nothing is joined. Published events
are left out.

If an entry is written as several events, the last of them has its ID, which Anthropic's clients
ignore. A heartbeat is the event `ping`. A failure, a cancellation, a gap and a restart end the
response with the event `error`, in the shape of Anthropic's API.
""",
}

#: Entries after the first token, by the first cell of their rows.
ENTRIES = {
    "token": NewEntry(Kind.TOKEN, b" world"),
    "published event": NewEntry(Kind.EVENT, b"joke\nKnock, knock."),
    "chunk of an upstream": NewEntry(*packChunk(b'{"choices":[{"delta":{"content":" world"}}]}', " world")),
    "chunk without text": NewEntry(*packChunk(b'{"choices":[{"delta":{"role":"assistant"}}]}', "")),
    "event of an upstream's response": NewEntry(
        Kind.RESPONSE_EVENT, b'{"type":"response.web_search_call.searching","item_id":"ws_1","output_index":1}'
    ),
    "restart": packRestart(1),
    "end: done": packDone(Reason.STOP, 2),
    "end: failed": packFailed(FAILED),
    "end: cancelled": packCancelled(Reason.ASKED),
}

INTRODUCTION = """\
<!-- Written by docs/eventreference.py from the formats and its texts; edit these instead. -->

# Events

For developers of clients. After this page you know every event that a stream can send in each
format, its fields, and what a client should do about it.

`?format=NAME` selects a [format](#formats) of an event stream; without it the format is `events`.
[HTTP API](http-api.md#event-streams) tells how a stream is requested and resumed, and
[Errors](errors.md) what is answered if it cannot be.

## Fields and comments

An event stream is UTF-8 text of lines ([WHATWG
HTML, section 9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).

| line | when | what to do |
| --- | --- | --- |
| `data: TEXT` | in every event, once for each line of its text | join the lines with LF |
| `event: TYPE` | if the type is not `message` | look at the types below |
| `id: EPOCH-N` | except in `ui` and `responses`; `EPOCH.N` in `agui` | send it as `Last-Event-ID` |
| `retry: N` | in the first event; alone when the server turns a viewer away | return after N ms |
| `:` | a heartbeat, after 15 seconds of silence (`--heartbeat`) | nothing; it is a comment |
| empty line | after each event | dispatch the event |

* In the examples of this page a long line is continued in the next one, indented.
* `retry:` is the reconnection time in milliseconds. Each viewer gets another one, within a third of
  `--retry`, so that viewers that were cut together do not return together. An
  `EventSource` obeys it by itself.
* A response with nothing but `retry:` comes from [a full server](http-api.md#a-full-server), or
  ends a response whose stream goes on: the server stops, or the credential has expired. Return
  with the last ID.
* A heartbeat has no empty line after it, and shows that the connection is alive. A program may
  give a connection up after two or three heartbeat times without any byte.
* An event stream has one kind of line end. CR LF, CR and LF in a text all arrive as LF in the
  formats `events` and `text`. In the others and in `text/plain` they arrive unchanged.
* Ignore types and members that you do not know: later versions may have more.

## Events of the source

### `message`

A token, or a published event without a type. `data` is its text, and its ID is that of the entry.
Tokens are joined for a viewer that is behind, so one event may be one word or a thousand. Append
the text to what you have.

### `chunk`

A chunk of an upstream without text, as the upstream sent it: with reasoning, with a part of a tool
call, or with the usage. `data` is the JSON of a `chat.completion.chunk`. Clients that want the text
alone do not listen for it.

### Published events

An event that was [published](http-api.md#publishing) has the type and the data of its publisher.
The types of the server, below, are reserved.

## Events of the server
"""


def makeLog(*entries: NewEntry) -> StreamLog:
    """Make a log with these entries."""
    streamLog = StreamLog("answer", EPOCH, Ticker(Clock(), 0.005), _ALL)
    streamLog.created = CREATED
    for kind, data in entries:
        streamLog.append(kind, data)
    return streamLog


def read(form: IFormat, streamLog: StreamLog, cursor: int) -> bytes:
    """Return the events after a cursor, one entry at a time."""
    rendering = form.render(streamLog)
    try:
        return rendering.read(cursor, _ALL, False).data
    except ViewerRefused as refusal:
        return refusal.events


def example(form: IFormat) -> bytes:
    """Return a whole response in a format: two tokens, a published event, and the end."""
    streamLog = makeLog(
        NewEntry(Kind.TOKEN, b"Hello,"), ENTRIES["token"], ENTRIES["published event"], ENTRIES["end: done"]
    )
    rendering = form.render(streamLog)
    cursor = rendering.start(False)
    return rendering.head(cursor, RETRY, "/streams/answer") + read(form, streamLog, cursor)


def show(stream: bytes) -> str:
    """Return a part of an event stream as a block of the page; long lines are continued, indented."""
    lines = stream.decode("utf-8").rstrip("\n").split("\n")
    return "\n".join(["```text", *(part for line in lines for part in _wrap(line)), "```", ""])


def _wrap(line: str) -> list[str]:
    """Break a line after commas, where it is long."""
    if len(line) <= _WIDTH:
        return [line.rstrip()]
    end = line.rindex(",", 0, _WIDTH) + 1
    return [line[:end], *_wrap(f"      {line[end:]}")]


def name(event: Event) -> str:
    """Return the word by which the page calls an event: its type, or that of the JSON in its data."""
    if event.type != "message":
        return f"`{event.type}`"
    if event.data == "[DONE]":
        return "`[DONE]`"
    try:
        value = json.loads(event.data)
    except ValueError:
        return "`message`"
    kinds = [value.get("type"), value.get("object"), *value]
    return next(f"`{kind}`" for kind in kinds if kind)


def cell(stream: bytes) -> str:
    """Return the events of a part of an event stream as the cell of a table."""
    names = [name(event) for event in Decoder().feed(stream)]
    if not names:
        return f"`{stream.decode('utf-8').partition(':')[0]}:`" if stream else "nothing"
    told = ", ".join(names)
    return told if len(told) <= _CELL else f"{names[0]}, …, {', '.join(names[-2:])}"


def rows(form: IFormat) -> Iterator[tuple[str, str]]:
    """Yield the rows of a format: a situation, and the events that it makes for a viewer with some text."""
    rendering = form.render(makeLog())
    yield "begin of the response", cell(rendering.head(0, RETRY, "/streams/answer"))
    for label, entry in ENTRIES.items():
        yield label, cell(read(form, makeLog(NewEntry(Kind.TOKEN, b"Hello,"), entry), 1))
    yield "gap", cell(rendering.gap(f"{EPOCH}-3", GapError("trimmed", 8, 5)))
    yield "the server ends the response", cell(rendering.retire(RETRY))


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, ["---"] * len(header), *lines))


def exampleOf(described: Described) -> bytes:
    """Return an event of the format `events`, as it writes it."""
    form = makeFormats("sseserver")["events"]
    hello = NewEntry(Kind.TOKEN, b"Hello,")
    if described.entry is not None:
        return read(form, makeLog(hello, described.entry), 1)
    rendering = form.render(makeLog(hello))
    if described.type == "gap":
        return rendering.gap(f"{EPOCH}-3", GapError("trimmed", 8, 5))
    return rendering.head(0, RETRY, "/streams/answer")


def describe(described: Described) -> str:
    """Return the section of an event."""
    members = table(("member", "type", "meaning"), [(f"`{each.name}`", *each[1:]) for each in described.members])
    parts = [f"### `{described.type}`\n", f"{described.when}\n", show(exampleOf(described)), members]
    reasons = REASONS.get(described.type)
    if reasons:
        parts.append(table(("`reason`", "meaning"), [(f"`{word}`", meaning) for word, meaning in reasons.items()]))
    if described.type == "done":
        parts.append("A token source may give a reason of its own.\n")
    todo = textwrap.fill(f"For the client: {described.todo[:1].lower()}{described.todo[1:]}", _WIDTH)
    return "\n".join([*parts, f"{todo}\n"])


def describeFormat(form: IFormat) -> str:
    """Return the section of a format."""
    return "\n".join(
        [
            f"### `{form.name}`\n",
            FORMATS[form.name],
            table(("for a viewer that has text", "events"), list(rows(form))),
            "A whole response with two tokens and a published event:\n",
            show(example(form)),
        ]
    )


def reference() -> str:
    """Return the page."""
    formats = makeFormats("sseserver").values()
    parts = [INTRODUCTION, *map(describe, EVENTS), "## Formats\n", *map(describeFormat, formats)]
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(reference(), "utf-8")
