"""
Crashes: `kill -9` of a real server at random moments, with runs, publishers and viewers at work, and restarts on the
same file.

Nothing is lost, nothing comes twice, and every stream gets its end. `SSESERVER_KILL_ROUNDS` sets the number of kills.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from hashlib import sha256
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from sseserver.wire import Decoder, Event
from tests.integration.forkserver import Process, startServer
from tests.integration.servers import ENVIRONMENT, PATIENCE, freePort, twistd

ROUNDS = int(os.environ.get("SSESERVER_KILL_ROUNDS", "30"))

#: Streams. Half of them are runs, half are published.
RUNS = 25
PUBLISHED = 25

#: Viewers of each stream, including the late ones.
VIEWERS = 3

#: Number of publishes that a server answers before it is killed, at most; on a slow machine it has the time for them.
#: Some servers are killed before they listen, others as soon as a publish has been sent.
ANSWERS = 100
EARLY = 0.15
IN_FLIGHT = 0.3

#: Number of kills that must interrupt a publish. More servers are killed until there are as many, up to a limit.
INTERRUPTED = max(1, ROUNDS // 5)
MOST_ROUNDS = 10 * ROUNDS + 50

#: Seconds. Time from one word of a run to the next: 40 words take longer than any server but the last one lives.
INTERVAL = 0.05
TEXT = "".join(f" {number}ä\u2028{'x' * (number % 7)}{chr(10) * (number % 3)}" for number in range(40)).strip()

#: Number of publishes into one stream before it is closed; and seconds from one to the next.
PUBLISHES = 15
PACE = 0.1

#: Exceptions of a connection to a killed server.
LOST = (OSError, asyncio.IncompleteReadError)


class Server:
    """
    The server process, started again and again.

    Attributes:
        up: Set while it listens, so that clients need not try at other times.
    """

    def __init__(self, folder: Path) -> None:
        self.port = freePort()
        self.up = asyncio.Event()
        self._output = folder / "output"
        text = folder / "text"
        text.write_text(TEXT, "utf-8")
        listen = f"tcp:{self.port}:interface=127.0.0.1:backlog=4096"
        options = {"--listen": listen, "--store": f"sqlite:{folder / 'store'}", "--text": str(text)}
        options |= {"--interval": str(INTERVAL), "--retry": "100"}
        self._command = twistd("sseserver", *(word for option in options.items() for word in option))
        self._process: Process | None = None

    def spawn(self) -> None:
        """Start a process on the file of the one before."""
        environment = ENVIRONMENT
        with self._output.open("wb") as output:
            self._process = startServer(self._command, output, cwd=self._output.parent, env=environment)

    async def listens(self) -> None:
        """Wait until the server listens."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.check()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                assert time.monotonic() < deadline, "The server does not listen."
                await asyncio.sleep(0.02)
            else:
                writer.close()
                self.up.set()
                return

    def check(self) -> None:
        """Check that the process has not ended by itself."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"The server ended:\n{self._output.read_text('utf-8', 'replace')}")

    async def kill(self, hard: bool = True) -> None:
        """Kill the process, or end it in good order."""
        if self._process is not None:
            self.up.clear()
            (self._process.kill if hard else self._process.terminate)()
            await asyncio.to_thread(self._process.wait)
            self._process = None

    async def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b"", sent: asyncio.Event | None = None
    ) -> tuple[int, dict[str, str], AsyncIterator[bytes]]:
        """
        Send a request as soon as there is a server.

        Args:
            method, path, headers, body: Of the request.
            sent: Set when the request has been written to the socket.

        Returns:
            Status, headers by lower-case name, and the body in pieces as they arrive.

        Raises:
            OSError, asyncio.IncompleteReadError: The connection is lost, maybe while the body is read.
        """
        await self.up.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            lines = [
                f"{method} {path} HTTP/1.1",
                "Host: localhost",
                "Connection: close",
                f"Content-Length: {len(body)}",
            ]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode("ascii") + body)
            if sent is not None:
                sent.set()
            first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").strip().split("\r\n")
        except BaseException:
            writer.close()
            raise
        answered = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        return int(first.split(" ")[1]), answered, _pieces(reader, writer, answered)

    async def ask(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, Any]:
        """Send a request until it is answered, through any number of crashes, and return its status and JSON."""
        while True:
            try:
                status, _, pieces = await self.request(method, path, headers, body)
                return status, json.loads(b"".join([piece async for piece in pieces]) or b"null")
            except LOST:
                await asyncio.sleep(0.05)


async def _pieces(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str]
) -> AsyncIterator[bytes]:
    """Read a body with a length, or in chunks (RFC 9112 section 7.1)."""
    try:
        if "transfer-encoding" in headers:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                yield await reader.readexactly(size)
                await reader.readexactly(2)
        else:
            yield await reader.readexactly(int(headers.get("content-length", "0")))
    finally:
        writer.close()


class Reading:
    """
    The content that one viewer has put together: tokens as they are, and events with marks around them, so that
    joined tokens make no difference.
    """

    def __init__(self) -> None:
        self.text = ""
        self.number = 0
        self.end: str | None = None

    def add(self, event: Event, epoch: str) -> None:
        """Add the next event, whose number is higher than all before."""
        assert self.end is None, f"{event} after the end"
        before, _, number = (event.id or "").rpartition("-")
        assert before == epoch, f"{event} of another epoch than {epoch}"
        assert int(number) > self.number, f"{event} after {self.number}"
        self.number = int(number)
        assert event.type in {"message", "note", "done", "failed"}, event
        self.text += event.data if event.type == "message" else f"\x1e{event.type}\x1f{event.data}\x1e"
        if event.type in {"done", "failed"}:
            self.end = f"{event.type} {json.loads(event.data)['reason']}"

    @property
    def digest(self) -> bytes:
        """Digest of the content so far."""
        return sha256(self.text.encode("utf-8")).digest()


class Stream:
    """
    One stream, as its viewers know it.

    Attributes:
        content: Digest of the content up to each number, from any viewer and any process.
        readings: Of each viewer that has reached the end.
    """

    def __init__(self, server: Server, name: str, epoch: str) -> None:
        self.name = name
        self.epoch = epoch
        self.content: dict[int, bytes] = {}
        self.readings: list[Reading] = []
        self._server = server
        self.resumed = 0

    async def view(self, delay: float) -> None:
        """Follow the stream to its end, through any number of crashes, and then get 204."""
        await asyncio.sleep(delay)
        reading = Reading()
        place = ""
        while reading.end is None:
            try:
                place = await self._follow(reading, place)
            except Cut as cut:
                place = cut.place
                self.resumed += bool(place)
                await asyncio.sleep(random.uniform(0, 0.1))
        self.readings.append(reading)
        await self._hasEnd(place)

    async def _hasEnd(self, place: str) -> None:
        status, _ = await self._server.ask("GET", f"/streams/{self.name}", _accept(place))
        assert status == 204, f"{status} for {place}, which is the end of {self.name}"

    async def _follow(self, reading: Reading, place: str) -> str:
        """Read one response, and return the last event ID at its complete end."""
        decoder = Decoder(lastEventID=place)
        try:
            status, headers, pieces = await self._server.request("GET", f"/streams/{self.name}", _accept(place))
            assert (status, headers.get("content-type")) == (200, "text/event-stream"), (status, self.name, place)
            async for piece in pieces:
                for event in decoder.feed(piece):
                    self._take(reading, event, place)
        except LOST:
            raise Cut(decoder.lastEventID) from None
        assert reading.end is not None, f"The response ended before {self.name} did."
        assert not decoder.pending
        return decoder.lastEventID

    def _take(self, reading: Reading, event: Event, place: str) -> None:
        if event.type == "stream":
            told = json.loads(event.data)
            assert (told["epoch"], event.id) == (self.epoch, f"{self.epoch}-{reading.number}"), (event, place)
            return
        reading.add(event, self.epoch)
        known = self.content.setdefault(reading.number, reading.digest)
        assert known == reading.digest, f"{self.name}: {event} is not what was at this place before"

    async def check(self) -> str:
        """Compare all viewers with the server's content, and return the terminal event."""
        whole = Stream(self._server, self.name, self.epoch)
        whole.content = self.content
        await whole.view(0)
        (expected,) = whole.readings
        for reading in self.readings:
            assert reading.text == expected.text, f"{self.name}: {reading.text!r} is not {expected.text!r}"
            assert (reading.number, reading.end) == (expected.number, expected.end)
        status, state = await self._server.ask("GET", f"/streams/{self.name}", {"Accept": "application/json"})
        assert (status, state["epoch"], state["last"]) == (200, self.epoch, expected.number), state
        assert expected.text.count("\x1edone") + expected.text.count("\x1efailed") == 1
        assert expected.end is not None
        return expected.end


class Cut(Exception):
    """The connection was lost; the viewer resumes with this last event ID."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


def _accept(place: str) -> dict[str, str]:
    return {"Accept": "text/event-stream", **({"Last-Event-ID": place} if place else {})}


class Scene:
    """All clients, at the same time."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder)
        self.runs: list[Stream] = []
        self.published: list[Stream] = []
        self.answers = self.retries = 0
        # Set when a publish has been sent, until a kill waits for the next one.
        self.sent = asyncio.Event()
        # Set after the last kill: no stream is begun any more.
        self.last = False

    async def play(self) -> None:
        """Kill the server the wanted number of times, let every stream reach its end, and check all of them."""
        self.server.spawn()
        async with asyncio.TaskGroup() as group:
            for _ in range(RUNS):
                group.create_task(self._run(group))
            for number in range(PUBLISHED):
                group.create_task(self._publish(group, number))
            await self._kills()
            self.last = True
        self.server.check()
        await self._checkAll()
        await self.server.kill(hard=False)

    async def _kills(self) -> None:
        rounds = 0
        while rounds < ROUNDS or self.retries < INTERRUPTED:
            assert rounds < MOST_ROUNDS, f"{rounds} kills interrupted {self.retries} publishes."
            rounds += 1
            if random.random() >= EARLY:
                await self.server.listens()
                await self._answered(random.randrange(ANSWERS))
            if random.random() < IN_FLIGHT or rounds >= ROUNDS:
                await self._publishInFlight()
            else:
                await asyncio.sleep(random.uniform(0, 0.3))
            self.server.check()
            await self.server.kill()
            self.server.spawn()
        await self.server.listens()

    async def _answered(self, count: int) -> None:
        """Wait until the server has answered as many publishes."""
        enough = self.answers + count
        while self.answers < enough:
            self.server.check()
            await asyncio.sleep(0.01)

    async def _publishInFlight(self) -> None:
        """Wait until a publish has been sent whose answer is still to come."""
        await self.server.listens()
        self.sent.clear()
        await self.sent.wait()

    def _watch(self, group: asyncio.TaskGroup, stream: Stream) -> list[asyncio.Task[None]]:
        """Start viewers: some at once, some late."""
        return [group.create_task(stream.view(random.uniform(0, 3) * (number > 1))) for number in range(VIEWERS)]

    async def _run(self, group: asyncio.TaskGroup) -> None:
        """Start a run, and another one after each crash that ends it; the last one reaches its end."""
        final = False
        while not final:
            final = self.last
            status, made = await self.server.ask("POST", "/streams", {})
            assert status == 201, made
            self.runs.append(Stream(self.server, made["name"], made["name"]))
            await asyncio.wait(self._watch(group, self.runs[-1]), return_when=asyncio.FIRST_COMPLETED)

    async def _publish(self, group: asyncio.TaskGroup, number: int) -> None:
        """Publish into one stream after the other until the kills are over."""
        count = 0
        while not self.last:
            count += 1
            name = f"published-{number}-{count}"
            status, state = await self.server.ask("PUT", f"/streams/{name}", {})
            assert status in {200, 201}, state
            stream = Stream(self.server, name, state["epoch"])
            self.published.append(stream)
            self._watch(group, stream)
            await self._feed(stream)

    async def _feed(self, stream: Stream) -> None:
        """Publish until each request is answered; the answers say which entries must exist."""
        text, last = "", 0
        for count in range(PUBLISHES + 1):
            close = count == PUBLISHES or (self.last and count > 0)
            items, piece = _items(stream.name, count)
            text += piece
            ids = await self._send(stream.name, items, f"key-{count}", close)
            assert ids == [f"{stream.epoch}-{last + number}" for number in range(1, len(items) + close + 1)], ids
            last += len(ids)
            if close:
                break
            known = stream.content.setdefault(last, sha256(text.encode("utf-8")).digest())
            assert known == sha256(text.encode("utf-8")).digest(), f"{ids} of {stream.name} are not what was published"
            await asyncio.sleep(random.uniform(0, 2 * PACE))

    async def _send(self, name: str, items: list[dict[str, str]], key: str, close: bool) -> list[str]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "Stream-Closed": str(close).lower()}
        body = json.dumps(items).encode("ascii")
        while True:
            try:
                status, _, pieces = await self.server.request("POST", f"/streams/{name}", headers, body, self.sent)
                answer = json.loads(b"".join([piece async for piece in pieces]))
            except LOST:
                self.retries += 1
                await asyncio.sleep(0.02)
                continue
            assert status == 200, (status, answer)
            self.answers += 1
            ids: list[str] = answer["ids"]
            return ids

    async def _checkAll(self) -> None:
        """Check every stream of the test."""
        ends = Counter[str]()
        for run in self.runs:
            end = await run.check()
            ends[end] += 1
            text = run.readings[0].text.partition("\x1e")[0]
            whole = TEXT.startswith(text) if end == "failed interrupted" else text == TEXT
            assert whole, f"{run.name}: {text!r}"
        assert set(ends) == {"failed interrupted", "done stop"}, ends
        assert {await stream.check() for stream in self.published} == {"done stop"}
        # A kill without effect proves nothing: each one interrupted runs, publishers and viewers.
        assert len(self.runs) + len(self.published) > RUNS + PUBLISHED
        assert ends["failed interrupted"] >= ROUNDS, ends
        assert self.retries >= INTERRUPTED, self.retries
        assert sum(stream.resumed for stream in [*self.runs, *self.published]) >= ROUNDS
        assert all(len(stream.readings) == VIEWERS for stream in [*self.runs, *self.published])


def _items(name: str, count: int) -> tuple[list[dict[str, str]], str]:
    """Return unique entries to publish, and the content that viewers must put together from them."""
    items: list[dict[str, str]] = []
    text = ""
    for number in range(1 + count % 3):
        data = f" {name}/{count}/{number} \u2028😀\n"
        token = (count + number) % 2 == 0
        items.append({"token": data} if token else {"event": "note", "data": data})
        text += data if token else f"\x1enote\x1f{data}\x1e"
    return items, text


class KillTests(TestCase):
    """A server that is killed."""

    timeout = 300 + 10 * ROUNDS

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()

    async def test_kill(self) -> None:
        """
        A server is killed again and again while runs write, publishers publish and viewers watch.

        All viewers of a stream have the same content in the end, which is the server's. Published entries exist once
        and in order. No ID ever had two contents. Each stream has one end, `failed` with the reason `interrupted` for
        runs that were killed, and viewers that have it get 204.
        """
        await deferToThread(asyncio.run, _bounded(self.folder, self.timeout - 20))


async def _bounded(folder: Path, seconds: float) -> None:
    """Play the scene with a time limit, and leave no process."""
    scene: Scene = Scene(folder)
    play: Coroutine[Any, Any, None] = scene.play()
    try:
        async with asyncio.timeout(seconds):
            await play
    finally:
        await scene.server.kill()
