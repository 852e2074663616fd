"""
Tests for `sseserver.worker.making`: the server of a worker.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.workers.assignment import Assignment, Endpoint
from sseserver.command.workers.obeying import Obedience
from sseserver.service.service import StreamService
from sseserver.worker.making import makeWorker
from tests.command.test_parsing import parse


class MakeWorkerTests(SynchronousTestCase):
    """`makeWorker`."""

    def make(self, *arguments: str) -> Any:
        """Make a worker with one socket."""
        bound = socket.socket()
        self.addCleanup(bound.close)
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            self.addCleanup(each.close)
        options = parse("--workers=2", "--store=redis://localhost", *arguments)
        assignment = Assignment(2, "/", "/", None, "00" * 32, (Endpoint(bound.fileno(), False),))
        return makeWorker(reactor, options, assignment, ours)

    def test_server(self) -> None:
        """It is the usual server, and obeys; it leaves the admin endpoint to the pool, and measures for it."""
        server = self.make("--admin-listen=tcp:0:interface=127.0.0.1", "--plain")
        self.assertIsInstance(server.control, Obedience)
        names = [type(service).__name__ for service in server]
        self.assertEqual(names[:3], ["StreamService", "StreamServerEndpointService", "ReactorLag"])
        self.assertEqual(names.count("StreamServerEndpointService"), 1)
        self.assertIsInstance(next(iter(server)), StreamService)

    def test_log(self) -> None:
        """Its log names it."""
        lines: list[str] = []
        self.patch(sys, "stdout", type("Out", (), {"write": lines.append, "flush": lambda _: None})())
        server = self.make()
        server.log({"log_time": 0.0, "log_format": "a", "log_namespace": "n"})
        self.assertRegex(lines[0], r"^\S+ \[worker 2\] \[n#-\] a$")
