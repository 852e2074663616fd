"""
Server processes that begin runs anew whose own process is gone (`--retry-interrupted`), on a real Redis.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.forkserver import Process
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd
from tests.integration.test_redis import Watcher, isReady, until
from tests.redisservers import RedisServer, findMissing

pytestmark = pytest.mark.skipif(findMissing() is not None, reason=str(findMissing()))

_JSON = {"Content-Type": "application/json", "Idempotency-Key": "k"}

#: Writes a line to a file, and then words for some seconds. Its arguments: the file, and the prompt.
_PROGRAM = """
import sys, time
open(sys.argv[1], "a").write("x")
for number in range(60):
    print(sys.argv[2] + str(number), end=" ", flush=True)
    time.sleep(0.05)
"""

_TEXT = "".join(f"w{number} " for number in range(60))


class Group:
    """
    Servers on one Redis.

    Args:
        stack: Ends them.
        folder: For the file of the programs.
        options: Options of the servers.

    Attributes:
        redis: The Redis.
    """

    def __init__(self, stack: contextlib.ExitStack, folder: Path, *options: str) -> None:
        self.redis = RedisServer().start()
        stack.callback(self.redis.remove)
        self._stack = stack
        self._file = folder / "starts"
        (folder / "program").write_text(_PROGRAM)
        program = f"{sys.executable} {folder / 'program'} {self._file} {{prompt}}"
        self._options = ("--store", self.redis.url, "--exec", program, *options)

    @property
    def starts(self) -> int:
        """Number of times that the program was started."""
        return len(self._file.read_text()) if self._file.exists() else 0

    def add(self) -> tuple[int, Process]:
        """Start a server, and return its port and its process when it is ready."""
        port = freePort()
        command = twistd("sseserver", "--listen", f"tcp:{port}:interface=127.0.0.1", *self._options)
        process = self._stack.enter_context(serving(command, port, env=ENVIRONMENT))
        until(lambda: isReady(port))
        return port, process


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """Let runs be begun anew once."""
    with contextlib.ExitStack() as stack:
        yield Group(stack, tmp_path, "--retry-interrupted=1")


def start(port: int) -> str:
    """Start a run, or join it; return the path of its stream."""
    status, headers, body = ask(port, "POST", "/streams", _JSON, b'{"prompt": "w"}')
    assert status == 201, body
    return headers["location"]


def readText(watcher: Watcher) -> str:
    """Return the text that a viewer has at the end, as it should show it."""
    text = ""
    for event in watcher.events:
        if event.type == "restart":
            assert json.loads(event.data) == {"reason": "interrupted", "restarts": 1}
            text = ""
        elif event.type == "message":
            text += event.data
    return text


def awaitRestart(watcher: Watcher) -> None:
    """Wait until a viewer is told of the restart."""
    until(lambda: any(event.type == "restart" for event in watcher.events) or not watcher.is_alive())
    assert "restart" in [event.type for event in watcher.events]


def test_killed(group: Group) -> None:
    """After `kill -9` another server begins the run anew, once, in its stream; its viewers and its key go on."""
    (first, killed), (second, _), (third, _) = group.add(), group.add(), group.add()
    path = start(first)
    watchers = [Watcher(port, path) for port in (first, second, third)]
    until(lambda: all(len(watcher.words) > 5 for watcher in watchers))
    killed.send_signal(signal.SIGKILL)
    watchers[0].join(PATIENCE)
    awaitRestart(watchers[1])
    assert start(third) == path
    again = Watcher(third, path, watchers[0].words[-1][0])
    for watcher in (watchers[1], watchers[2], again):
        watcher.join(PATIENCE)
        assert watcher.events[-1].type == "done"
        assert readText(watcher) == _TEXT
        assert [event.type for event in watcher.events].count("restart") == 1
    assert json.loads(watchers[1].events[-1].data)["reason"] == "stop"
    ids = [[event.id for event in watcher.events] for watcher in watchers]
    numbers = [int(each.partition("-")[2]) for each in ids[1] if each]
    assert numbers == sorted(set(numbers))
    assert ask(second, "GET", path, {"Accept": "text/plain"})[2].decode() == _TEXT
    assert group.starts == 2


def test_stopped(group: Group) -> None:
    """A server that stood still for long is refused when it returns. Its viewers see what those of the others see."""
    (first, stopped), (second, _) = group.add(), group.add()
    path = start(first)
    here, there = Watcher(first, path), Watcher(second, path)
    until(lambda: len(here.words) > 5 and len(there.words) > 5)
    stopped.send_signal(signal.SIGSTOP)
    try:
        awaitRestart(there)
    finally:
        stopped.send_signal(signal.SIGCONT)
    for watcher in (here, there):
        watcher.join(PATIENCE)
        assert watcher.events[-1].type == "done"
        assert readText(watcher) == _TEXT
    assert here.events[-1].id == there.events[-1].id
    assert group.starts == 2


def test_exceeded(group: Group) -> None:
    """A run that was begun anew as often as allowed ends `failed`; a retry of its request starts another one."""
    (first, killed), (second, alsoKilled) = group.add(), group.add()
    path = start(first)
    killed.send_signal(signal.SIGKILL)
    awaitRestart(Watcher(second, path))
    alsoKilled.send_signal(signal.SIGKILL)
    third, _ = group.add()
    watcher = Watcher(third, path)
    watcher.join(PATIENCE)
    assert (watcher.events[-1].type, json.loads(watcher.events[-1].data)["reason"]) == ("failed", "interrupted")
    assert start(third) != path
    until(lambda: group.starts == 3)


def test_cancelled(group: Group) -> None:
    """A cancel at any server ends the run that was begun anew, and its program."""
    (first, killed), (second, _), (third, _) = group.add(), group.add(), group.add()
    path = start(first)
    watcher = Watcher(second, path)
    until(lambda: watcher.words)
    killed.send_signal(signal.SIGKILL)
    awaitRestart(watcher)
    assert ask(third, "POST", f"{path}/cancel")[0] == 200
    watcher.join(PATIENCE)
    assert watcher.events[-1].type == "cancelled"
    (stream,) = group.redis.call("KEYS", "*}:stream:*")
    assert group.redis.call("HMGET", stream, "restarts", "order") == [b"1", None]


def test_completion(group: Group) -> None:
    """A client of OpenAI's API gets an error, as it cannot take text back, and the whole answer when it tries again."""
    (first, killed), (second, _) = group.add(), group.add()
    body = json.dumps({"messages": [{"role": "user", "content": "w"}], "stream": True}).encode()
    asking = subprocess.Popen(
        [
            *("curl", "-sN", "-H", "Content-Type: application/json", "-H", "Idempotency-Key: k", "--data-binary", "@-"),
            f"http://127.0.0.1:{first}/v1/chat/completions",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert asking.stdin is not None
    asking.stdin.write(body)
    asking.stdin.close()
    until(lambda: group.starts == 1)
    killer = [killed.kill, lambda: None]

    def complete() -> list[str]:
        """Ask at the other server, and return the data of the events."""
        killer.pop(0)()
        status, _, answer = ask(second, "POST", "/v1/chat/completions", _JSON, body)
        assert status == 200, answer
        return [line[6:] for line in answer.decode().splitlines() if line.startswith("data: ")]

    told = complete()
    assert json.loads(told[-1])["error"]["code"] == "interrupted"
    told = complete()
    assert told[-1] == "[DONE]"
    assert "".join(json.loads(data)["choices"][0]["delta"].get("content", "") for data in told[:-1]) == _TEXT
    assert group.starts == 2
    asking.wait(PATIENCE)


def test_background(group: Group) -> None:
    """A response in the background is written to its end by the other server, and says when that was."""
    (first, killed), (second, _) = group.add(), group.add()
    body = json.dumps({"input": "w", "background": True}).encode()
    status, _, answer = ask(first, "POST", "/v1/responses", _JSON, body)
    assert status == 200, answer
    path = f"/v1/responses/{json.loads(answer)['id']}"
    until(lambda: group.starts == 1)
    killed.kill()

    def read() -> dict[str, Any]:
        """Return the response, as the other server has it."""
        response: dict[str, Any] = json.loads(ask(second, "GET", path)[2])
        return response

    until(lambda: group.starts == 2)
    # The run waits for its turn again, as any other.
    until(lambda: read()["status"] not in {"queued", "in_progress"})
    response = read()
    assert (response["status"], response["output"][0]["content"][0]["text"]) == ("completed", _TEXT)
    assert response["completed_at"] >= response["created_at"]
