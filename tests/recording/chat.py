"""
Scenarios for chat completions, models, and the chats of the Vercel AI SDK.
"""

from __future__ import annotations

from twisted.internet.defer import fail, succeed

from sseserver import SourceError
from tests.recording.recorder import (
    CHAT,
    COMPLETIONS,
    EVENTS,
    FORMATS,
    HELLO,
    JSON,
    LEGACY,
    PLAIN,
    RUN,
    Recorder,
    Scenario,
    ScriptedModels,
    read,
)


def recordCompletions(recorder: Recorder) -> None:
    """Chat completions, in one piece and as a stream."""
    recorder.serve(linger=1000.0)
    recorder.ask(COMPLETIONS, "POST", body=HELLO)
    recorder.write("One ", "two")
    recorder.end("length")
    recorder.ask(COMPLETIONS, "POST", JSON, body={**HELLO, "stream": True, "stream_options": {"include_usage": True}})
    recorder.write("One ", "two")
    recorder.end()
    recorder.ask(COMPLETIONS, "POST", "image/png", body={**HELLO, "stream": True, "model": "script"})
    recorder.wait(31)
    recorder.write("late")
    recorder.breakDown(SourceError("Source: gone.", "upstream"))
    for problem in (
        SourceError("Source: too many.", "upstream", 429, 20),
        SourceError("Source: no such model.", "upstream", 404),
        SourceError("Source: gone.", "upstream"),
        KeyError("swordfish"),
    ):
        for streamed in (False, True):
            recorder.ask(COMPLETIONS, "POST", body={**HELLO, "stream": streamed})
            recorder.breakDown(problem)
    for method, suffix in (("POST", "/cancel"), ("DELETE", "")):
        for streamed in (False, True):
            recorder.ask(COMPLETIONS, "POST", body={**HELLO, "stream": True}, Idempotency_Key=f"{method}{streamed}")
            path = recorder.locateRun()
            recorder.ask(
                COMPLETIONS, "POST", body={**HELLO, "stream": streamed}, Idempotency_Key=f"x{method}{streamed}"
            )
            recorder.ask(f"{path}{suffix}", method, body=b"")
            recorder.end()


def recordChunks(recorder: Recorder) -> None:
    """An upstream's chunks, and keys of completions."""
    recorder.serve()
    chunks = (
        (b'{"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}],"model":"gpt"}', "a"),
        (b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}]}}]}', ""),
        (b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}, "x" : 1}]}', ""),
        (b'{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}', ""),
        (b'{"choices":[],"usage":{"total_tokens":1}}', ""),
    )
    paths = []
    for streamed in (False, True):
        wire = recorder.ask(COMPLETIONS, "POST", body={**HELLO, "stream": streamed}, Idempotency_Key=f"{streamed}")
        for chunk, text in chunks:
            recorder.source.run.sink.writeChunk(chunk, text)
        recorder.wait()
        recorder.end("tool_calls")
        paths.append(read(wire).headers["content-location"])
    for path in paths:
        for form in FORMATS:
            recorder.ask(f"{path}?format={form}")
        recorder.ask(path, accept=PLAIN)
    for streamed in (False, True):
        recorder.ask(COMPLETIONS, "POST", body={**HELLO, "stream": streamed}, Idempotency_Key=f"{streamed}")
        recorder.ask(COMPLETIONS, "POST", body={**HELLO, "seed": 1}, Idempotency_Key=f"{streamed}")
    recorder.ask(COMPLETIONS, "POST", body=HELLO, Idempotency_Key="a b")
    recorder.serve(window=100_000)
    recorder.ask(COMPLETIONS, "POST", body=HELLO)
    recorder.write(*["x" * 5000] * 21)


def recordChatRefusals(recorder: Recorder) -> None:
    """Requests of chat clients that are refused."""
    recorder.serve()
    message = b'{"messages":[{"role":"user","content":"x"}]%b}'
    bodies = (
        b"{", b"[]", b"", b"{}", b'{"messages":[]}', b'{"messages":[{"content":"x"}]}', b'{"messages":[{"role":1}]}',
        b'{"messages":[{"role":"user","content":[{"type":"text"}]}]}', message % b',"temperature":"x"',
        message % b',"model":"gpt-9"', message % b',"n":2', message % b',"n":0', message % b',"stream_options":1',
        message % b',"tools":[1]', message % b',"unknown":{}',
    )  # fmt: skip
    for body in bodies:
        recorder.ask(COMPLETIONS, "POST", body=body)
    user = {"id": "m", "role": "user", "parts": [{"type": "text", "text": ""}]}
    for chat in (
        {},
        {**CHAT, "id": "a/b"},
        {**CHAT, "messages": []},
        {**CHAT, "messages": [user]},
        {**CHAT, "model": "x"},
    ):
        recorder.ask("/api/chat", "POST", body=chat)
    for path in (COMPLETIONS, "/v1/models", "/v1/models/script", "/api/chat", "/api/chat/a/stream"):
        recorder.ask(path, "DELETE")
    for path in ("/v1", "/v1/", "/v1/chat", "/v1/embeddings", f"{COMPLETIONS}/x", "/api", "/api/x", "/api/chat/a"):
        recorder.ask(path)
        recorder.ask(path, "POST", body=b"{}")
    for chat in ("a%20b", "%E4", "x" * 129):
        recorder.ask(f"/api/chat/{chat}/stream")


def recordChats(recorder: Recorder) -> None:
    """The Vercel AI SDK."""
    recorder.serve()
    recorder.ask("/api/chat/chat-1/stream", accept=EVENTS)
    recorder.ask(
        "/api/chat", "POST", body={**CHAT, "trigger": "submit-message", "messageId": None}, Idempotency_Key="k"
    )
    recorder.write("a", "b\r\n")
    recorder.ask("/api/chat", "POST", body=CHAT, Idempotency_Key="k")
    recorder.ask("/api/chat/chat-1/stream", accept=EVENTS)
    recorder.ask("/api/chat/chat-1/stream", "HEAD")
    recorder.ask("/api/chat/chat-1/stream/", accept=EVENTS, Last_Event_ID="nonsense")
    recorder.ask("/api/chat/chat-2/stream")
    recorder.wait(31)
    recorder.end()
    recorder.ask("/api/chat/chat-1/stream")
    recorder.ask("/api/chat/chat-1/stream?startIndex=3", accept=EVENTS)
    recorder.ask("/api/chat/chat-1/stream?startIndex=-2", accept=EVENTS)
    for odd in ("8", "9", "x"):
        recorder.ask(f"/api/chat/chat-1/stream?startIndex={odd}")
    recorder.ask("/api/chat/none/stream?startIndex=0")
    recorder.ask("/api/chat", "POST", body=CHAT)
    recorder.breakDown(SourceError("Source: too many.", "upstream", 429))


def recordAgent(recorder: Recorder) -> None:
    """AG-UI."""
    recorder.serve()
    recorder.ask("/agui", "POST", body=RUN)
    recorder.write("a", "b\r\n")
    recorder.ask("/agui?offset=-1&runId=r", accept=EVENTS)
    recorder.ask("/agui?runId=r", "HEAD")
    recorder.end()
    recorder.ask("/agui?offset=-1&runId=r", accept=EVENTS)
    for target in ("/agui", "/agui?runId=none", "/agui?runId=r&offset=0"):
        recorder.ask(target)
    recorder.ask("/agui", "POST", body=RUN, Last_Event_ID="nonsense")
    recorder.ask("/agui", "POST", body={**RUN, "runId": "none"}, Last_Event_ID="nonsense")
    for body in ({}, {**RUN, "runId": ""}, {**RUN, "forwardedProps": {"model": "x"}}):
        recorder.ask("/agui", "POST", body=body)
    recorder.ask("/agui", "POST", body={**RUN, "runId": "s"})
    recorder.breakDown(SourceError("Source: too many.", "upstream", 429))


def recordLegacy(recorder: Recorder) -> None:
    """Legacy completions, in one piece and as a stream."""
    recorder.serve()
    asked = {"prompt": "Hello there"}
    recorder.ask(LEGACY, "POST", body=asked)
    recorder.write("One ", "two")
    recorder.end("length")
    recorder.ask(LEGACY, "POST", body={**asked, "stream": True, "stream_options": {"include_usage": True}})
    recorder.write("One ", "two")
    recorder.end()
    for streamed in (False, True):
        recorder.ask(LEGACY, "POST", body={**asked, "stream": streamed}, Idempotency_Key=f"{streamed}")
        recorder.source.run.sink.writeChunk(b'{"id":"x","choices":[{"index":0,"delta":{"content":"a"}}]}', "a")
        recorder.source.run.sink.writeChunk(b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}', "")
        recorder.wait()
        recorder.end()
        recorder.ask(LEGACY, "POST", body={**asked, "seed": 1}, Idempotency_Key=f"{streamed}")
    recorder.ask(f"{recorder.locateRun()}?format=completions")
    for members in ({}, {**asked, "echo": True}, {"prompt": [1]}, {**asked, "model": "gpt-9"}, {**asked, "n": 2}):
        recorder.ask(LEGACY, "POST", body=members)
    for problem in (
        SourceError("Source: too many.", "upstream", 429, 20),
        SourceError("Source: gone.", "upstream"),
    ):
        recorder.ask(LEGACY, "POST", body={**asked, "stream": True})
        recorder.breakDown(problem)
    recorder.ask(LEGACY, "POST", body=asked)
    recorder.ask(f"{recorder.locateRun()}/cancel", "POST", body=b"")
    recorder.serve(window=100_000)
    recorder.ask(LEGACY, "POST", body=asked)
    recorder.write(*["x" * 5000] * 21)


def recordModels(recorder: Recorder) -> None:
    """The models that there are."""
    recorder.serve()
    for path in ("/v1/models", "/v1/models/", "/v1/models/script", "/v1/models/gpt%209"):
        recorder.ask(path)
        recorder.ask(path, "HEAD")
    recorder.serve(ScriptedModels(lambda: succeed(["small", "org/large"])))
    for path in ("/v1/models", "/v1/models/org/large", "/v1/models/org%2Flarge", "/v1/models/org"):
        recorder.ask(path)
    recorder.ask(COMPLETIONS, "POST", body={**HELLO, "model": "another", "n": 2, "stream": True})
    recorder.write("a")
    recorder.serve(ScriptedModels(lambda: fail(SourceError("Source: too many.", "upstream", 429, 5))))
    recorder.ask("/v1/models")
    recorder.serve(ScriptedModels(lambda: fail(KeyError("swordfish"))))
    recorder.ask("/v1/models")


SCENARIOS: tuple[Scenario, ...] = (
    recordCompletions,
    recordChunks,
    recordChatRefusals,
    recordChats,
    recordAgent,
    recordModels,
    recordLegacy,
)
