"""
Server processes that share their streams in a real Redis.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

import pytest

from sseserver.wire import Decoder, Event
from tests.integration.forkserver import Process
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd
from tests.redisclusters import RedisCluster
from tests.redisservers import RedisServer, findMissing, isReplicated, makeTLSLines

pytestmark = pytest.mark.skipif(findMissing() is not None, reason=str(findMissing()))

#: Seconds. A run of a dead process must have ended by then, on a machine that is busy.
TAKEN_OVER = 15.0

#: Seconds. The Redis is away for so long.
OUTAGE = 30.0 if os.environ.get("SSESERVER_LONG") == "1" else 3.0

_TEXT = {"Content-Type": "text/plain"}


#: ID and data of the tokens that a viewer got.
Words: TypeAlias = list[tuple[str, str]]


class Watcher(threading.Thread):
    """
    A viewer in a thread.

    Attributes:
        events: The events so far.
        reads: Number of pieces that have come, heartbeats included.
    """

    def __init__(self, port: int, path: str, lastEventID: str | None = None) -> None:
        super().__init__(daemon=True)
        self.events: list[Event] = []
        self.reads = 0
        self._decoder = Decoder()
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": lastEventID} if lastEventID else {})}
        self._connection.request("GET", path, headers=headers)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self.start()

    def run(self) -> None:
        """Read to the end."""
        with contextlib.suppress(OSError, HTTPException):
            while data := self._answer.read1():
                self.reads += 1
                self.events += self._decoder.feed(data)
        self._answer.close()
        self._connection.close()

    @property
    def words(self) -> Words:
        """ID and data of each token."""
        return [(event.id, event.data) for event in self.events if event.type == "message"]


def checkSame(words: Words, others: Words) -> None:
    """Check that two viewers have got the same text, up to each token that both have, and to the end."""
    texts, otherTexts = map(addTexts, (words, others))
    assert [texts[number] for number in texts if number in otherTexts] == [
        text for number, text in otherTexts.items() if number in texts
    ]
    assert words[-1][0] == others[-1][0]


def addTexts(words: Words) -> dict[str, str]:
    """Return the text up to each token, by its ID. Tokens that were there before a viewer came have the ID of one."""
    numbers, texts = zip(*words, strict=True)
    return dict(zip(numbers, accumulate(texts), strict=True))


def until(condition: Callable[[], object], limit: float = PATIENCE) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "It did not happen."
        time.sleep(0.02)


def isReady(port: int) -> bool:
    """Return whether a server has its store."""
    return ask(port, "GET", "/readyz")[0] == 200


@contextlib.contextmanager
def servers(url: str, *options: str) -> Iterator[tuple[list[int], list[Process]]]:
    """Run two servers on one Redis; give their ports and processes."""
    with contextlib.ExitStack() as stack:
        ports, processes = [freePort(), freePort()], []
        for port in ports:
            command = twistd("sseserver", "--listen", f"tcp:{port}:interface=127.0.0.1", "--store", url, *options)
            processes.append(stack.enter_context(serving(command, port, env=ENVIRONMENT)))
        for port in ports:
            until(lambda port=port: isReady(port))
        yield ports, processes


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Run a Redis for one test."""
    server = RedisServer("appendonly yes", "appendfsync always").start()
    yield server
    server.remove()


def startRun(port: int) -> str:
    """Start a run, and return the path of its stream."""
    status, headers, _ = ask(port, "POST", "/streams")
    assert status == 201
    return headers["location"]


def test_run(redis: RedisServer) -> None:
    """A run of one server is watched on the other one, with curl and with our client, and is cancelled there."""
    with servers(redis.url, "--interval=0.05") as ((first, second), _):
        path = startRun(first)
        here, there = Watcher(first, path), Watcher(second, path)
        client = subprocess.Popen(
            [sys.executable, "-m", "sseserver.client", f"http://127.0.0.1:{second}{path}"],
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        curl = shutil.which("curl")
        assert curl is not None
        curled = subprocess.Popen(
            [curl, "-sN", "-H", "Accept: text/event-stream", f"http://127.0.0.1:{second}{path}"],
            stdout=subprocess.PIPE,
        )
        until(lambda: len(there.words) > 20)
        assert ask(second, "POST", f"{path}/cancel")[0] == 200
        for watcher in (here, there):
            watcher.join(PATIENCE)
            assert (watcher.events[-1].type, watcher.events[-1].data) == ("cancelled", '{"reason":"asked"}')
        checkSame(here.words, there.words)
        assert b"event: cancelled" in curled.communicate(timeout=PATIENCE)[0]
        client.communicate(timeout=PATIENCE)
        state = json.loads(ask(first, "GET", path, {"Accept": "application/json"})[2])
        assert state["state"] == "cancelled"


def test_published(redis: RedisServer) -> None:
    """Publishes at any server are seen at all others, in one order; a key is one key everywhere."""
    with servers(redis.url) as (ports, _):
        assert ask(ports[0], "PUT", "/streams/a")[0] == 201
        watchers = [Watcher(port, "/streams/a") for port in ports]
        for number in range(20):
            answer = ask(ports[number % 2], "POST", "/streams/a", _TEXT, b"%d" % number)
            assert answer[0] == 200, answer
        for port in ports:
            headers = {**_TEXT, "Idempotency-Key": '"k"', "Stream-Closed": "true"}
            assert ask(port, "POST", "/streams/a", headers, b"end")[0] == 200
        for watcher in watchers:
            watcher.join(PATIENCE)
            assert [data for _, data in watcher.words] == [*map(str, range(20)), "end"]
            assert watcher.events[-1].type == "done"
        assert ask(ports[1], "DELETE", "/streams/a")[0] == 204
        assert ask(ports[0], "GET", "/streams/a", {"Accept": "application/json"})[0] == 404


def test_killed(redis: RedisServer) -> None:
    """After `kill -9` of a server its viewers go on at the other one, and its run ends within 15 seconds, once."""
    with servers(redis.url, "--interval=0.05") as ((first, second), (killed, _)):
        path = startRun(first)
        here, there = Watcher(first, path), Watcher(second, path)
        until(lambda: len(here.words) > 10)
        killed.send_signal(signal.SIGKILL)
        began = time.monotonic()
        here.join(PATIENCE)
        again = Watcher(second, path, here.words[-1][0])
        there.join(PATIENCE)
        again.join(PATIENCE)
        assert time.monotonic() - began < TAKEN_OVER
        checkSame(here.words + again.words, there.words)
        for watcher in (there, again):
            assert watcher.events[-1].type == "failed"
            assert '"interrupted"' in watcher.events[-1].data


def test_redisRestarted(redis: RedisServer) -> None:
    """Viewers keep their connections and heartbeats while the Redis is away, and lose nothing."""
    with servers(redis.url, "--interval=0.05", "--heartbeat=0.5") as ((first, second), _):
        path = startRun(first)
        ask(first, "PUT", "/streams/a")
        there, published = Watcher(second, path), Watcher(second, "/streams/a")
        until(lambda: len(there.words) > 10)
        redis.kill()
        until(lambda: not isReady(first) and not isReady(second))
        assert ask(second, "POST", "/streams/a", _TEXT, b"x")[0] == 503
        known, reads = len(there.words), there.reads
        time.sleep(OUTAGE)
        # Heartbeats.
        assert there.reads > reads
        assert there.is_alive()
        redis.start()
        until(lambda: isReady(first) and isReady(second))
        until(lambda: len(there.words) > known)
        assert ask(first, "POST", "/streams/a", {**_TEXT, "Stream-Closed": "true"}, b"after")[0] == 200
        published.join(PATIENCE)
        assert [data for _, data in published.words] == ["after"]
        there.join(PATIENCE)
        assert there.events[-1].type == "done"
        numbers = [int(lastEventID.partition("-")[2]) for lastEventID, _ in there.words]
        # A viewer that comes late gets the first tokens in one event.
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        text = ask(first, "GET", path, {"Accept": "text/plain"})[2].decode()
        assert "".join(data for _, data in there.words) == text


def test_downAtStart() -> None:
    """A server starts without its Redis, says that it is not ready, and is when the Redis is there."""
    redis = RedisServer()
    port = freePort()
    command = twistd("sseserver", "--listen", f"tcp:{port}:interface=127.0.0.1", "--store", redis.url)
    with serving(command, port, env=ENVIRONMENT):
        assert not isReady(port)
        assert ask(port, "PUT", "/streams/a")[0] == 503
        redis.start()
        try:
            until(lambda: isReady(port))
            assert ask(port, "PUT", "/streams/a")[0] == 201
        finally:
            redis.remove()


def test_evicting(tmp_path: Path) -> None:
    """A server ends with exit code 1 and one line when its Redis, which comes up late, evicts streams."""
    redis = RedisServer("maxmemory-policy allkeys-lru")
    port = freePort()
    command = twistd("sseserver", "--listen", f"tcp:{port}:interface=127.0.0.1", "--store", redis.url)
    with (tmp_path / "log").open("w+b") as log, serving(command, port, log, env=ENVIRONMENT) as process:
        assert ask(port, "POST", "/streams")[0] == 503
        redis.start()
        try:
            assert process.wait(PATIENCE) == 1
        finally:
            redis.remove()
        lines = (tmp_path / "log").read_text().splitlines()
    assert any(line.startswith("sseserver: The Redis evicts streams") and "noeviction" in line for line in lines)
    assert not any("Traceback" in line for line in lines)


def test_tls(tmp_path: Path) -> None:
    """Over TLS the certificate is verified. The password comes from a file, and stands in no log."""
    (tmp_path / "password").write_bytes(b"pass-word\n")
    port, tlsPort = freePort(), freePort()
    options = (f"tls-port {tlsPort}", *makeTLSLines(tmp_path))
    redis = RedisServer("bind 127.0.0.1", "requirepass pass-word", *options).start()
    command = twistd("sseserver", "--listen", f"tcp:{port}:interface=127.0.0.1")
    command += ["--store", f"rediss://localhost:{tlsPort}", "--redis-credentials-file", str(tmp_path / "password")]
    trusting = {**ENVIRONMENT, "SSL_CERT_FILE": str(tmp_path / "certificate")}
    try:
        for environment, ready in ((trusting, True), (ENVIRONMENT, False)):
            with (tmp_path / "log").open("w+b") as log, serving(command, port, log, env=environment):
                said = b"Connected to Redis" if ready else b"Trying again"
                until(lambda said=said: said in (tmp_path / "log").read_bytes())
                until(lambda ready=ready: isReady(port) is ready)
            assert b"pass-word" not in (tmp_path / "log").read_bytes()
    finally:
        redis.remove()


def test_cluster() -> None:
    """On a cluster of three masters with replicas: one is killed, and viewers on both servers lose nothing."""
    cluster = RedisCluster(1)
    try:
        cluster.start()
        with servers(cluster.url, "--interval=0.05") as ((first, second), _):
            paths = [startRun(first) for _ in range(6)]
            watchers = [Watcher(port, path) for path in paths for port in (first, second)]
            until(lambda: all(watcher.words for watcher in watchers))
            # A replica that has not heard of a run yet would lose it.
            until(lambda: isReplicated(cluster.nodes[0]))
            cluster.nodes[0].kill()
            until(lambda: not isReady(first) and not isReady(second))
            until(lambda: isReady(first) and isReady(second))
            for watcher in watchers:
                watcher.join(PATIENCE)
                assert watcher.events[-1].type == "done"
            for path, here, there in zip(paths, watchers[::2], watchers[1::2], strict=True):
                text = ask(second, "GET", path, {"Accept": "text/plain"})[2].decode()
                assert ["".join(data for _, data in watcher.words) for watcher in (here, there)] == [text, text]
    finally:
        cluster.remove()
