"""
Programs behind a real server: `twistd sseserver --exec`.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.wire import Decoder, Event
from tests.integration.forkserver import Process
from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, stream, twistd
from tests.programs import members, waitFor

#: Program that ignores TERM and prints its process number, which is that of its session. It ends some day, in case the
#: tests are killed.
STUBBORN = "trap '' TERM; echo $$; while [ $((i += 1)) -lt 3000 ]; do sleep 0.1; done"

#: The same with a child process that holds its output.
FORKING = "trap '' TERM; (while [ $((i += 1)) -lt 3000 ]; do sleep 0.1; done) & echo $$; sleep 1000"


class Server:
    """
    A server of a program.

    Args:
        process: The process of the server.
        port: Its port.
        log: The file with its log.
    """

    def __init__(self, process: Process, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.sessions: set[int] = set()

    def start(self, prompt: str | None = None, status: int = 201) -> str:
        """Start a run, and return its URL, or the code of the error."""
        body = None if prompt is None else json.dumps({"prompt": prompt}).encode()
        got, headers, answer = ask(self.port, "POST", "/streams", {"Content-Type": "application/json"}, body)
        assert got == status, (got, answer)
        if status == 201:
            return headers["location"]
        assert "retry-after" in headers
        return str(json.loads(answer)["error"]["code"])

    def state(self, url: str) -> dict[str, Any]:
        """Return the state of a stream."""
        status, _, answer = ask(self.port, "GET", url, {"Accept": "application/json"})
        assert status == 200, answer
        return dict(json.loads(answer))

    def text(self, url: str) -> str:
        """Return the text of a stream so far."""
        return ask(self.port, "GET", url, {"Accept": "text/plain"})[2].decode()

    def pid(self, url: str) -> int:
        """Wait for the process number in the first line of a program."""
        waitFor(lambda: "\n" in self.text(url), "The first line")
        pid = int(self.text(url).partition("\n")[0])
        self.sessions.add(pid)
        assert members({pid})
        return pid

    def cancel(self, url: str) -> None:
        """Cancel a run."""
        assert ask(self.port, "POST", f"{url}/cancel")[0] == 200

    def end(self, url: str) -> tuple[str, dict[str, Any]]:
        """Follow a stream to its end, and return its text and the data of its last event."""
        *events, last = stream(self.port, url)
        return "".join(event.data for event in events if event.type == "message"), terminal(last)

    def children(self) -> set[int]:
        """Return the processes that the server has started and not reaped."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return {int(pid) for task in tasks for pid in task.read_text().split()}


def terminal(event: Event) -> dict[str, Any]:
    """Return the last event of a stream."""
    return {"event": event.type, **json.loads(event.data)}


class ExecTests(SynchronousTestCase):
    """Programs of the option `--exec`."""

    @contextmanager
    def server(self, command: str, *arguments: str) -> Iterator[Server]:
        """Start a server; at the end neither it nor any of its programs is left."""
        port = freePort()
        options = ["--listen", f"tcp:{port}:interface=127.0.0.1", "--exec", command, *arguments]
        environment = ENVIRONMENT
        # A pipe for the server's output would fill up, since nothing reads it, and stop the server.
        log = Path(self.mktemp()).resolve()
        log.parent.mkdir(parents=True, exist_ok=True)
        with serving(twistd(f"--logfile={log}", "sseserver", *options), port, env=environment) as process:
            server = Server(process, port, log)
            try:
                yield server
            finally:
                process.terminate()
                # Longer than the server gives its programs.
                process.wait(PATIENCE)
        waitFor(lambda: not members(server.sessions), "The end of all programs")

    def test_visitor(self) -> None:
        """
        `GET /` with a program that needs no prompt streams in the visitors' format, piece by piece as the program
        writes.
        """
        folder = Path(self.mktemp()).resolve()
        folder.mkdir(parents=True)
        # The program writes each further line after the line before was seen.
        script = (
            f"cd {shlex.quote(str(folder))}; for i in 1 2 3; do echo $i; while [ ! -e $i ]; do sleep 0.05; done; done"
        )
        with self.server(shlex.join(["sh", "-c", script]), "--heartbeat=1000") as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            self.addCleanup(connection.close)
            connection.request("GET", "/", headers={"Accept": "text/event-stream"})
            answer = connection.getresponse()
            decoder, texts = Decoder(), [""]
            while data := answer.read1():
                events = decoder.feed(data)
                texts += [event.data for event in events if event.type == "message"]
                for line in texts[-1].split():
                    (folder / line).touch()
            self.assertEqual(texts[-3:], ["1\n", "1\n2\n", "1\n2\n3\n"])
            self.assertEqual(events[-1].type, "done")

    def test_prompt(self) -> None:
        """
        A prompt is passed unchanged, as an argument and on standard input; a run without a required prompt is
        refused.
        """
        prompt = "'; touch /nowhere; $(id) \"ü\n"
        with self.server("""sh -c 'printf "%s|" "$1"; cat' sh {prompt}""") as server:
            self.assertEqual(server.end(server.start(prompt))[0], f"{prompt}|{prompt}")
            self.assertEqual(ask(server.port, "POST", "/streams")[0], 400)
            self.assertEqual(ask(server.port, "GET", "/", {"Accept": "text/event-stream"})[0], 400)
        with self.server("cat") as server:
            self.assertEqual(server.end(server.start(prompt))[0], prompt)
            self.assertEqual(server.end(server.start()), ("", {"event": "done", "reason": "stop", "tokens": 0}))

    def test_ends(self) -> None:
        """
        The end of a program decides on the end of its stream; standard error is in the log only, and no path is
        disclosed.
        """
        script = "printf begun; echo hidden >&2; case $1 in exit) exit 7;; signal) kill -9 $$;; esac"
        with self.server(shlex.join(["sh", "-c", script, "sh", "{prompt}"])) as server:
            for prompt, reason, word in (("exit", "exit", "status 7"), ("signal", "signal", "signal 9")):
                text, last = server.end(server.start(prompt))
                self.assertEqual((text, last["event"], last["reason"]), ("begun", "failed", reason))
                self.assertIn(word, last["message"])
                self.assertNotIn("hidden", last["message"])
            self.assertEqual(server.end(server.start("fine"))[1]["event"], "done")
            self.assertEqual(server.children(), set())
            self.assertEqual(server.log.read_text().count("hidden"), 3)
        program = Path(self.mktemp()).resolve() / "nowhere"
        program.parent.mkdir(parents=True)
        program.touch(0o755)
        with self.server(str(program)) as server:
            # At the start of the server it was there.
            program.unlink()
            text, last = server.end(server.start())
            self.assertEqual((text, last["event"], last["reason"]), ("", "failed", "start"))
            self.assertIn("No such file", last["message"])
            self.assertNotIn("nowhere", json.dumps(last))
            self.assertIn("/nowhere cannot be started", server.log.read_text())

    def test_cancel(self) -> None:
        """
        A cancelled stream ends at once, and so does the program with its process group, by KILL if it ignores TERM.
        """
        for script in ("echo $$; sleep 1000", "echo $$; sleep 1000 & yes", FORKING):
            with self.server(shlex.join(["sh", "-c", script])) as server:
                url = server.start()
                pid = server.pid(url)
                server.cancel(url)
                self.assertEqual(server.state(url)["state"], "cancelled")
                waitFor(lambda pid=pid: not members({pid}), "The end of the program")
                self.assertEqual(server.children(), set())

    def test_linger(self) -> None:
        """A program without viewers continues for the linger and then ends."""
        with self.server(shlex.join(["sh", "-c", "echo $$; sleep 1000"]), "--linger=0.5") as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            url = server.start()
            connection.request("GET", url, headers={"Accept": "text/event-stream"})
            answer = connection.getresponse()
            pid = server.pid(url)
            self.assertTrue(answer.read1())
            answer.close()
            connection.close()
            waitFor(lambda: not members({pid}), "The end of the program")
            self.assertEqual(server.state(url)["state"], "cancelled")

    def test_shutDown(self) -> None:
        """A server that is stopped ends all its programs first, including those that ignore TERM."""
        with self.server(shlex.join(["sh", "-c", FORKING])) as server:
            pids = {server.pid(server.start()) for _ in range(3)}
            server.process.terminate()
            self.assertEqual(server.process.wait(PATIENCE), 0)
            # The zombies need no wait: init reaps them, and there is nothing left to kill.
            self.assertEqual([line for line in members(pids) if " Z " not in line], [])

    def test_backpressure(self) -> None:
        """A program that writes more than its viewers read is stopped by its pipe."""
        with self.server(shlex.join(["sh", "-c", "echo $$; exec yes 0123456"]), "--read-ahead=256K") as server:
            url = server.start()
            pid = server.pid(url)

            def written() -> int:
                lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
                return int(lines["wchar"])

            def still() -> bool:
                before = written()
                time.sleep(0.3)
                return written() == before

            waitFor(still, "Rest")
            self.assertLess(written(), 2 << 20)
            server.cancel(url)

    def test_order(self) -> None:
        """
        With `--max-runs`, later runs wait in order and get heartbeats; a full queue refuses the next run; a run that
        is cancelled while it waits never starts.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "trace").touch()
        # Each run continues until its file exists.
        script = 'echo "$1" >>trace; echo "$1"; while [ ! -e "$1" ]; do sleep 0.05; done'
        command = shlex.join(["sh", "-c", f"cd {shlex.quote(str(folder.resolve()))}; {script}", "sh", "{prompt}"])
        with self.server(command, "--max-runs=1", "--max-waiting=3", "--heartbeat=0.2") as server:

            def trace() -> list[str]:
                return (folder / "trace").read_text().split()

            a, b, c, d = (server.start(name) for name in "abcd")
            self.assertEqual(server.start("e", 503), "overloaded")
            waitFor(trace)
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            connection.request("GET", d, headers={"Accept": "text/event-stream"})
            answer = connection.getresponse()
            read = b""
            while read.count(b":\n") < 3:
                read += answer.read1()
            self.assertNotIn(b"event: failed", read)
            self.assertEqual([server.state(url)["state"] for url in (a, b, c, d)], ["open"] * 4)
            server.cancel(b)
            self.assertEqual(server.state(b)["state"], "cancelled")
            f = server.start("f")
            for name, url in (("a", a), ("c", c), ("d", d), ("f", f)):
                waitFor(lambda name=name: trace()[-1] == name, f"The turn of {name}")
                self.assertEqual(server.state(url)["state"], "open")
                (folder / name).touch()
                self.assertEqual(server.end(url)[0], f"{name}\n")
            self.assertEqual(trace(), ["a", "c", "d", "f"])
            while b"event: done" not in read:
                read += answer.read1()
            connection.close()

    def test_turnAfterTheLast(self) -> None:
        """A cancelled program that ignores TERM counts as a run until it is gone."""
        command = shlex.join(["sh", "-c", STUBBORN])
        with self.server(command, "--max-runs=1") as server:
            first, second = server.start(), server.start()
            pid = server.pid(first)
            server.cancel(first)
            server.pid(second)
            self.assertEqual(members({pid}), [])

    def test_crash(self) -> None:
        """
        If the server is killed its programs see their pipes close; one that continues to write is ended by SIGPIPE.
        """
        with self.server(shlex.join(["sh", "-c", "echo $$; while echo x; do sleep 0.05; done"])) as server:
            pid = server.pid(server.start())
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
            waitFor(lambda: not members({pid}), "The end of the program")
