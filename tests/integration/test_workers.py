"""
`twistd sseserver --workers`: several processes on the same sockets, with a real Redis.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sseserver.options import KEY_VARIABLE
from sseserver.sources.launch import resetSignals
from tests.certificates import makePEM
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, runServer, serving, twistd
from tests.integration.test_redis import Watcher, startRun, until
from tests.redisservers import RedisServer, findMissing

pytestmark = pytest.mark.skipif(findMissing() is not None, reason=str(findMissing()))


#: Without a key of an upstream: with several, each has its own.
_ENVIRONMENT = {name: value for name, value in ENVIRONMENT.items() if name != KEY_VARIABLE}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis."""
    server = RedisServer().start()
    yield server
    server.remove()


class Pool:
    """
    A server with workers.

    Attributes:
        port: Its port.
        admin: Its port for operators.
        log: Its output.
        process: The process that twistd runs.
    """

    def __init__(self, redis: RedisServer, *options: str) -> None:
        self.port, self.admin = freePort(), freePort()
        self.log = tempfile.NamedTemporaryFile()  # noqa: SIM115
        self.command = twistd(
            *("sseserver", "--workers", "2", "--store", redis.url, *options),
            *("--listen", f"tcp:{self.port}:interface=127.0.0.1"),
            *("--admin-listen", f"tcp:{self.admin}:interface=127.0.0.1"),
        )

    @contextlib.contextmanager
    def serve(self) -> Iterator[Pool]:
        """Run it."""
        with self.log, serving(self.command, self.port, self.log, env=_ENVIRONMENT) as self.process:
            until(self.isReady)
            yield self

    def isReady(self) -> bool:
        """Tell whether both workers listen."""
        values = self.read("sseserver_worker_ready")
        return ask(self.admin, "GET", "/readyz")[0] == 200 and set(values.values()) == {1}

    def read(self, name: str) -> dict[str, float]:
        """Return the samples of a metric by the workers."""
        text = ask(self.admin, "GET", "/metrics")[2].decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return {sample.labels["worker"]: sample.value for sample in samples if sample.name == name}

    @property
    def output(self) -> str:
        """Everything that it has written."""
        return Path(self.log.name).read_text("utf-8")

    @property
    def children(self) -> list[int]:
        """IDs of the processes of the workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(number) for number in path.read_text("ascii").split()]


def test_viewersAnywhere(redis: RedisServer) -> None:
    """Viewers of one run are spread over both workers, and all have the same events; the metrics show both."""
    with Pool(redis, "--interval=0.05").serve() as pool:
        path = startRun(pool.port)
        watchers = [Watcher(pool.port, path) for _ in range(40)]
        # By chance one worker has less than three of 40 one time in a billion.
        until(lambda: sum(pool.read("sseserver_viewers").values()) == 40)
        assert min(pool.read("sseserver_viewers").values()) >= 3
        until(lambda: all(watcher.words for watcher in watchers))
        assert ask(pool.port, "POST", f"{path}/cancel")[0] == 200
        for watcher in watchers:
            watcher.join(PATIENCE)
            assert watcher.events[-1].type == "cancelled"
            # Tokens that were there before a viewer came are joined.
            assert "".join(word for _, word in watcher.words) == "".join(word for _, word in watchers[0].words)
            assert watcher.words[-1][0] == watchers[0].words[-1][0]
        assert sum(pool.read("sseserver_runs_started_total").values()) == 1
        assert set(re.findall(r" \[worker (\d)\] ", pool.output)) == {"1", "2"}
        assert pool.output.count("Open http://") == 2


def test_operators(redis: RedisServer) -> None:
    """Operators see the states of all workers, the viewers of each, and the streams of all, and end them from here."""
    with Pool(redis).serve() as pool:
        ask(pool.port, "PUT", "/streams/a")
        watchers = [Watcher(pool.port, "/streams/a") for _ in range(20)]
        until(lambda: sum(pool.read("sseserver_viewers").values()) == 20)
        status = json.loads(ask(pool.admin, "GET", "/admin/status.json")[2])
        assert [each["worker"] for each in status["processes"]] == [1, 2]
        assert {each["process"] for each in status["processes"]} == set(pool.children)
        totals = [
            json.loads(ask(pool.admin, "GET", f"/admin/viewers.json?worker={number}")[2])["total"] for number in (1, 2)
        ]
        assert sum(totals) == 20
        [listed] = json.loads(ask(pool.admin, "GET", "/streams")[2])["streams"]
        assert listed["name"] == "a"
        reader = Watcher(pool.admin, "/streams/a")
        ask(pool.port, "POST", "/streams/a", {"Content-Type": "text/plain"}, b"x")
        until(lambda: reader.words)
        os.kill(pool.children[0], signal.SIGKILL)
        until(lambda: ask(pool.admin, "GET", "/streams/a", {"Accept": "application/json"})[0] == 200)
        until(pool.isReady)
        assert ask(pool.admin, "POST", "/streams/a/cancel")[0] == 200
        for watcher in watchers:
            watcher.join(PATIENCE)
        assert f"Open http://127.0.0.1:{pool.admin}/admin/ (for operators)" in pool.output


def test_configuration(redis: RedisServer) -> None:
    """A worker that is started again has the configuration of the first ones, whatever the file has become."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("retry = 9000\ninterval = 0\n")
        file.flush()
        with Pool(redis, "--config", file.name).serve() as pool:
            Path(file.name).write_text("this is no TOML", "utf-8")
            os.kill(pool.children[0], signal.SIGKILL)
            until(lambda: sum(pool.read("sseserver_worker_restarts_total").values()) == 1)
            until(pool.isReady)
            for _ in range(20):
                retry = ask(pool.port, "GET", "/", {"Accept": "text/event-stream"})[2].partition(b"\n")[0]
                # A random value within a third.
                assert 6000 <= int(retry.removeprefix(b"retry: ")) <= 12_000


def test_killed(redis: RedisServer) -> None:
    """A worker that is killed is started again. Meanwhile no connection is refused, and its viewers resume."""
    with Pool(redis, "--interval=0.05").serve() as pool:
        ask(pool.port, "PUT", "/streams/a")
        watchers = [Watcher(pool.port, "/streams/a") for _ in range(20)]
        ask(pool.port, "POST", "/streams/a", {"Content-Type": "text/plain"}, b"x")
        until(lambda: all(watcher.words for watcher in watchers))
        os.kill(pool.children[0], signal.SIGKILL)
        until(lambda: sum(pool.read("sseserver_worker_restarts_total").values()) == 1)
        for _ in range(50):
            assert ask(pool.port, "GET", "/healthz")[0] == 200
        until(pool.isReady)
        lost = [watcher for watcher in watchers if not watcher.is_alive()]
        again = [Watcher(pool.port, "/streams/a", watcher.words[-1][0]) for watcher in lost]
        headers = {"Content-Type": "text/plain", "Stream-Closed": "true"}
        assert ask(pool.port, "POST", "/streams/a", headers, b"y")[0] == 200
        for watcher in (*watchers, *again):
            watcher.join(PATIENCE)
        ended = [watcher for watcher in (*watchers, *again) if watcher.events and watcher.events[-1].type == "done"]
        assert len(ended) == 20
        assert "has ended (" in pool.output


def test_drain(redis: RedisServer) -> None:
    """One signal lets both workers drain: a watched run goes on to its end, and the status is 0."""
    text = Path(redis.folder, "text")
    text.write_text("word " * 30, "utf-8")
    with Pool(redis, f"--text={text}", "--interval=0.1", "--drain=60").serve() as pool:
        watchers = [Watcher(pool.port, startRun(pool.port)) for _ in range(6)]
        until(lambda: all(watcher.words for watcher in watchers))
        pool.process.terminate()
        assert pool.process.wait(PATIENCE) == 0
        for watcher in watchers:
            watcher.join(PATIENCE)
            assert watcher.events[-1].type == "done"
            assert len(watcher.words) == 30


def test_keyboard(redis: RedisServer) -> None:
    """Ctrl-C at a terminal, which sends SIGINT to all processes, is one signal; a second one stops at once."""
    pool = Pool(redis, "--interval=1", "--drain=600")
    with pool.log, resetSignals():
        process = subprocess.Popen(
            pool.command, stdout=pool.log, stderr=pool.log, env=ENVIRONMENT, start_new_session=True
        )
        pool.process = process
        try:
            until(lambda: "Open http://" in pool.output)
            until(pool.isReady)
            watcher = Watcher(pool.port, startRun(pool.port))
            until(lambda: watcher.words)
            os.killpg(process.pid, signal.SIGINT)
            until(lambda: "seconds to end" in pool.output)
            known = len(watcher.words)
            until(lambda: len(watcher.words) > known)
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            process.wait()
        watcher.join(PATIENCE)


def test_orphans(redis: RedisServer) -> None:
    """Workers whose pool is killed end, too."""
    with Pool(redis).serve() as pool:
        children = pool.children
        assert len(children) == 2
        pool.process.kill()
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_sockets(redis: RedisServer, tmp_path: Path) -> None:
    """Workers share TLS ports, Unix sockets and a socket of systemd; the modes and the file are the pool's business."""
    key, certificate = makePEM()
    (tmp_path / "pem").write_bytes(key + certificate)
    tls, folder = freePort(), tempfile.mkdtemp(prefix="sseserver-")
    path = f"{folder}/socket"
    inherited = socket.create_server(("127.0.0.1", 0))
    port = inherited.getsockname()[1]
    pool = Pool(
        redis,
        *("--host", "localhost", "--listen", f"unix:{path}", "--listen", "systemd:domain=INET:name=web"),
        *("--listen", f"ssl:{tls}:interface=127.0.0.1:privateKey={tmp_path}/pem:certKey={tmp_path}/pem"),
    )
    # As systemd does: the socket is number 3, and the variables name the process that is executed.
    start = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid())); "
    start += "os.execv(sys.argv[2], sys.argv[2:])"
    pool.command = [sys.executable, "-c", start, str(inherited.fileno()), *pool.command]
    environment = {**ENVIRONMENT, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
    with (
        inherited,
        pool.log,
        serving(pool.command, pool.port, pool.log, env=environment, pass_fds=[inherited.fileno()]) as pool.process,
    ):
        until(pool.isReady)
        for _ in range(10):
            assert ask(port, "GET", "/healthz")[0] == 200
        curl = ["curl", "-s", "--cacert", f"{tmp_path}/pem", f"https://localhost:{tls}/healthz"]
        assert subprocess.run(curl, capture_output=True, check=True).stdout == b"ok\n"
        assert Path(path).stat().st_mode & 0o777 == 0o660
        curl = ["curl", "-s", "--unix-socket", path, "http://localhost/healthz"]
        for child in pool.children:
            assert subprocess.run(curl, capture_output=True, check=True).stdout == b"ok\n"
            # A worker that ends leaves the file.
            os.kill(child, signal.SIGKILL)
            until(lambda: sum(pool.read("sseserver_worker_restarts_total").values()) >= 1)
            until(pool.isReady)
    assert not Path(path).exists()
    Path(folder).rmdir()


def test_daemon(redis: RedisServer, tmp_path: Path) -> None:
    """A daemon has a pid file, and the lines of its workers are in its log; SIGHUP reaches them."""
    pool = Pool(redis)
    for word in ("-n", "--pidfile="):
        pool.command.remove(word)
    with pool.log, resetSignals():
        subprocess.run(pool.command, env=ENVIRONMENT, cwd=tmp_path, check=True, timeout=PATIENCE)
        number = int((tmp_path / "twistd.pid").read_text("ascii"))
        log = tmp_path / "twistd.log"
        try:
            until(lambda: "Open http://" in log.read_text("utf-8"))
            os.kill(number, signal.SIGHUP)
            until(lambda: log.read_text("utf-8").count("Reloaded.") == 2)
            os.kill(number, signal.SIGUSR1)
            until(lambda: (tmp_path / "twistd.log.1").exists())
            assert ask(pool.port, "GET", "/healthz")[0] == 200
            until(lambda: " [worker " in log.read_text("utf-8"))
        finally:
            os.kill(number, signal.SIGTERM)
            until(lambda: not Path(f"/proc/{number}").exists())
        assert not (tmp_path / "twistd.pid").exists()


def test_manager(redis: RedisServer) -> None:
    """The service manager hears from the pool alone: when both workers listen, and when they stop."""
    folder = tempfile.mkdtemp(prefix="sseserver-")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{folder}/notify")
        manager.settimeout(PATIENCE)
        pool = Pool(redis)
        environment = {**ENVIRONMENT, "NOTIFY_SOCKET": f"{folder}/notify"}
        with pool.log, serving(pool.command, pool.port, pool.log, env=environment) as pool.process:
            assert manager.recv(4096).decode() == f"READY=1\nMAINPID={pool.process.pid}"
            assert set(pool.read("sseserver_worker_ready").values()) == {1}
            pool.process.terminate()
            assert manager.recv(4096).startswith(b"STOPPING=1\n")
            assert pool.process.wait(PATIENCE) == 0
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)
    Path(folder, "notify").unlink()
    Path(folder).rmdir()


def test_sessions(redis: RedisServer, tmp_path: Path) -> None:
    """The cookie of a session, signed with a random key, holds at every worker."""
    made = subprocess.run(
        [sys.executable, "-m", "sseserver.keys", str(tmp_path / "keys"), "ann", "read,list:*"],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with Pool(redis, f"--api-keys={tmp_path}/keys").serve() as pool:
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        _, answer, _ = ask(pool.port, "POST", "/session", headers)
        cookie = answer["set-cookie"].partition(";")[0]
        for _ in range(20):
            assert ask(pool.port, "GET", "/streams", {"Cookie": cookie, "Accept": "application/json"})[0] == 200


def test_twist(redis: RedisServer) -> None:
    """`twist` runs a pool as well."""
    pool = Pool(redis)
    start = pool.command.index("sseserver")
    command = [sys.executable, str(Path(sys.executable).with_name("twist")), *pool.command[start:]]
    with pool.log, serving(command, pool.port, pool.log, env=ENVIRONMENT) as pool.process:
        until(pool.isReady)
        until(lambda: "[worker 1] " in pool.output)


def test_inUse(redis: RedisServer) -> None:
    """A second pool on the same port does not start, although the sockets of the first one are many."""
    with Pool(redis).serve() as pool:
        ended = runServer(pool.command)
        assert ended.returncode == 1
        assert "Address already in use" in ended.stderr


def test_json(redis: RedisServer) -> None:
    """Lines in JSON have the number of the worker as a member."""
    with Pool(redis, "--log-format=json").serve() as pool:
        for _ in range(30):
            ask(pool.port, "GET", "/healthz")
        until(lambda: pool.output.count('"sseserver.access"') == 30)
        lines = [json.loads(line) for line in pool.output.splitlines()]
        assert {line["worker"] for line in lines if line["logger"] == "sseserver.access"} == {1, 2}


def test_readiness(redis: RedisServer) -> None:
    """The endpoint for operators tells the problems of each worker."""
    with Pool(redis).serve() as pool:
        redis.kill()
        until(lambda: ask(pool.admin, "GET", "/readyz")[0] == 503)
        time.sleep(0.5)
        problems = json.loads(ask(pool.admin, "GET", "/readyz")[2])["problems"]
        assert set(problems) == {"1", "2"}
        assert all("store" in each for each in problems.values())


def test_upstreams(redis: RedisServer) -> None:
    """The endpoint for operators tells the states of the upstreams: one has a problem when each worker knows one."""
    port = freePort()
    upstreams = [f"--upstream={name}=http://127.0.0.1:{each}/v1" for name, each in (("one", freePort()), ("two", port))]
    upstream = twistd("sseserver", f"--listen=tcp:{port}:interface=127.0.0.1", "--interval=0")
    body = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()
    with (
        tempfile.NamedTemporaryFile() as log,
        serving(upstream, port, log, env=ENVIRONMENT),
        Pool(redis, *upstreams, "--upstream-api=chat").serve() as pool,
    ):

        def isKnown() -> bool:
            headers = {"Content-Type": "application/json"}
            assert ask(pool.port, "POST", "/v1/chat/completions", headers, body)[0] == 200
            states = json.loads(ask(pool.admin, "GET", "/readyz")[2])["upstreams"]
            assert states.keys() == {"one", "two"}
            assert states["two"] is None
            return isinstance(states["one"], str)

        until(isKnown)
        metrics = ask(pool.admin, "GET", "/metrics")[2].decode()
        for worker in (1, 2):
            assert f'sseserver_upstream_up{{upstream="one",worker="{worker}"}} 0.0' in metrics
