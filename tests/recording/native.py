"""
Scenarios for the page, and for streams and what is published into them.
"""

from __future__ import annotations

from functools import partial

from twisted.web.resource import Resource
from twisted.web.server import Site

from sseserver import SourceError, StreamResource
from tests.http import CHROME
from tests.recording.recorder import CHAT, COMPLETIONS, EVENTS, FORMATS, HELLO, JSON, PLAIN, Recorder, Scenario, read
from tests.served import ScriptedSource

#: Bytes. The limit of a request's body.
MAX_BODY = 1024 * 1024

#: An epoch that no stream has.
FOREIGN = "A" * 22


def recordPage(recorder: Recorder) -> None:
    """The page, its files, and how they are asked for."""
    recorder.serve()
    for accept in (
        CHROME,
        "text/html",
        "*/*",
        None,
        "application/json",
        "image/png;q=1, text/*;q=0.1",
        "text/html;q=0",
    ):
        recorder.ask("/", accept=accept)
    recorder.ask("/", "HEAD", CHROME)
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        recorder.ask("/", method, body=b"")
    for path in ("/assets/app.js", "/assets/app.css", "/assets", "/assets/", "/assets/index.html", "/assets/app.js/x"):
        recorder.ask(path)
    recorder.ask("/assets/app.js", "HEAD")
    recorder.ask("/assets/app.js", "POST", body=b"")
    # Any tag: the recording must not hold that of the present file.
    for method in ("GET", "HEAD"):
        recorder.ask("/assets/app.css", method, If_None_Match="*")
    recorder.ask("/assets/app.css", If_None_Match='"other"')
    for path in ("/favicon.ico", "/nothing/below", "/%FF", "/streams/nobody/x", "//", "/assets/..%2froot.py"):
        recorder.ask(path)
    recorder.ask("/streams/nobody", accept=CHROME)
    recorder.ask("/streams/nobody/", accept=CHROME)


def recordMounted(recorder: Recorder) -> None:
    """Everything below a path of another site."""
    recorder.serve()
    root, outer = Resource(), Resource()
    root.putChild(b"my chat", outer)
    outer.putChild(b"a", StreamResource(recorder.service))
    recorder.mount(root)
    for path in ("/my%20chat/a", "/my%20chat/a/"):
        recorder.ask(path, accept=CHROME)
    path = read(recorder.ask("/my%20chat/a/streams/", "POST", body=b"")).headers["location"]
    recorder.write("a")
    recorder.ask(path)
    recorder.ask(path, accept=CHROME)
    recorder.ask(f"{path}/", accept=CHROME)
    recorder.ask("/my%20chat/a/streams/news/", "PUT")
    recorder.ask("/my%20chat/a/v1/chat/completions/", "POST", body={**HELLO, "stream": True})
    recorder.write("a")
    recorder.ask("/my%20chat/a/api/chat/", "POST", body=CHAT)
    recorder.ask("/my%20chat/a/api/chat/chat-1/stream")


def recordForeignSite(recorder: Recorder) -> None:
    """The resource on a site of Twisted's own."""
    recorder.serve()
    recorder.mount(StreamResource(recorder.service), Site)
    recorder.ask("/", accept=CHROME)
    recorder.ask("/", accept=EVENTS)
    recorder.write("a", "b")
    recorder.end()
    recorder.ask("/streams/a", "PUT")
    for size in (1, MAX_BODY + 1):
        recorder.ask("/streams/a", "POST", body=b"x" * size, Content_Type=PLAIN)
    recorder.ask("/streams", "POST", body=b"prompt=x", Content_Type="application/x-www-form-urlencoded")
    recorder.ask("/streams/a", accept=JSON)
    recorder.ask("/streams/a", "HEAD", EVENTS)
    recorder.ask("/streams/a")
    recorder.publish("/streams/a", {"token": "b"}, Stream_Closed="true")


def recordVisitor(recorder: Recorder) -> None:
    """`GET /` as an `EventSource` does it."""
    recorder.serve()
    recorder.ask("/", "HEAD", EVENTS)
    recorder.ask("/", "HEAD", EVENTS, Last_Event_ID="nonsense")
    visitor = recorder.ask("/", accept=EVENTS)
    epoch = read(visitor).body.partition(b"id: ")[2][:22].decode("ascii")
    recorder.write("Hello", " wor\r\nld")
    recorder.ask("/", accept=EVENTS, Last_Event_ID=f"{epoch}-1")
    recorder.ask(f"/?last_event_id={epoch}-2", accept=EVENTS)
    recorder.ask("/", accept=EVENTS, Last_Event_ID=f"{epoch}-99")
    recorder.ask("/", accept="text/event-stream, */*", Last_Event_ID=f"{epoch}-0", version="1.0")
    for lastID in ("nonsense", f"{FOREIGN}-1", "\xff", f"{epoch}-01"):
        recorder.ask("/", accept=EVENTS, Last_Event_ID=lastID)
    recorder.ask("/?from=then", accept=EVENTS, Last_Event_ID=f"{epoch}-1")
    recorder.ask("/?from=now", accept=EVENTS, Last_Event_ID=f"{epoch}-1")
    recorder.end()
    recorder.ask("/", accept=EVENTS, Last_Event_ID=f"{epoch}-2")
    recorder.ask("/", accept=EVENTS, Last_Event_ID=f"{epoch}-3")
    recorder.ask("/", accept=EVENTS, Last_Event_ID="")
    recorder.wait(31)
    recorder.write("late")


def recordPrompts(recorder: Recorder) -> None:
    """A source that takes a prompt."""
    recorder.serve(ScriptedSource(takesPrompt=True))
    recorder.ask("/", accept=CHROME)
    recorder.ask("/streams/nobody", accept=CHROME)
    recorder.ask("/", accept=EVENTS)
    for body in (b"", b"{}", {"prompt": None}, {"prompt": ""}, {"prompt": "Why?"}, {"prompt": "Why?", **HELLO}):
        recorder.ask("/streams", "POST", body=body)
    recorder.ask("/streams", "POST", body={**HELLO, "temperature": 0.5, "unknown": [1]})
    recorder.ask("/streams", "POST", body={"messages": []})
    recorder.ask("/streams", "POST", body={"messages": [{"role": "assistant", "content": "Hello"}]})
    recorder.serve(ScriptedSource(takesPrompt=True), prompt="Why?")
    recorder.ask("/", accept=EVENTS)
    recorder.write("Because.")


def recordRuns(recorder: Recorder) -> None:
    """Runs that are started by POST: their stream in every representation."""
    recorder.serve()
    path = recorder.startRun()
    name = path.rpartition("/")[2]
    recorder.ask(path)
    recorder.write("zw", "ölf\r\n", "\u2028 ")
    for accept in (
        EVENTS,
        JSON,
        PLAIN,
        CHROME,
        "*/*",
        None,
        "image/png",
        "application/json, text/plain, */*",
        "text/*",
    ):
        recorder.ask(path, accept=accept)
        recorder.ask(path, "HEAD", accept)
    for form in ("events", "text", "openai", "ui", "", "nope", "%FF", "Events"):
        recorder.ask(f"{path}?format={form}", accept=JSON)
        recorder.ask(f"{path}?format={form}&last_event_id={name}-1", accept=EVENTS)
    recorder.ask(f"{path}?format=text", "HEAD")
    recorder.ask(f"{path}/?from=now")
    recorder.ask(f"{path}?from=now&last_event_id={name}-2", Last_Event_ID=f"{name}-1")
    recorder.ask(f"{path}?from=then")
    recorder.ask(path, version="1.0")
    for lastID in (f"{name}-0", f"{name}-3", f"{name}-99", f"{name}-01", "nonsense", f"{FOREIGN}-1"):
        for form in FORMATS:
            recorder.ask(f"{path}?format={form}", Last_Event_ID=lastID)
    recorder.write(" end")
    recorder.end("length")
    recordEnded(recorder, path, 5)


def recordEnded(recorder: Recorder, path: str, last: int) -> None:
    """A stream that has ended, in every representation and format."""
    name = path.rpartition("/")[2]
    for accept in (EVENTS, JSON, PLAIN):
        recorder.ask(path, accept=accept)
        recorder.ask(path, "HEAD", accept)
    for form in FORMATS:
        for number in (1, last - 1, last, last + 1):
            recorder.ask(f"{path}?format={form}", accept=EVENTS, Last_Event_ID=f"{name}-{number}")
        recorder.ask(f"{path}?format={form}")
        recorder.ask(f"{path}?format={form}&from=now")


def recordEnds(recorder: Recorder) -> None:
    """Ends of runs: cancelled, failed, deleted, left alone."""
    recorder.serve(linger=5.0)
    cancelled = recorder.startRun()
    recorder.ask(cancelled)
    recorder.write("a")
    recorder.ask(f"{cancelled}/cancel", "POST", body=b"")
    recorder.ask(f"{cancelled}/cancel/", "POST", body=b"")
    recordEnded(recorder, cancelled, 2)
    failed = recorder.startRun()
    recorder.write("a")
    recorder.breakDown(SourceError("Source: too many.", "upstream", 429, 20))
    recordEnded(recorder, failed, 2)
    broken = recorder.startRun()
    recorder.breakDown(KeyError("swordfish"))
    recorder.ask(broken)
    recorder.ask(f"{broken}?format=openai")
    deleted = recorder.startRun()
    for form in FORMATS:
        recorder.ask(f"{deleted}?format={form}")
    recorder.write("a")
    recorder.ask(deleted, "DELETE")
    for method in ("GET", "HEAD", "DELETE"):
        recorder.ask(deleted, method)
    alone = recorder.startRun()
    recorder.wait(6)
    recorder.ask(alone)
    recorder.ask("/streams/nobody/cancel", "POST", body=b"")
    running = recorder.startRun()
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        recorder.ask(f"{running}/cancel", method)
        recorder.ask("/streams", method)
    recorder.ask(running, "PATCH")
    recorder.ask(running, "OPTIONS")
    recorder.ask(f"{running}/cancel/more")
    recorder.ask(running, "PUT")
    recorder.publish(running, {"token": "x"})


def recordBodies(recorder: Recorder) -> None:
    """Bodies of `POST /streams`."""
    recorder.serve()
    deep = b"[" * 100_000
    for body in (b"{", b"[]", b"null", b"prompt=x", b"\xff", b'{"prompt":1}', b'{"prompt":"\\ud800"}', b"NaN", deep):
        recorder.ask("/streams", "POST", body=body)
    recorder.ask("/streams", "POST", body=b"prompt=x", Content_Type="application/x-www-form-urlencoded")
    recorder.ask("/streams", "POST", body={"prompt": "x", "more": {}})
    for key in ("k", "k", "a b", "", "x" * 256, "\xe9"):
        recorder.ask("/streams", "POST", body=b'{"prompt":"a"}', Idempotency_Key=key)
    recorder.ask("/streams", "POST", body=b'{"prompt":"b"}', Idempotency_Key="k")


def recordPublishing(recorder: Recorder) -> None:
    """Streams that are published into."""
    recorder.serve()
    epoch = recorder.open("/streams/a.B_c~1-")
    path = "/streams/a.B_c~1-"
    for form in FORMATS:
        recorder.ask(f"{path}?format={form}")
    recorder.ask(path, "PUT")
    recorder.ask("/streams/b/", "PUT")
    recorder.ask(path, "POST", body=b'{"event":"note","data":"one\\ntwo"}', Content_Type=JSON)
    recorder.publish(path, {"token": "a"}, {"token": " b"}, {"data": "2"}, {"event": "x", "data": ""}, {"token": "\r"})
    recorder.ask(path, "POST", body=" é\r\n".encode(), Content_Type="Text/Plain; charset=UTF-8")
    events = b"id: 99\nretry: 1\ndata: a\n\n: c\n\nevent: e\ndata: b\ndata\n\n"
    recorder.ask(path, "POST", body=events, Content_Type=EVENTS)
    for key, body in (("k", "1"), ("k", "1"), ("k", "2"), ("a b", "1"), ("K", "1")):
        recorder.publish(path, {"data": body}, Idempotency_Key=key)
    for value in ("yes", "false", "True"):
        recorder.publish(path, {"token": "z"}, Stream_Closed=value)
    recorder.publish(path, {"data": "late"})
    recorder.publish(path, {"data": "1"}, Idempotency_Key="k")
    recorder.ask(path, "PUT")
    for lastID in (f"{epoch}-1", f"{epoch}-3", f"{epoch}-10", f"{FOREIGN}-1"):
        recorder.ask(path, Last_Event_ID=lastID)
    for accept in (EVENTS, JSON, PLAIN):
        recorder.ask(path, accept=accept)
    for form in ("text", "openai", "ui"):
        recorder.ask(f"{path}?format={form}")
    recorder.ask("/streams/b", "POST", body=b"", Stream_Closed="true", Idempotency_Key="end")
    recorder.ask("/streams/b", "POST", body=b"", Stream_Closed="true", Idempotency_Key="end")
    recorder.ask("/streams/b")
    recorder.ask(path, "DELETE")
    recorder.open(path)
    recorder.publish(path, {"data": "new"}, Idempotency_Key="k")
    recorder.ask(path, Last_Event_ID=f"{epoch}-1")
    recorder.ask("/streams/c", "PUT")
    recorder.ask("/streams/c/cancel", "POST", body=b"")
    recorder.publish("/streams/c", {"data": "x"})
    recorder.wait(601)
    recorder.ask("/streams/b")
    recorder.ask("/streams/b", "PUT")


def recordRefusals(recorder: Recorder) -> None:
    """Bodies that cannot be published."""
    recorder.serve()
    recorder.open("/streams/a")
    for name in ("..", "%2e", "a%2Fb", "a%00", "%ff", "a+b", "x" * 129, "x" * 128):
        recorder.ask(f"/streams/{name}", "PUT")
    recorder.publish("/streams/nobody", {"data": "x"})
    refuse = partial(recorder.ask, "/streams/a", "POST")
    for kind in (
        "stream",
        "done",
        "failed",
        "cancelled",
        "gap",
        "open",
        "error",
        "x" * 129,
        "a\x07",
        "a\r",
        "\x00",
        "",
    ):
        recorder.publish("/streams/a", {"event": kind, "data": ""})
    bodies = (
        b'{"data":"\\ud800"}', b'{"token":"x\\udfff"}', b"[" * 100_000, b'{"data":1}', b'{"data":"a"}x', b"{", b"null",
        b"{}", b"[]", b"", b'{"event":"a"}', b'{"data":"a","id":"1"}', b'{"token":"a","data":"b"}', b'{"token":""}',
        b'[{"data":"a"},{"event":"gap","data":""}]', b'{"data":"\xff"}',
    )  # fmt: skip
    for body in bodies:
        refuse(body=body, Content_Type=JSON)
    for body in (b"data: \xff\n\n", b"data: a\n\ndata: b\n", b": c\n\n", b"event: open\ndata: b\n\n", b""):
        refuse(body=body, Content_Type=EVENTS)
    refuse(body=b"a\xff", Content_Type=PLAIN)
    refuse(body=b"x", Content_Type=None)
    for contentType in ("text/html", "application/ndjson", "nonsense", "multipart/form-data; boundary=x"):
        refuse(body=b'{"data":"x"}', Content_Type=contentType)
    recorder.ask("/streams/a", accept=JSON)


def recordSizes(recorder: Recorder) -> None:
    """Bodies at their limit and above, and requests that are hardly HTTP."""
    recorder.serve()
    recorder.open("/streams/a")
    recorder.ask("/streams/a", "POST", body=b"x" * MAX_BODY, Content_Type=PLAIN)
    recorder.ask("/streams/a", "POST", body=b"x" * (MAX_BODY + 1), Content_Type=PLAIN)
    recorder.ask("/streams/a")
    head = b"POST /streams/a HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    recorder.send(head + b"Content-Length: 10737418240\r\n\r\n", "POST")
    recorder.send(head + b"Content-Length: 10737418240\r\nExpect: 100-continue\r\n\r\n", "POST")
    chunk = b"100000\r\n%b\r\n" % (b"x" * MAX_BODY)
    recorder.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n", "POST")
    recorder.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"1\r\nx\r\n0\r\n\r\n", "POST")
    recorder.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 20_000 + b"\r\n\r\n")
    recorder.send(b"GET /streams/a HTTP/1.1\r\nHost: a\r\nAccept: text/html;q=0.1\r\nAccept: application/json\r\n\r\n")
    recorder.send(b"nonsense\r\n\r\n")
    recorder.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: application/json\r\n\r\n")


def recordWindow(recorder: Recorder) -> None:
    """Streams that were trimmed."""
    recorder.serve(window=2000)
    recorder.open("/streams/a")
    for number in range(20):
        recorder.publish("/streams/a", {"token": f"{number:020}"}, {"data": f"{number:020}"})
    recorder.ask("/streams/a", accept=PLAIN)
    epoch = read(recorder.ask("/streams/a", accept=JSON)).json["epoch"]
    for form in FORMATS:
        recorder.ask(f"/streams/a?format={form}")
        recorder.ask(f"/streams/a?format={form}&from=now")
        recorder.ask(f"/streams/a?format={form}", Last_Event_ID=f"{epoch}-3")
    recorder.publish("/streams/a", {"token": "end"}, Stream_Closed="true")
    recordEnded(recorder, "/streams/a", 42)
    path = recorder.startRun()
    recorder.source.run.write(*["x" * 44] * 100)
    recorder.wait()
    for form in FORMATS:
        recorder.ask(f"{path}?format={form}", Last_Event_ID=f"{path[-22:]}-3")


def recordLimits(recorder: Recorder) -> None:
    """A server that has no room."""
    recorder.serve(maxViewers=1, maxStreams=4)
    recorder.open("/streams/a")
    recorder.ask("/", accept=EVENTS)
    recorder.ask("/", accept=EVENTS)
    for form in FORMATS:
        recorder.ask(f"/streams/a?format={form}")
    recorder.ask("/streams/a", "HEAD", EVENTS)
    recorder.ask("/streams", "POST", body=b"{}")
    recorder.ask(COMPLETIONS, "POST", body=HELLO)
    recorder.ask(COMPLETIONS, "POST", body={**HELLO, "stream": True})
    recorder.ask("/api/chat", "POST", body=CHAT)
    for name in "bcde":
        recorder.ask(f"/streams/{name}", "PUT")
    recorder.serve(maxBytes=64 * 1024)
    recorder.open("/streams/a")
    for _ in range(3):
        recorder.publish("/streams/a", {"data": "x" * 40_000})
    recorder.ask("/streams/b", "PUT")
    recorder.ask("/", accept=EVENTS)


def recordStopping(recorder: Recorder) -> None:
    """A server that is stopped."""
    recorder.serve(drain=0)
    recorder.open("/streams/a")
    path = recorder.startRun()
    recorder.write("a")
    for form in FORMATS:
        recorder.ask(f"/streams/a?format={form}")
        recorder.ask(f"{path}?format={form}")
    recorder.ask(COMPLETIONS, "POST", body=HELLO)
    recorder.ask(COMPLETIONS, "POST", body={**HELLO, "stream": True})
    recorder.ask("/api/chat", "POST", body=CHAT)
    stopped = recorder.service.stopService()
    recorder.ask("/", accept=EVENTS)
    recorder.ask("/streams/b", "PUT")
    recorder.ask("/streams", "POST", body=b"{}")
    recorder.wait(2)
    assert stopped.called


def recordFullDisk(recorder: Recorder) -> None:
    """A store that cannot take more; only the SQLite store has a disk."""
    recorder.serve()
    recorder.open("/streams/a")
    recorder.ask("/streams/a")
    recorder.full = True
    recorder.publish("/streams/a", {"data": "x"}, Idempotency_Key="k")
    recorder.ask("/streams/b", "PUT")
    recorder.ask("/streams", "POST", body=b"{}")
    recorder.ask("/", accept=EVENTS)
    recorder.ask(COMPLETIONS, "POST", body=HELLO)
    recorder.ask("/streams/a/cancel", "POST", body=b"")
    recorder.wait(3)
    recorder.ask("/streams/a", "DELETE")
    recorder.wait(3)
    recorder.ask("/streams/a", accept=JSON)
    recorder.full = False
    recorder.wait(2)
    recorder.publish("/streams/a", {"data": "x"}, Idempotency_Key="k")


SCENARIOS: tuple[Scenario, ...] = (
    recordPage,
    recordMounted,
    recordForeignSite,
    recordVisitor,
    recordPrompts,
    recordRuns,
    recordEnds,
    recordBodies,
    recordPublishing,
    recordRefusals,
    recordSizes,
    recordWindow,
    recordLimits,
    recordStopping,
)

#: Scenarios for a store with a disk.
DISK_SCENARIOS: tuple[Scenario, ...] = (recordFullDisk,)
