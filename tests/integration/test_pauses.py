"""
A server whose process is stopped and continued, as a debugger, a suspended host or a container's pause does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.servers import ENVIRONMENT, PATIENCE, ask, freePort, serving, twistd

#: Seconds for which the process is stopped: longer than the limits of the tests.
PAUSE = 5.0


class PauseTests(SynchronousTestCase):
    """F127: after a pause of the process, what has arrived is read before a limit is over."""

    def pause(self, process: Any, seconds: float) -> None:
        """Stop a process for some seconds."""
        os.kill(process.pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(process.pid, signal.SIGCONT)

    def follow(self, port: int, path: str) -> socket.socket:
        """Send the request of a viewer; its answer is read later."""
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(connection.close)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
        return connection

    def test_F127_tokenTimeout(self) -> None:
        """F127 a: an upstream that goes on sending does not time out."""
        upstream = _Upstream(0.3, 30)
        self.addCleanup(upstream.close)
        port = freePort()
        options = (f"--listen=tcp:{port}:interface=127.0.0.1", f"--upstream=http://127.0.0.1:{upstream.port}/v1")
        with serving(twistd("sseserver", *options, "--token-timeout=3"), port, env=ENVIRONMENT) as process:
            body = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()
            path = json.loads(ask(port, "POST", "/streams", {"Content-Type": "application/json"}, body)[2])["url"]
            time.sleep(1)
            self.pause(process, PAUSE)
            text = b""
            viewer = self.follow(port, path)
            while b"event: done" not in text and b"event: failed" not in text:
                text += viewer.recv(65536)
        self.assertIn(b"event: done", text)

    def test_F127_linger(self) -> None:
        """F127 b: a viewer that came while the process was stopped keeps the run alive."""
        port = freePort()
        options = (f"--listen=tcp:{port}:interface=127.0.0.1", "--linger=3", "--interval=0.5")
        with serving(twistd("sseserver", *options), port, env=ENVIRONMENT) as process:
            path = json.loads(ask(port, "POST", "/streams")[2])["url"]
            first = self.follow(port, path)
            self.assertIn(b"200", first.recv(100))
            first.close()
            time.sleep(0.3)
            os.kill(process.pid, signal.SIGSTOP)
            try:
                viewer = self.follow(port, path)
                time.sleep(PAUSE)
            finally:
                os.kill(process.pid, signal.SIGCONT)
            self.assertIn(b"200", viewer.recv(100))
            state = json.loads(ask(port, "GET", path, {"Accept": "application/json"})[2])
        self.assertEqual((state["state"], state["viewers"]), ("open", 1))


class _Upstream:
    """
    An upstream whose one answer has a token at a time, in a thread.

    Args:
        interval: Seconds between two tokens.
        tokens: Number of tokens.
    """

    def __init__(self, interval: float, tokens: int) -> None:
        self._interval = interval
        self._tokens = tokens
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the thread."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _answer(self) -> None:
        try:
            connection, _ = self._server.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            for number in range(self._tokens + 1):
                delta = {"content": "token "} if number < self._tokens else {}
                finish = None if number < self._tokens else "stop"
                chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
                connection.sendall(b"data: %b\n\n" % json.dumps(chunk).encode())
                time.sleep(self._interval)
            connection.sendall(b"data: [DONE]\n\n")
