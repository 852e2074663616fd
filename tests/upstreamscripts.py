"""
Scripts of upstreams: pieces of the answers of an OpenAI-compatible API, and the table of scripts with their results.

`tests.upstreams` plays them.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sseserver.sources.upstream import UpstreamLimits


class Act(Enum):
    """Steps of a script beside sending bytes."""

    #: Do nothing more, and keep the connection.
    HANG = "hang"
    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True)
class Drip:
    """Bytes that are sent one by one, with a pause in seconds between them."""

    data: bytes
    interval: float


#: One step; bytes are sent at once, in a turn of their own. Without an act at its end a script keeps the connection.
Step = bytes | Drip | Act

#: Key of the upstream, recognisable wherever it may leak.
KEY = "sk-secret-3f9a"


@dataclass(frozen=True)
class Case:
    """
    One script and its result.

    Args:
        name: Unique; a word or two.
        steps: Steps of the upstream after it has read the request.
        state: State of the stream at its end: `done` or `failed`.
        reason: Reason in the terminal entry.
        text: The text that viewers get.
        status: Status of a completion; 200 if a chunk or the end arrives before an error.
        message: Part of the error's message.
        code: Code of the error for a client; by default the reason.
        retryAfter: Seconds in the terminal entry.
        limits: Short limits for a script that hangs; `None` for the default.
        chunks: The chunks as sent; `None` to compare no chunks.
    """

    name: str
    steps: tuple[Step, ...]
    state: str = "done"
    reason: str = "stop"
    text: str = "Hello world"
    status: int = 200
    message: str = ""
    code: str = ""
    retryAfter: int | None = None
    limits: UpstreamLimits | None = None
    chunks: tuple[bytes, ...] | None = None


def chunk(delta: object, finish: str | None = None, index: int = 0, **more: object) -> bytes:
    """Return a chunk of a chat completion as JSON."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1730000000, "model": "scripted"}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return json.dumps({**head, "choices": [choice], **more}, ensure_ascii=False).encode("utf-8")


def event(data: bytes) -> bytes:
    """Return an event with some data."""
    return b"data: " + data + b"\n\n"


def framed(*pieces: bytes) -> bytes:
    """Return one HTTP chunk for each piece."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def head(status: str = "200 OK", *headers: str, version: str = "1.1") -> bytes:
    """Return the head of a response."""
    return "\r\n".join([f"HTTP/{version} {status}", *headers, "", ""]).encode("latin-1")


def answer(status: str, body: bytes | str, *headers: str, type: str = "application/json") -> bytes:
    """Return a complete response with a length."""
    data = body.encode("utf-8") if isinstance(body, str) else body
    return head(status, f"Content-Type: {type}", f"Content-Length: {len(data)}", *headers) + data


def refusal(message: str, type: str = "invalid_request_error") -> str:
    """Return an error in OpenAI's shape."""
    return json.dumps({"error": {"message": message, "type": type, "param": None, "code": None}})


def callChunk(index: int | None, name: str, arguments: str, **call: object) -> bytes:
    """Return a chunk with a piece of a tool call."""
    numbered = {} if index is None else {"index": index}
    return chunk({"tool_calls": [{**numbered, **call, "function": {"name": name, "arguments": arguments}}]})


EVENT_STREAM = "Content-Type: text/event-stream; charset=utf-8"
HEAD = head("200 OK", EVENT_STREAM, "Transfer-Encoding: chunked")
END = b"0\r\n\r\n"
ROLE = chunk({"role": "assistant", "content": ""})
HELLO = chunk({"content": "Hello"})
WORLD = chunk({"content": " world"})
STOP = chunk({}, "stop")
DONE = b"data: [DONE]\n\n"
CHUNKS = (ROLE, HELLO, WORLD, STOP)
#: The usual answer, event by event.
EVENTS = (*map(event, CHUNKS), DONE)
STREAM = b"".join(EVENTS)
#: Bytes before a fault in the middle of an answer.
BEGUN = (HEAD, framed(event(ROLE), event(HELLO), event(WORLD)))
ERROR = {"message": "The model ran out of memory.", "type": "server_error", "param": None, "code": None}
WENT_AWAY = {"code": 502, "message": "Went away"}
VLLM_ERROR = {"object": "error", "message": "The engine died.", "type": "InternalServerError", "code": 500}
PAGE = "<!doctype html><title>Welcome to nginx!</title>"

TOOL_CALL = chunk(
    {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]}
)
TOOL_PART = chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":"é'}}]})
USAGE = (
    b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1730000000,"model":"scripted","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)
HALVES = (
    b'{"choices":[{"index":0,"delta":{"content":"ok \\ud83d"},"finish_reason":null}]}',
    b'{"choices":[{"index":0,"delta":{"content":"\\ude00!"},"finish_reason":null}]}',
)
ODD = b'{ "choices" : [ {"delta":{"content":"Hello world","x":[1.50e3,{"\\u00e9":null}]},"index":0} ] , "new":true }'


def whole(*bodies: bytes) -> tuple[Step, ...]:
    """Return the script of a chunked answer; each body is an HTTP chunk and a write of its own."""
    return (HEAD, *map(framed, bodies), END)


def bytewise(data: bytes) -> tuple[Step, ...]:
    """Return a script that sends each byte in a write of its own."""
    return tuple(data[place : place + 1] for place in range(len(data)))


def refused(name: str, status: str, told: int, message: str, **more: Any) -> Case:
    """Return the case of an answer that refuses the request with OpenAI's JSON."""
    steps = (answer(status, refusal("It is too much."), *more.pop("headers", ())),)
    return Case(name, steps, "failed", "refused", "", told, message, **more)


def broken(name: str, *steps: Step, **more: Any) -> Case:
    """Return the case of a fault after two tokens."""
    return Case(name, (*BEGUN, *steps), "failed", **more)


#: A refusal with everything that OpenAI's errors have.
CODED = json.dumps({"error": {"message": "too long", "type": "invalid_request_error", "param": "messages",
                              "code": "context_length_exceeded"}})  # fmt: skip

#: An answer that is not streamed, although a stream was requested.
COMPLETION = {
    "object": "chat.completion",
    "choices": [{"message": {"role": "assistant", "content": "Hello world"}, "finish_reason": "stop"}],
}


def failing(error: object, *, beside: bool = False) -> bytes:
    """Return a chunk that has an error, in its choice or beside the choices."""
    made = json.loads(chunk({"content": ""}, "error"))
    (made if beside else made["choices"][0])["error"] = error
    return json.dumps(made).encode()


#: Limits for scripts that hang: long enough for the steps before on a busy machine, and short enough for a test.
QUICK = UpstreamLimits(connectTimeout=30.0, firstTokenTimeout=3.0, tokenTimeout=3.0)

WHOLE_ANSWERS = (
    Case("plain", whole(*EVENTS), chunks=CHUNKS),
    Case("one write", (HEAD + framed(STREAM) + END,), chunks=CHUNKS),
    Case("byte by byte", bytewise(HEAD + framed(STREAM) + END), chunks=CHUNKS),
    Case("HTTP chunks of a byte", whole(*[STREAM[place : place + 1] for place in range(len(STREAM))]), chunks=CHUNKS),
    Case("cut in the framing", (HEAD[:9], HEAD[9:-1], HEAD[-1:] + b"7", b"\r", b"\n" + STREAM[:7] + b"\r",
                                b"\n" + framed(STREAM[7:])[:-1], b"\n0\r", b"\n\r", b"\n"), chunks=CHUNKS),
    Case("CR LF", whole(STREAM.replace(b"\n", b"\r\n")), chunks=CHUNKS),
    Case("CR", whole(STREAM.replace(b"\n", b"\r")), chunks=CHUNKS),
    Case("BOM", whole(b"\xef", b"\xbb\xbf" + STREAM), chunks=CHUNKS),
    Case("no space", whole(STREAM.replace(b"data: ", b"data:")), chunks=CHUNKS),
    Case("comments", whole(b": OPENROUTER PROCESSING\n\n", *EVENTS[:2], b":\n\n: ping\n", *EVENTS[2:]), chunks=CHUNKS),
    Case("IDs, types, retry", whole(b"retry: 9\n\n", STREAM.replace(b"data: {", b"id: 7\nevent: message\ndata: {"))),
    Case("several data lines", whole(STREAM.replace(b'"choices":', b'"choices":\ndata: '))),
    Case("empty data", whole(b"data:\n\n", *EVENTS[:2], b"data: \n\n", *EVENTS[2:]), chunks=CHUNKS),
    Case("data that are blank", whole(EVENTS[0], "data: \u00a0\u2003\n\n".encode(), *EVENTS[1:]), chunks=CHUNKS),
    Case("length", (head("200 OK", EVENT_STREAM, f"Content-Length: {len(STREAM)}"), STREAM), chunks=CHUNKS),
    Case("HTTP/1.0", (head("200 OK", EVENT_STREAM, version="1.0"), STREAM, Act.CLOSE), chunks=CHUNKS),
    Case("until close", (head("200 OK", EVENT_STREAM, "Connection: close"), STREAM, Act.CLOSE), chunks=CHUNKS),
    Case("100 Continue", (head("100 Continue"), *whole(*EVENTS)), chunks=CHUNKS),
    Case("more after the end", whole(*EVENTS, event(HELLO), b"data: {broken\n\n"), chunks=CHUNKS),
    Case("open after the end", (HEAD, framed(STREAM), Act.HANG), chunks=CHUNKS),
    Case("reset after the end", (HEAD, framed(STREAM), Act.RESET), chunks=CHUNKS),
    Case("no [DONE] but a finish", whole(*EVENTS[:-1]), chunks=CHUNKS),
    Case("no [DONE] but a finish, until close", (head("200 OK", EVENT_STREAM), *EVENTS[:-1], Act.CLOSE), chunks=CHUNKS),
    Case("no finish but [DONE]", whole(*EVENTS[:3], DONE), chunks=CHUNKS[:3]),
    Case("F30: no content type", (head("200 OK", "Connection: close"), STREAM, Act.CLOSE), chunks=CHUNKS),
    Case("F30: text/plain", (answer("200 OK", STREAM, type="text/plain"),), chunks=CHUNKS),
    Case("F30: application/octet-stream", (answer("200 OK", STREAM, type="application/octet-stream"),), chunks=CHUNKS),
    Case("F30: two content types", (answer("200 OK", STREAM, type="application/json, text/event-stream"),),
         chunks=CHUNKS),
    Case("F31: a completion in one piece", (answer("200 OK", json.dumps(COMPLETION)),)),
    Case("F34: no empty line at the end", whole(*EVENTS[:3], b"data: " + STOP + b"\n"), chunks=CHUNKS),
    Case("F34: no line end at the end", whole(*EVENTS[:4], b"data: [DONE]"), chunks=CHUNKS),
    Case("reset after the finish", (HEAD, framed(*EVENTS[:4]), Act.RESET), chunks=CHUNKS),
    Case("finish length", whole(*EVENTS[:3], event(chunk({}, "length")), DONE), reason="length"),
    Case("finish with the last token", whole(*EVENTS[:2], event(chunk({"content": " world"}, "stop")), DONE)),
)  # fmt: skip

CONTENTS = (
    Case("tool calls", whole(event(TOOL_CALL), event(TOOL_PART), event(chunk({}, "tool_calls")), DONE),
         reason="tool_calls", text="", chunks=(TOOL_CALL, TOOL_PART, chunk({}, "tool_calls"))),
    Case("several choices", whole(*EVENTS[:2], event(chunk({"content": "Other"}, index=1)), EVENTS[2],
                                  event(chunk({}, "length", 1)), *EVENTS[3:])),
    Case("usage", whole(*EVENTS[:4], event(USAGE), DONE), chunks=(*CHUNKS, USAGE)),
    Case("null content", whole(event(chunk({"content": None})), *EVENTS)),
    Case("reasoning", whole(event(chunk({"reasoning_content": "Hm.", "content": None})), *EVENTS)),
    Case("parts", whole(event(chunk({"content": [{"type": "text", "text": "Hello world"}, {"type": "x"}]})), DONE)),
    Case("no delta", whole(event(b'{"choices":[{"index":0,"finish_reason":null}]}'), *EVENTS)),
    Case("odd but JSON", whole(event(ODD), DONE), chunks=(ODD,)),
    Case("another alphabet", whole(event(chunk({"content": "Käse \U0001f600\u2028\x85"})), DONE),
         text="Käse \U0001f600\u2028\x85"),
    Case("F41: half a character", whole(event(b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}'), event(STOP), DONE),
         text="a\ufffd"),
    Case("F41: an emoji in two halves", whole(event(HALVES[0]), event(HALVES[1]), event(STOP), DONE),
         text="ok \U0001f600!", chunks=(*HALVES, STOP)),
    Case("F29: null between chunks", whole(*EVENTS[:2], event(b"null"), event(b"[1]"), event(b"7"), *EVENTS[2:]),
         chunks=CHUNKS),
    Case("F29: a null index", whole(event(b'{"choices":[{"index":null,"delta":{"content":"Hello"}}]}'), *EVENTS[2:])),
    Case("F29: a delta that is a list", whole(*EVENTS[:3], event(chunk([], "stop")), DONE)),
    Case("F29: members of other types", whole(event(b'{"choices":{"a":1}}'), event(b'{"choices":[1,{"delta":7}]}'),
                                              event(chunk({"content": 7})), *EVENTS)),
)  # fmt: skip

REFUSALS = (
    Case("F121: 400 with a code", (answer("400 Bad Request", CODED),), "failed", "refused", "", 400, "too long",
         "context_length_exceeded"),
    refused("400", "400 Bad Request", 400, "It is too much."),
    refused("404", "404 Not Found", 404, "It is too much."),
    refused("422", "422 Unprocessable Content", 422, "It is too much."),
    refused("429", "429 Too Many Requests", 429, "It is too much.", headers=["Retry-After: 7"], retryAfter=7),
    refused("429 for ever", "429 Too Many", 429, "It is too much.", headers=["Retry-After: 9" + "9" * 5000],
            retryAfter=3600),
    refused("429 with a date", "429 Too Many", 429, "It is too much.",
            headers=["Date: Thu, 01 Jan 2026 00:00:00 GMT", "Retry-After: Thu, 01 Jan 2026 00:00:09 GMT"],
            retryAfter=9),
    refused("429 with nonsense", "429 Too Many", 429, "It is too much.", headers=["Retry-After: -soon"]),
    refused("500", "500 Internal Server Error", 502, "500"),
    refused("503", "503 Service Unavailable", 503, "503", headers=["Retry-After: 2"], retryAfter=2),
    refused("529", "529 Overloaded", 502, "529"),
    refused("401", "401 Unauthorized", 502, "does not accept"),
    refused("F122: 402", "402 Payment Required", 402, "It is too much."),
    refused("F122: 403", "403 Forbidden", 403, "It is too much."),
    Case("400 that tells the key", (answer("400 Bad Request", refusal(f"Bad key\r\n\x1b[1m {KEY}, " + "x" * 9000)),),
         "failed", "refused", "", 400, "Bad key"),
    Case("404 page", (answer("404 Not Found", PAGE, type="text/html"),), "failed", "refused", "", 404, "404"),
    Case("400 without end", (head("400 Bad Request", "Content-Type: application/json"), b'{"error":', Act.HANG),
         "failed", "refused", "", 400, "400"),
    Case("F32: 400 of Gemini", (answer("400 Bad Request", '[{"error": {"message": "Unknown name"}}]'),), "failed",
         "refused", "", 400, "Unknown name"),
    Case("F32: 422 of Mistral", (answer("422 No", '{"message": {"detail": [{"msg": "Extra inputs"}]}}'),), "failed",
         "refused", "", 422, "Extra inputs"),
    Case("F32: 422 of FastAPI", (answer("422 No", '{"detail": "Bad value"}'),), "failed", "refused", "", 422,
         "Bad value"),
    Case("F32: 400 in plain text", (answer("400 Bad Request", "Bad value", type="text/plain"),), "failed", "refused",
         "", 400, "Bad value"),
    Case("redirect", (answer("302 Found", "", "Location: http://127.0.0.2:9/v1/chat/completions"),), "failed",
         "refused", "", 502, "302"),
    Case("redirect to itself", (answer("307 Temporary Redirect", "", "Location: /v1/chat/completions"),), "failed",
         "refused", "", 502, "307"),
    Case("204", (head("204 No Content"),), "failed", "truncated", "", 502),
)  # fmt: skip

NO_ANSWERS = (
    Case("HTML", (answer("200 OK", PAGE, type="text/html"),), "failed", "malformed", "", 502, "event stream"),
    Case("JSON", (answer("200 OK", "{}"),), "failed", "malformed", "", 502, "event stream"),
    Case("JSON that is broken", (answer("200 OK", "{"),), "failed", "malformed", "", 502, "event stream"),
    Case("JSON without a completion", (answer("200 OK", "[1]"),), "failed", "malformed", "", 502, "event stream"),
    Case("F31: an error in one piece", (answer("200 OK", '{"error": {"message": "No credit"}}'),), "failed", "upstream",
         "", 502, "No credit"),
    Case("no event stream", (head("200 OK", "Content-Length: 2"), b"hi"), "failed", "truncated", "", 502),
    Case("F26: only [DONE]", whole(DONE), "failed", "truncated", "", 502, "without a chunk"),
    Case("F26: a field that is not data", whole(b'error: {"code": 400, "message": "too long"}\n\n', DONE), "failed",
         "truncated", "", 502),
    Case("gzip", (answer("200 OK", gzip.compress(STREAM), "Content-Encoding: gzip", type="text/event-stream"),),
         "failed", "malformed", "", 502, "gzip"),
    Case("empty", (answer("200 OK", "", type="text/event-stream"),), "failed", "truncated", "", 502),
    Case("only comments", whole(b": hello\n\n"), "failed", "truncated", "", 502),
    Case("garbage", (b"SSH-2.0-OpenSSH_9.2\r\n\r\n" * 3, Act.CLOSE), "failed", "unreachable", "", 502,
         "The upstream's answer is not HTTP"),
    Case("closed at once", (Act.CLOSE,), "failed", "unreachable", "", 502, "closed the connection without an answer"),
    Case("reset at once", (Act.RESET,), "failed", "unreachable", "", 502),
    Case("closed in the head", (HEAD[:20], Act.CLOSE), "failed", "unreachable", "", 502),
    Case("endless header", (HEAD[:-2] + b"X: " + b"x" * 100_000, Act.HANG), "failed", "unreachable", "", 502),
    Case("broken JSON first", whole(b"data: {broken\n\n"), "failed", "malformed", "", 502),
    Case("error first", whole(event(json.dumps({"error": ERROR}).encode()), DONE), "failed", "upstream", "", 502,
         "ran out of memory"),
    Case("vLLM's error first", whole(event(json.dumps(VLLM_ERROR).encode()), DONE), "failed", "upstream", "", 502,
         "The engine died."),
    Case("F32: error in a list", whole(event(b'[{"error":{"code":429,"message":"Quota"}}]')), "failed", "upstream", "",
         429, "Quota"),
    Case("F32: error with a status in a string", whole(event(b'{"error":{"code":"429","message":"Slow down"}}')),
         "failed", "upstream", "", 429, "Slow down"),
    Case("F123: error with a code", whole(event(b'{"error":{"message":"Limit.","code":"rate_limit_exceeded"}}')),
         "failed", "upstream", "", 429, "Limit.", "rate_limit_exceeded"),
    Case("error with a status", whole(event(json.dumps({"error": {"message": "Slower!", "code": 429}}).encode())),
         "failed", "upstream", "", 429, "Slower!"),
)  # fmt: skip

FAULTS = (
    broken("closed in the middle", Act.CLOSE, reason="truncated"),
    broken("reset in the middle", Act.RESET, reason="truncated"),
    broken("closed in an event", framed(b"data: {"), END, reason="truncated"),
    broken("no [DONE], no finish", END, reason="truncated"),
    broken("bad framing", b"zz\r\n", reason="truncated"),
    Case("no [DONE], no finish, until close", (head("200 OK", EVENT_STREAM), *EVENTS[:3], Act.CLOSE), "failed",
         "truncated"),
    Case("shorter than its length", (head("200 OK", EVENT_STREAM, "Content-Length: 9999"), *EVENTS[:3], Act.CLOSE),
         "failed", "truncated"),
    broken("broken JSON", framed(b"data: {broken\n\n"), reason="malformed"),
    broken("F25: error beside choices", framed(event(failing(WENT_AWAY, beside=True)), DONE), reason="upstream",
           message="Went away"),
    broken("F25: error in a choice", framed(event(failing(WENT_AWAY)), DONE), reason="upstream", message="Went away"),
    broken("F25: only a finish reason", framed(event(chunk({}, "error")), DONE), reason="upstream"),
    broken("deep JSON", framed(b"data: " + b"[" * 100_000 + b"\n\n"), reason="malformed"),
    broken("HTML in the middle", framed(b"data: <html>\n\n"), reason="malformed"),
    broken("17 MB line", *[framed(b"x" * 1_000_000)] * 17, reason="malformed"),
    broken("error", framed(event(json.dumps({"error": ERROR}).encode()), DONE), reason="upstream",
           message="ran out of memory"),
    broken("vLLM's error", framed(event(json.dumps(VLLM_ERROR).encode()), DONE), reason="upstream",
           message="The engine died."),
    broken("error that is a text", framed(b'data: {"error":"out of luck"}\n\n'), reason="upstream",
           message="out of luck"),
    broken("error event", framed(b'event: error\ndata: {"error":{"message":"' + KEY.encode() + b'"}}\n\n'),
           reason="upstream"),
)  # fmt: skip

HANGS = (
    Case("hangs at once", (Act.HANG,), "failed", "timeout", "", 504, limits=QUICK),
    Case("hangs in the head", (HEAD[:20], Act.HANG), "failed", "timeout", "", 504, limits=QUICK),
    Case("drips its head", (Drip(HEAD, 0.2),), "failed", "timeout", "", 504, limits=QUICK),
    Case("hangs after the head", (HEAD, Act.HANG), "failed", "timeout", "", 504, limits=QUICK),
    Case("drips comments", (HEAD, Drip(framed(b":\n") * 100, 0.2)), "failed", "timeout", "", 504, limits=QUICK),
    broken("hangs in the middle", Act.HANG, reason="timeout", limits=QUICK),
    broken("comments in the middle", Drip(framed(b":\n") * 100, 0.2), reason="timeout", limits=QUICK),
    broken("hangs in an event", framed(b'data: {"choices"'), Act.HANG, reason="timeout", limits=QUICK),
    Case("F28: hangs after the finish", (*BEGUN, framed(EVENTS[3]), Act.HANG), limits=QUICK, chunks=CHUNKS),
    Case("F28: comments after the finish", (*BEGUN, framed(EVENTS[3]), Drip(framed(b": hb\n\n") * 100, 0.2)),
         limits=QUICK, chunks=CHUNKS),
)  # fmt: skip

#: All cases.
CASES = (*WHOLE_ANSWERS, *CONTENTS, *REFUSALS, *NO_ANSWERS, *FAULTS, *HANGS)
