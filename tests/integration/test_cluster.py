"""
Two servers behind a real HAProxy: a rolling restart, and the example docs/examples/cluster as its page prints it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from sseserver.sources.launch import resetSignals
from sseserver.wire import Decoder
from tests.integration.servers import ENVIRONMENT, PATIENCE, ROOT, ask, freePort, twistd
from tests.integration.test_redis import until
from tests.redisservers import RedisServer, findMissing

EXAMPLE = ROOT / "docs" / "examples" / "cluster"

_missing = findMissing() or (None if shutil.which("haproxy") else "haproxy is not installed")
assert not (_missing and os.environ.get("CI")), _missing
pytestmark = pytest.mark.skipif(_missing is not None, reason=str(_missing))

#: Ports of the example: the balancer's, and those of the servers.
PRINTED = ("8080", "8001", "8002")

_TEXT = {"Content-Type": "text/plain"}


def replacePorts(text: str, ports: list[int]) -> str:
    """Return a text of the example with other ports."""
    for printed, port in zip(PRINTED, ports, strict=True):
        text = text.replace(printed, str(port))
    return text


class Returning(threading.Thread):
    """
    A viewer that returns like an EventSource, until it has the terminal event.

    Attributes:
        tokens: ID and data of each token.
        types: Types of all other events.
        connections: Number of connections so far.
    """

    def __init__(self, port: int, path: str) -> None:
        super().__init__(daemon=True)
        self.tokens: list[tuple[str, str]] = []
        self.types: list[str] = []
        self.connections = 0
        self._port, self._path = port, path
        self._lastEventID = ""
        self.start()

    @property
    def isDone(self) -> bool:
        """Whether it has the terminal event."""
        return bool(self.types) and self.types[-1] in {"done", "failed", "cancelled"}

    def run(self) -> None:
        """Read to the end."""
        while not self.isDone:
            with contextlib.suppress(OSError, HTTPException):
                self._connect()
            time.sleep(0.1)

    def _connect(self) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            headers = {"Last-Event-ID": self._lastEventID} if self._lastEventID else {}
            connection.request("GET", self._path, headers={"Accept": "text/event-stream", **headers})
            answer = connection.getresponse()
            if answer.status == 200:
                self.connections += 1
                self._read(answer)
        finally:
            connection.close()

    def _read(self, answer: object) -> None:
        decoder = Decoder()
        while data := answer.read1():  # type: ignore[attr-defined]
            for event in decoder.feed(data):
                self._lastEventID = event.id or self._lastEventID
                if event.type == "message":
                    self.tokens.append((event.id, event.data))
                else:
                    self.types.append(event.type)


class Nodes:
    """
    Two servers and a balancer.

    Attributes:
        port: Port of the balancer.
        ports: Ports of the servers.
        processes: The servers.
    """

    def __init__(self, redis: RedisServer, folder: Path, *options: str) -> None:
        self.port, *self.ports = self._all = [freePort() for _ in PRINTED]
        self.processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        self._options = ("--store", redis.url, *options)

    @contextlib.contextmanager
    def serve(self) -> Iterator[Nodes]:
        """Run all."""
        path = self._folder / "haproxy.cfg"
        path.write_text(replacePorts((EXAMPLE / "haproxy.cfg").read_text("utf-8"), self._all), "utf-8")
        with resetSignals(), contextlib.ExitStack() as stack:
            for index in range(2):
                self.processes.append(self._start(index))
            stack.callback(lambda: [process.wait() for process in self.processes if process.kill() is None])
            balancer = stack.enter_context(subprocess.Popen(["haproxy", "-f", str(path)]))
            stack.callback(balancer.terminate)
            until(lambda: self.isReady(0) and self.isReady(1) and self.answers())
            yield self

    def isReady(self, index: int) -> bool:
        """Tell whether a server is ready."""
        with contextlib.suppress(OSError, HTTPException):
            return ask(self.ports[index], "GET", "/readyz")[0] == 200
        return False

    def answers(self) -> bool:
        """Tell whether the balancer has a server."""
        with contextlib.suppress(OSError, HTTPException):
            return ask(self.port, "GET", "/readyz")[0] == 200
        return False

    def restart(self, index: int) -> None:
        """Restart a server as an operator does: it ends in peace, and the next one is waited for."""
        self.processes[index].terminate()
        assert self.processes[index].wait(PATIENCE) == 0
        self.processes[index] = self._start(index)
        until(lambda: self.isReady(index))
        # The balancer looks twice a second.
        time.sleep(1.5)

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        listen = f"tcp:{self.ports[index]}:interface=127.0.0.1"
        with (self._folder / f"log{index}").open("ab") as log:
            # The options of `QUICK` come first, and the last one counts.
            command = twistd("sseserver", "--listen", listen, *self._options)
            return subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT)


def test_rolling(tmp_path: Path) -> None:
    """
    A rolling restart: long answers go on to their ends, viewers of a published stream end on the other server, and
    nobody loses anything.
    """
    redis = RedisServer("appendonly yes").start()
    text = tmp_path / "text"
    # Longer than the restart of a server, shorter than the drain.
    text.write_text("".join(f"word{number} " for number in range(60)), "utf-8")
    options = (f"--text={text}", "--interval=0.1", "--drain=60", "--drain-wait=2", "--retry=200")
    try:
        with Nodes(redis, tmp_path, *options).serve() as nodes:
            assert ask(nodes.port, "PUT", "/streams/news")[0] == 201
            news = [Returning(nodes.port, "/streams/news") for _ in range(10)]
            until(lambda: all(viewer.connections for viewer in news))
            published: list[str] = []
            answers: list[Returning] = []
            for index in (0, 1):
                for _ in range(6):
                    status, headers, _ = ask(nodes.port, "POST", "/streams")
                    assert status == 201
                    answers.append(Returning(nodes.port, headers["location"]))
                until(lambda: all(viewer.tokens for viewer in answers))
                publisher = threading.Thread(target=publish, args=(nodes.port, published), daemon=True)
                publisher.start()
                nodes.restart(index)
                publisher.join(PATIENCE)
            assert ask(nodes.port, "POST", "/streams/news", {**_TEXT, "Stream-Closed": "true"}, b"end")[0] == 200
            for viewer in (*news, *answers):
                viewer.join(PATIENCE)
            for viewer in answers:
                assert viewer.types[-1] == "done", viewer.types
                assert [data for _, data in viewer.tokens] == [f"word{number} " for number in range(60)]
            for viewer in news:
                assert [data for _, data in viewer.tokens] == [*published, "end"]
            for viewer in (*news, *answers):
                assert not {"gap", "failed", "cancelled"}.intersection(viewer.types)
            # Each of them has left both servers, or the one on which it was.
            assert sum(viewer.connections > 1 for viewer in news) == len(news)
    finally:
        redis.remove()


def publish(port: int, published: list[str]) -> None:
    """Publish at the balancer, as programs should: with a key, and again if there was no answer."""
    for _ in range(20):
        word = f"{len(published)}"
        headers = {**_TEXT, "Idempotency-Key": f'"{word}"'}
        while True:
            with contextlib.suppress(OSError, HTTPException):
                if ask(port, "POST", "/streams/news", headers, word.encode())[0] == 200:
                    break
            time.sleep(0.1)
        published.append(word)
        time.sleep(0.1)


def test_example(tmp_path: Path) -> None:
    """The example does what its page prints, a restart included, and Ctrl-C leaves no process."""
    ports = [freePort() for _ in PRINTED]
    folder = tmp_path / "docs" / "examples" / "cluster"
    folder.mkdir(parents=True)
    for path in EXAMPLE.iterdir():
        if path.is_file():
            (folder / path.name).write_text(replacePorts(path.read_text("utf-8"), ports), "utf-8")
    start, follow, publishing, end = re.findall(
        r"^```sh\n(.*?)^```$", (folder / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    environment = {**ENVIRONMENT, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    output = tmp_path / "output"

    def read() -> str:
        return output.read_text("utf-8")

    def answers(port: int) -> bool:
        with contextlib.suppress(OSError, HTTPException):
            return ask(port, "GET", "/readyz")[0] == 200
        return False

    with resetSignals(), output.open("wb") as log:
        # As a terminal: the signal reaches the whole foreground.
        running = subprocess.Popen(
            start.split(), cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            until(lambda: all(map(answers, ports)))
            client = subprocess.Popen(["sh", "-c", follow], stdout=subprocess.PIPE, env=environment, cwd=tmp_path)
            until(lambda: ask(ports[1], "GET", "/streams/news", {"Accept": "application/json"})[0] == 200)
            subprocess.run(["sh", "-ec", publishing], env=environment, check=True)
            for port in ports[1:]:
                number = re.findall(rf"port {port} is process (\d+)", read())[-1]
                os.kill(int(number), signal.SIGTERM)
                until(lambda port=port: read().count(f"port {port} is process") == 2)
                until(lambda port=port: answers(port) and answers(ports[0]))
            subprocess.run(["sh", "-ec", end], env=environment, check=True)
            shown = client.communicate(timeout=PATIENCE)[0].decode()
            assert re.findall(r"\b(One|Two|End)\.", shown) == ["One", "Two", "End"]
            numbers = re.findall(r"is process (\d+)", read())
            os.killpg(running.pid, signal.SIGINT)
            assert running.wait(PATIENCE) == 0
            assert not any(Path(f"/proc/{number}").exists() for number in numbers)
            assert "Everything is ended." in read()
        finally:
            if running.poll() is None:
                running.terminate()
                running.wait(PATIENCE)
