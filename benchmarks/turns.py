"""
The longest turns: how long does one request keep a second client waiting?

Each piece of work is prepared, and then done beside `peers/watcher.py`. Its longest wait is the longest
turn of the server's reactor, with its own request. The CPU time that the reactor's thread used in one wait
is the same without the time in which other threads of the machine had its core.
"""

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit

import process
from journal import Figures
from load import EVENT_STREAM, LoadError, request
from paced import COMPLETIONS, SPARE, Bench
from process import Meter, Process
from servers import PEERS, Installation, Makers, Server, ask, words

#: Bytes of the largest publish, and of the largest completion request, with room for the rest of it.
PUBLISH, BODY = 1 << 20, (32 << 20) - 1000

#: Seconds of the work of an idle server, and after each piece of work; of a slow crowd.
IDLE, REST, CROWD = 2.0, 0.3, 5.0

#: Bytes of the receive buffer of a viewer that does not read; bytes of one step of a reader.
NARROW, STEP = 4096, 65536

#: Tokens of one publish of a preparation.
PART = 50_000

#: Milliseconds that no request may hold the reactor.
LIMIT = 10.0

#: Options of a server that keeps everything, and waits for everybody.
ROOMY = ("--window=1000000000", "--max-bytes=4000000000", "--stall=600", "--linger=600", "--max-streams=1000000")

STREAM, SQLITE, UPSTREAM = "/streams/work", "SQLite", "upstream"

ASK = {"messages": [{"role": "user", "content": "x"}]}


@dataclass(slots=True)
class Place:
    """A running server, and the connections that a piece of work has opened."""

    parameters: Any
    port: int
    viewers: list[socket.socket] = field(default_factory=list)

    def ask(self, method: str, path: str = STREAM, body: str | None = None, **headers: str) -> bytes:
        """Send a request, and return the body of the answer."""
        return ask(self.port, method, path, None if body is None else body.encode(), **headers)[1]

    def fill(self, end: bool = True) -> None:
        """Publish a long stream."""
        self.ask("PUT")
        tokens = self.parameters.tokens
        for done in range(0, tokens, PART):
            self.ask("POST", body=json.dumps([{"token": "word "}] * min(PART, tokens - done)))
        if end:
            self.ask("POST", body="[]", Stream_Closed="true")

    def gather(self, path: str = STREAM) -> None:
        """Connect many viewers of a stream that do not read."""
        get = request("GET", path, EVENT_STREAM)
        for _ in range(min(self.parameters.viewers, process.raiseDescriptorLimit() - SPARE)):
            viewer = socket.socket()
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
            viewer.connect((process.HOST, self.port))
            viewer.sendall(get)
            viewer.setblocking(False)
            self.viewers.append(viewer)
        for viewer in self.viewers:
            # `select` takes no descriptor above 1023.
            head = select.poll()
            head.register(viewer, select.POLLIN)
            head.poll(process.STARTING * 1000)
            if not viewer.recv(STEP, socket.MSG_PEEK).startswith(b"HTTP/1.1 200"):
                raise LoadError("a viewer was refused")

    def sweep(self, seconds: float = 0.0) -> None:
        """Let each viewer read once, evenly over some seconds."""
        begin, pause = time.monotonic(), seconds / len(self.viewers)
        for number, viewer in enumerate(self.viewers):
            time.sleep(max(0.0, begin + number * pause - time.monotonic()))
            try:
                viewer.recv(STEP)
            except BlockingIOError:
                continue

    def close(self) -> None:
        """Close the connections."""
        for viewer in self.viewers:
            viewer.close()


#: A step with a running server.
Act = Callable[[Place], object]


class Work(NamedTuple):
    """A piece of work: what is prepared, what is measured, and the server for it."""

    name: str
    act: Act
    prepare: Act = lambda place: place.ask("PUT")
    kind: str = ""  # `SQLITE`, `UPSTREAM`, or empty
    restarts: bool = False  # whether the server starts anew in between
    text: bool = False  # whether its source is a long text


def _publish(body: str, kind: str) -> Act:
    return lambda place: place.ask("POST", body=body, Content_Type=kind)


def _read(accept: str = "text/event-stream", query: str = "") -> Act:
    def read(place: Place) -> None:
        size = len(place.ask("GET", STREAM + query, Accept=accept))
        if size < len("word ") * place.parameters.tokens:
            raise LoadError(f"{size} bytes came")

    return read


def _complete(place: Place) -> None:
    answer = json.loads(place.ask("POST", COMPLETIONS, json.dumps(ASK)))
    if not answer["choices"][0]["message"]:
        raise LoadError(f"no answer: {answer}")


def _askAtLength(place: Place) -> None:
    messages = [{"role": "user", "content": "word " * (BODY // 5)}]
    place.ask("POST", COMPLETIONS, json.dumps({"messages": messages}))


def _askInParts(place: Place) -> None:
    """Ask with a long conversation of nearly as many values as a body may have."""
    messages = [{"role": "user", "content": "word " * 330}] * (BODY // 1700)
    place.ask("POST", COMPLETIONS, json.dumps({"messages": messages}))


def _askInTooManyParts(place: Place) -> None:
    """Ask with a conversation that is refused."""
    messages = [{"role": "user", "content": "word"}] * (BODY // 40)
    try:
        place.ask("POST", COMPLETIONS, json.dumps({"messages": messages}))
    except HTTPError as refusal:
        if refusal.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return
        raise
    raise LoadError("too many values were accepted")


def _readText(place: Place) -> None:
    """Replay a text that is longer than the format `text` serves."""
    if not place.ask("GET", f"{STREAM}?format=text", Accept="text/event-stream"):
        raise LoadError("nothing came")


def _readNothing(place: Place) -> None:
    """Replay events as chunks of a completion, which leave them out."""
    place.ask("GET", f"{STREAM}?format=openai", Accept="text/event-stream")


def _fillEvents(place: Place) -> None:
    """Publish many events."""
    place.ask("PUT")
    for _ in range(place.parameters.tokens // len(_EVENT_LIST) + 1):
        place.ask("POST", body=json.dumps(_EVENT_LIST))
    place.ask("POST", body="[]", Stream_Closed="true")


def _list(place: Place) -> None:
    path = "/streams"
    while path is not None:
        path = json.loads(place.ask("GET", path))["next"]


def _openMany(place: Place) -> None:
    with socket.create_connection((process.HOST, place.port)) as connection:
        received = 0
        for number in range(place.parameters.streams):
            connection.sendall(request("PUT", f"/streams/{number}"))
            received += len(connection.recv(STEP))
        if not received:
            raise LoadError("the server has closed the connection")


def _gatherPaused(place: Place) -> None:
    """Let many viewers stop a run."""
    headers, _ = ask(place.port, "POST", "/streams", b"{}")
    place.gather(urlsplit(headers["Location"]).path)
    time.sleep(1.0)


def _gather(place: Place) -> None:
    place.ask("PUT")
    place.gather()


def _publishOne(place: Place) -> None:
    place.ask("POST", body='{"data": "event"}')


_EVENT_LIST = [{"data": "event"}] * 10_000
_TOKENS = "[" + ",".join(['{"token":"x"}'] * (PUBLISH // 14 - 1)) + "]"
_JSON, _EVENTS, _TEXT = "application/json", "text/event-stream", "text/plain"

WORKS = (
    Work("nothing", lambda _: time.sleep(IDLE)),
    Work("publish of tokens", _publish(_TOKENS, _JSON)),
    Work("publish of empty events", _publish("data:\n\n" * (PUBLISH // 7), _EVENTS)),
    Work("publish of a text", _publish("x" * PUBLISH, _TEXT)),
    Work("text of an open stream", _read("text/plain"), lambda place: place.fill(end=False)),
    Work("text of an ended stream", _read("text/plain"), Place.fill),
    *(Work(f"replay as {name}", _read(query=f"?format={name}"), Place.fill) for name in ("events", "openai", "ui")),
    Work("replay as text", _readText, Place.fill),
    Work("replay of events that are left out", _readNothing, _fillEvents),
    Work("deletion of a long stream", lambda place: place.ask("DELETE"), Place.fill),
    Work("completion", _complete, bool, text=True),
    Work("tool call", _complete, bool, UPSTREAM),
    Work("long prompt", _askAtLength, bool, UPSTREAM),
    Work("long conversation", _askInParts, bool, UPSTREAM),
    Work("conversation that is refused", _askInTooManyParts, bool, UPSTREAM),
    Work("viewers of a paused run, at once", Place.sweep, _gatherPaused, text=True),
    Work("viewers of a paused run, in turn", lambda place: place.sweep(CROWD), _gatherPaused, text=True),
    Work("publish to viewers", _publishOne, _gather),
    Work("cancel with viewers", lambda place: place.ask("POST", f"{STREAM}/cancel", ""), _gather),
    Work("deletion with viewers", lambda place: place.ask("DELETE"), _gather),
    Work("viewers that leave", Place.close, _gather),
    Work("list of streams", _list, _openMany),
    Work("publish of tokens", _publish(_TOKENS, _JSON), kind=SQLITE),
    Work("publish of empty events", _publish("data:\n\n" * (PUBLISH // 7), _EVENTS), kind=SQLITE),
    Work("first text of an ended stream", _read("text/plain"), Place.fill, SQLITE, restarts=True),
    Work("deletion of a long stream", lambda place: place.ask("DELETE"), Place.fill, SQLITE),
    Work("publish to viewers", _publishOne, _gather, SQLITE),
    Work("list of streams", _list, _openMany, SQLITE),
)


def works(bench: Bench) -> Makers:
    """Return ours for each piece of work."""
    return bench.ours(*(lambda one, number=number: _make(bench, one, number) for number in range(len(WORKS))))


def _make(bench: Bench, one: Installation, number: int) -> Server:
    work, options, port = WORKS[number], ROOMY, 0
    if work.kind == UPSTREAM:
        port = process.freePort()
        options = (*ROOMY, f"--upstream=http://{process.HOST}:{port}/v1", "--model=m")
    elif work.text:
        file = bench.folder / "long.txt"
        file.write_text(words(bench.parameters.tokens * (1 if work.name == "completion" else 3)))
        options = (*ROOMY, "--text", str(file), "--interval=0")
    variant = f"{work.name}{f', {work.kind}' * (work.kind == SQLITE)}"
    server = one.server(*options, variant=variant, database=bench.folder if work.kind == SQLITE else None)
    # The upstream's port stands in the environment, which belongs to this server alone.
    return replace(server, size=number, environment={**server.environment, "UPSTREAM_PORT": str(port)})


def measureTurns(bench: Bench, server: Server) -> Figures:
    """Measure the waits of a second client beside one piece of work."""
    work, port = WORKS[server.size], process.freePort()

    def start() -> Process:
        return Process(server.command(port), port, bench.core, server.environment, bench.folder)

    place = Place(bench.parameters, port)
    with closing(place), _upstream(bench, server, work):
        with start() as child:
            work.prepare(place)
            if not work.restarts:
                return _measure(place, child, work)
        with start() as child:
            return _measure(place, child, work)


def _upstream(bench: Bench, server: Server, work: Work) -> Any:
    """Return the process of the upstream, if the work needs one."""
    port = int(server.environment["UPSTREAM_PORT"])
    command = [sys.executable, str(PEERS / "pieces.py"), str(port), str(bench.parameters.pieces)]
    return Process(command, port) if work.kind == UPSTREAM else nullcontext()


def _measure(place: Place, child: Process, work: Work) -> Figures:
    """Do the work beside the second client."""
    meter = Meter(child)
    time.sleep(REST)
    with _watch(place.port, child.pid) as finish:
        meter.begin()
        begin = time.monotonic()
        work.act(place)
        seconds = time.monotonic() - begin
        time.sleep(REST)
        meter.end()
        waits = finish()
    busy = sorted((cpu for _, cpu in waits), reverse=True)
    figures = {**meter.figures(1000), "seconds": seconds, "longest": waits[0][0], "busy": busy[0], "second": busy[1]}
    return {**figures, "over": sum(cpu > LIMIT for cpu in busy)}


@contextmanager
def _watch(port: int, pid: int) -> Iterator[Callable[[], list[list[float]]]]:
    """Let the second client watch, until the function is called that returns its waits, the longest first."""
    command = [sys.executable, str(PEERS / "watcher.py"), str(port), str(pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:

        def finish() -> list[list[float]]:
            print(file=watcher.stdin, flush=True)
            return json.loads(watcher.stdout.readline())

        time.sleep(REST)
        # The first window holds the start.
        finish()
        try:
            yield finish
        finally:
            watcher.kill()
