"""
Tests for `sseserver.command.workers.making` and `sseserver.command.workers.checking`: pools, and who may have one.
"""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path
from typing import Any

from twisted.internet import epollreactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver import tap
from sseserver.command.given import Document
from sseserver.command.parsing import Options
from sseserver.command.workers.assignment import Endpoint, readAssignment
from sseserver.command.workers.checking import MAX_WORKERS
from sseserver.command.workers.making import Describer, findReactor
from sseserver.command.workers.pool import Pool
from sseserver.command.workers.sockets import SharedSocket
from sseserver.web.access.apikeys import makeKey, writeLine
from tests.command.test_parsing import OptionsTestCase, parse

SHARED = "--store=redis://localhost"


class CheckTests(OptionsTestCase):
    """The checks of `--workers`."""

    def test_refused(self) -> None:
        """Options that several processes cannot share are refused, with the way out."""
        for arguments, said in (
            ((), "--workers needs --store redis://HOST"),
            (("--store=sqlite:a",), "--workers needs --store redis://HOST"),
            ((SHARED, "--metrics"), "cannot be used with --metrics"),
            ((SHARED, "--text=-"), "same standard input"),
            ((SHARED, f"--workers={MAX_WORKERS + 1}"), f"the maximum is {MAX_WORKERS}"),
        ):
            self.assertIn(said, self.refused("--workers=2", *arguments))

    def test_one(self) -> None:
        """One worker is a server as ever."""
        self.assertNotIsInstance(tap.makeService(parse("--workers=1", "--metrics")), Pool)

    def test_chroot(self) -> None:
        """Below another root there is no Python."""
        options = tap.Options()
        options.parent = {"chroot": "/somewhere", "rundir": "."}
        with self.assertRaises(SystemExit) as caught:
            options.parseOptions(["--workers=2", SHARED])
        self.assertIn("--chroot", str(caught.exception))

    def test_programs(self) -> None:
        """The workers share the programs that the cores can run."""
        runs = parse(f"--exec={sys.executable}")["max-runs"]
        self.assertEqual(parse(f"--exec={sys.executable}", SHARED, "--workers=2")["max-runs"], runs // 2)


class MakingTests(SynchronousTestCase):
    """The pool of `makeService`, and the programs of its workers."""

    def test_pool(self) -> None:
        """The pool has the workers, and the endpoint for operators."""
        pool: Any = tap.makeService(parse("--workers=3", SHARED, "--admin-listen=tcp:0:interface=127.0.0.1"))
        self.assertIsInstance(pool, Pool)
        self.assertEqual(len(pool.workers), 3)
        self.assertEqual([type(each).__name__ for each in pool], ["Watch", "StreamServerEndpointService"])

    def test_operators(self) -> None:
        """The pool has the operators' page where a server of one process has it, and reads their keys again."""
        keys = self.mktemp()
        Path(keys).write_text(writeLine("one", makeKey(), ["list,read:*"]), "utf-8")
        for interface, arguments, hasPage, reads in (
            ("127.0.0.1", (), True, 0),
            ("10.0.0.7", (), False, 0),
            ("10.0.0.7", (f"--api-keys={keys}",), True, 1),
        ):
            admin = f"--admin-listen=tcp:0:interface={interface}"
            pool: Any = tap.makeService(parse("--workers=2", SHARED, admin, *arguments))
            root = list(pool)[1].factory.resource
            self.assertEqual({b"admin", b"streams"} <= set(root.children), hasPage, interface)
            self.assertEqual(len(pool.reads), reads)
            self.assertIsNone(pool.nameOperators())

    def describe(self, number: int, *arguments: str, **environment: str) -> Any:
        """Describe a worker; return program and assignment."""
        self.patch(os, "environ", {"HOME": "/home", **environment})
        options = parse("--workers=2", SHARED, *arguments)
        self.sockets = [SharedSocket(Clock(), "tcp:0:interface=127.0.0.1", 2) for _ in range(2)]
        for each in self.sockets:
            each.open()
            self.addCleanup(each.close)
        program = Describer(Clock(), options, self.sockets, "ab" * 32).describe(number)
        sent = io.BytesIO(b"%d:%b," % (len(program.first), program.first))
        return program, readAssignment(sent.read)

    def test_program(self) -> None:
        """A worker has the options of the pool, its own sockets, and the key of the sessions that all have."""
        program, assignment = self.describe(2, "--heartbeat=7")
        self.assertEqual(program.arguments[program.leading :], ("--workers=2", SHARED, "--heartbeat=7"))
        self.assertEqual(program.arguments[0], sys.executable)
        self.assertEqual(assignment.number, 2)
        self.assertEqual(assignment.endpoints, (Endpoint(3, False), Endpoint(4, False)))
        self.assertEqual([program.descriptors[each] for each in (3, 4)], [s.find(2).fileno() for s in self.sockets])
        # No terminal is known here: the pool reads what the worker writes.
        self.assertEqual([program.descriptors[each] for each in (0, 1, 2)], ["w", "r", "r"])
        self.assertGreaterEqual(len(bytes.fromhex(assignment.sessionKey)), 32)

    def test_document(self) -> None:
        """A worker gets the configuration file as the pool has read it."""
        file = self.mktemp()
        Path(file).write_text("heartbeat = 7\n# ä\n", "utf-8")
        _, assignment = self.describe(1, f"--config={file}")
        Path(file).unlink()
        self.assertEqual(assignment.document, Document(file, "heartbeat = 7\n# ä\n"))
        worker = Options(assignment.document)
        worker.parseOptions(["--workers=2", SHARED, f"--config={file}"])
        self.assertEqual(worker["heartbeat"], 7.0)

    def test_systemd(self) -> None:
        """The sockets of systemd keep their places, so that a worker finds them by index and by name."""
        program, _ = self.describe(1, LISTEN_FDNAMES="a:b", LISTEN_PID="1")
        self.assertNotIn("LISTEN_FDS", program.environment)
        with socket.create_server(("127.0.0.1", 0)) as server:
            inherited = server.fileno()
            shared = SharedSocket(Clock(), "systemd:domain=INET:name=b", 2)
            shared.adoptStreamPort(inherited, socket.AF_INET, None)  # type: ignore[arg-type]
        # Twisted has closed the descriptor by now.
        self.addCleanup(shared.close)
        program = Describer(Clock(), parse("--workers=2", SHARED), [shared], "ab" * 32).describe(1)
        self.assertEqual(program.environment["LISTEN_FDS"], "2")
        self.assertNotIn("LISTEN_PID", program.environment)
        self.assertEqual(program.descriptors[inherited], shared.find(1).fileno())
        self.assertEqual(program.descriptors[inherited + 1], shared.find(1).fileno())

    def test_reactor(self) -> None:
        """A worker has a reactor of the same kind as the pool."""
        self.assertIsNone(findReactor(Clock()))
        reactor: Any = object.__new__(epollreactor.EPollReactor)
        self.assertEqual(findReactor(reactor), "epoll")
