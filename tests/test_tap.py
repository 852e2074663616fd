"""
Tests for `sseserver.tap`: the service built from the options.

tests/command tests the options, tests/integration/test_twistd.py the process.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import sys
import tempfile
from io import FileIO
from pathlib import Path
from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import formatEvent, globalLogPublisher
from twisted.plugin import IPlugin, getPlugins
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from sseserver import tap
from sseserver.command import program
from sseserver.command.heap import ReturnedMemory, findHeap
from sseserver.command.listening import BadEndpoint
from sseserver.command.sites import makeSite
from sseserver.command.starting import makeExit
from sseserver.command.supervisor import Supervisor
from sseserver.service.service import StreamService
from sseserver.settings import Settings
from sseserver.sources.standardinput import InputSource
from sseserver.speedups.garbage import RareCollections
from sseserver.tap import Options, Server, makeService, makeSignals, makeSource, reloadSource
from sseserver.testing.sources import RecordingSink
from sseserver.timing.reactorlag import ReactorLag
from sseserver.values import MODEL, Prompt
from sseserver.web import descriptors
from tests.command.test_parsing import parse


class ImmediateReactor:
    """A reactor that makes calls from other threads at once."""

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        """See `IReactorFromThreads.callFromThread`."""
        function(*arguments)


class MakeServiceTests(SynchronousTestCase):
    """The service that `makeService` builds."""

    def make(self, *arguments: str) -> tuple[Server, Any, list[Any]]:
        """Return the service, its stream service, and its listeners."""
        server = makeService(parse("--plain", *arguments))
        streams, *others = list(server)
        self.assertIsInstance(streams, StreamService)
        listeners = [service for service in others if not isinstance(service, ReturnedMemory)]
        return server, streams, listeners

    def record(self, name: str, module: Any = tap) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """Replace a class in a module by one that keeps the arguments of each call in the returned list."""
        calls = []
        original = getattr(module, name)

        def make(*arguments: Any, **keywords: Any) -> Any:
            calls.append((arguments, keywords))
            return original(*arguments, **keywords)

        self.patch(module, name, make)
        return calls

    def test_interface(self) -> None:
        """It provides `IService`."""
        self.assertTrue(verifyObject(IService, self.make()[0]))

    def test_settings(self) -> None:
        """Each option that names a setting fills it."""
        arguments = (
            "--heartbeat=7",
            "--retry=1234",
            "--linger=8",
            "--max-viewers=9",
            "--stall=10",
            "--keep=11",
            "--idle=15",
        )
        sizes = ("--window=64K", "--max-bytes=2M", "--read-ahead=3K")
        counts = ("--max-runs=12", "--max-waiting=13", "--max-streams=14")
        self.assertEqual(
            self.make(*arguments, *sizes, *counts)[1].settings,
            Settings(
                heartbeat=7,
                reconnectionTime=1234,
                linger=8,
                maxViewers=9,
                stall=10,
                keep=11,
                idle=15,
                window=64 << 10,
                maxBytes=2 << 20,
                readAhead=3 << 10,
                maxRuns=12,
                maxWaiting=13,
                maxStreams=14,
                plain=True,
            ),
        )

    def test_defaultSettings(self) -> None:
        """Without options the service has the default settings, if the process may have enough open files."""
        self.patch(descriptors, "countDescriptors", lambda: 1 << 20)
        self.assertEqual(next(iter(makeService(parse()))).settings, Settings())

    def test_sync(self) -> None:
        """`--sync full` lets each commit of the store wait for the disk."""
        made = self.record("SQLiteStore")
        for arguments, full in (((), False), (("--sync=normal",), False), (("--sync=full",), True)):
            self.make(f"--store=sqlite:{self.mktemp()}", *arguments)
            self.assertIs(made[-1][1]["full"], full)

    def test_F14_programs(self) -> None:
        """F14: by default four programs for each core work at a time, and 10,000 runs of any other source."""
        command = f"--exec={sys.executable}"
        for arguments, runs in (((), 10_000), ((command,), 4 * (os.cpu_count() or 1)), ((command, "--max-runs=7"), 7)):
            self.assertEqual(self.make(*arguments)[1].settings.maxRuns, runs)

    def test_speedups(self) -> None:
        """`--plain` and `SSESERVER_PLAIN=1` turn the speedups off, rare garbage collection too; memory is returned."""
        self.patch(os, "environ", {})
        for arguments, environment, plain in (
            ((), {}, False),
            (("--plain",), {}, True),
            ((), {"SSESERVER_PLAIN": "1"}, True),
        ):
            os.environ.clear()
            os.environ.update(environment)
            streams, *others = list(makeService(parse(*arguments)))
            self.assertIs(streams.settings.plain, plain)
            expected = [*[ReturnedMemory] * (findHeap() is not None), *[RareCollections] * (not plain)]
            self.assertEqual([type(service) for service in others[1:]], expected)

    def test_text(self) -> None:
        """The source streams the given text at the given pace."""
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("two words", "utf-8")
        clock, sink = Clock(), RecordingSink()
        sink.start(makeSource(clock, parse("--text", str(path), "--interval=0.5")))
        written = []
        for _ in range(4):
            clock.pump([1 / 64] * 9)
            written.append("".join(sink.tokens))
        self.assertEqual(written, ["two ", "two ", "two ", "two words"])

    def test_F98_standardInput(self) -> None:
        """F98: the source of `--text -` is a service of the server, which reads a copy of the descriptor."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        self.addCleanup(os.close, reading)
        self.patch(tap, "STANDARD_INPUT", reading)
        files: list[FileIO] = []

        def openFile(descriptor: int) -> FileIO:
            files.append(FileIO(descriptor))
            return files[-1]

        self.patch(tap, "FileIO", openFile)
        streams, source, *_ = makeService(parse("--text", "-", "--model=m"))
        [file] = files
        self.addCleanup(file.close)
        self.assertNotEqual(file.fileno(), reading)
        self.assertTrue(os.path.sameopenfile(file.fileno(), reading))
        self.assertIsInstance(source, InputSource)
        self.assertIs(streams.source, source)
        self.assertEqual(source.model, "m")

    def test_exec(self) -> None:
        """The source is the program; it takes a prompt if its command or `--asks` says so."""
        sources = self.record("ProcessSource", program)
        for arguments, command, takesPrompt in (
            (("--exec", "echo 'a b'"), ["echo", "a b"], False),
            (("--exec", "echo {prompt}"), ["echo", "{prompt}"], True),
            (("--exec", "cat", "--asks", "--exec-env=PATH"), ["cat"], True),
        ):
            source = self.make(*arguments, "--model=tom")[1].source
            self.assertEqual(sources.pop()[0][1], command)
            self.assertEqual((source.takesPrompt, source.model), (takesPrompt, "tom"))

    def test_model(self) -> None:
        """The built-in text has a model name, too."""
        self.assertEqual(self.make()[1].source.model, MODEL)
        self.assertEqual(self.make("--model", "tom")[1].source.model, "tom")

    def test_F130_reloadText(self) -> None:
        """F130: at HUP the text is read again; if it cannot be read, nothing changes and the log says why."""
        path = Path(self.mktemp())
        path.write_text("one")
        options = parse("--text", str(path), "--interval=0")
        clock = Clock()
        source = makeSource(clock, options)
        reactor, site = ImmediateReactor(), makeSite(Clock(), self.make()[1], options)
        signals = makeSignals(reactor, site, source, Supervisor(clock, {}), options)
        signals.install()
        self.addCleanup(signals.restore)

        def streamed() -> str:
            sink = RecordingSink()
            sink.start(source)
            clock.advance(1)
            return "".join(sink.tokens)

        for change, expected in ((lambda: path.write_text("two"), "two"), (path.unlink, "two")):
            change()
            signal.raise_signal(signal.SIGHUP)
            self.assertEqual(streamed(), expected)

    def test_F130_reloadKey(self) -> None:
        """F130: at HUP key and headers of an upstream are read again."""
        key = Path(self.mktemp())
        key.write_text("first")
        arguments = ("--upstream=http://127.0.0.1:81/v1", f"--upstream-key-file={key}", f"--upstream-header=x: @{key}")
        options = parse(*arguments)
        reactor = MemoryReactorClock()
        source = makeSource(reactor, options)
        for text in ("first", "second"):
            key.write_text(text)
            reloadSource(source, options)
            RecordingSink().start(source, Prompt("?"))
            protocol = reactor.tcpClients[-1][2].buildProtocol(None)
            transport = StringTransport()
            protocol.makeConnection(transport)
            reactor.advance(0)
            self.assertIn(f"Authorization: Bearer {text}\r\n".encode(), transport.value())
            self.assertIn(f"X: {text}\r\n".encode(), transport.value())
        key.write_text("")
        self.assertRaises(UsageError, reloadSource, source, options)
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_listeners(self) -> None:
        """There is a listener for each endpoint, all with the same site; none listens before the start."""
        server, _, listeners = self.make(
            "--listen", "tcp:0:interface=127.0.0.1", "--listen", "unix:/nowhere/s.sock", "--host=*"
        )
        self.assertEqual(len(listeners), 2)
        self.assertIs(listeners[0].factory, listeners[1].factory)
        self.assertEqual(listeners[0].factory.acceptableProtocols(), [b"http/1.1"])
        self.assertFalse(server.running)

    def test_plugin(self) -> None:
        """twistd finds one plugin named `sseserver`, with these options and this maker."""
        found = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "sseserver"]
        self.assertEqual(len(found), 1)
        self.assertTrue(IPlugin.providedBy(found[0]))
        self.assertIs(found[0].options, Options)
        self.assertIs(found[0].makeService, makeService)
        self.assertNotEqual(found[0].description, "")


class StartTests(TestCase):
    """The service, started on the real reactor."""

    timeout = 120

    async def test_listens(self) -> None:
        """A started server listens on each endpoint; a stopped one has closed them all."""
        # Not `mktemp`: the path of a UNIX socket has 107 bytes at most.
        folder = tempfile.mkdtemp(prefix="sseserver-")
        self.addCleanup(shutil.rmtree, folder)
        socketName = f"{folder}/socket"
        server = makeService(parse("--host=*", "--listen=tcp:0:interface=127.0.0.1", f"--listen=unix:{socketName}"))
        lines: list[str] = []
        observer = lambda event: lines.append(formatEvent(event))  # noqa: E731  (removed below)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        streams, tcp, *_ = list(server)
        server.privilegedStartService()
        try:
            server.startService()
            self.assertTrue(streams.running)
            address = tcp._waitingForPort.result.getHost()  # noqa: SLF001  (a name of Twisted)
            self.assertIsInstance(address, IPv4Address)
            self.assertEqual(address.host, "127.0.0.1")
            # F94: the log names the URL, once, and after the lines about the start.
            opened = [line for line in lines if line.startswith("Open ")]
            self.assertEqual(
                [line.partition(" (source: ")[0] for line in opened], [f"Open http://127.0.0.1:{address.port}/"]
            )
            # Accepted connections inherit this.
            listening = tcp._waitingForPort.result.socket  # noqa: SLF001  (a name of Twisted)
            self.assertTrue(listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            socket.create_connection(("127.0.0.1", address.port)).close()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(socketName)
        finally:
            await server.stopService()
        self.assertFalse(streams.running)
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", address.port))
        self.assertRaises(FileNotFoundError, os.stat, socketName)
        # Let the reactor see the ends of both connections.
        await deferLater(reactor, 0.01)

    def replaceStderr(self, path: str = "/") -> io.StringIO:
        """
        Replace the terminal's standard error.

        Args:
            path: File that file descriptor 2 seems to be, whatever it is for the test process.

        Returns:
            The text that is written to it.
        """
        written = io.StringIO()
        self.patch(sys, "__stderr__", written)
        fstat = os.fstat
        self.patch(os, "fstat", lambda fd: Path(path).stat() if fd == 2 else fstat(fd))
        return written

    def test_daemonLogs(self) -> None:
        """A daemon, which has no terminal, writes to its log why it cannot start."""
        written = self.replaceStderr(os.devnull)
        self.assertEqual(makeExit(ValueError("No.")).code, "sseserver: No.")
        self.assertEqual(written.getvalue(), "")
        self.patch(sys, "__stderr__", None)
        self.assertEqual(makeExit(ValueError("No.")).code, "sseserver: No.")

    def test_addressInUse(self) -> None:
        """An address in use ends the process with one line and no traceback."""
        written = self.replaceStderr()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = makeService(parse("--listen", f"tcp:{port}:interface=127.0.0.1"))
            with self.assertRaises(SystemExit) as caught:
                server.privilegedStartService()
        self.assertEqual(caught.exception.code, 1)
        message = written.getvalue().removesuffix("\n")
        self.assertTrue(message.startswith("sseserver: "), message)
        self.assertIn(str(port), message)
        self.assertNotIn("\n", message)

    def test_F136_storeInUse(self) -> None:
        """F136: a server whose store cannot be opened never listens."""
        path = Path(self.mktemp())
        path.write_text("Dear diary,")
        written = self.replaceStderr()
        socketPath = Path(self.mktemp())
        server = makeService(parse("--store", f"sqlite:{path}", "--listen", f"unix:{socketPath}", "--host=*"))
        with self.assertRaises(SystemExit) as caught:
            server.privilegedStartService()
        self.assertEqual((caught.exception.code, socketPath.exists()), (1, False))
        self.assertIn("not a file of sseserver", written.getvalue())

    def test_missingFolder(self) -> None:
        """A UNIX socket in a missing folder ends the process with one line."""
        server = makeService(parse("--listen", "unix:/nowhere/s.sock", "--host=*"))
        written = self.replaceStderr()
        with self.assertRaises(SystemExit) as caught:
            server.privilegedStartService()
        self.assertEqual(caught.exception.code, 1)
        message = "sseserver: --listen unix:/nowhere/s.sock: the folder of the socket does not exist\n"
        self.assertEqual(written.getvalue(), message)

    def test_badAdminEndpoint(self) -> None:
        """The message about an endpoint of `--admin-listen` has this option."""
        server = makeService(parse("--admin-listen", "unix:/nowhere/s"))
        self.patch(list(server)[1], "privilegedStartService", lambda: None)
        written = self.replaceStderr()
        with self.assertRaises(SystemExit):
            server.privilegedStartService()
        self.assertIn("sseserver: --admin-listen unix:/nowhere/s: ", written.getvalue())

    def test_metrics(self) -> None:
        """Metrics are on the endpoint that asks for them, and the reactor is measured only for them."""
        for arguments, onClients, measured in (
            ((), False, 0),
            (("--admin-listen", "tcp:9000:interface=127.0.0.1"), False, 1),
            (("--metrics",), True, 1),
            (("--metrics", "--admin-listen", "tcp:9000:interface=127.0.0.1"), True, 1),
        ):
            server = makeService(parse(*arguments))
            root = list(server)[1].factory.resource
            self.assertEqual(b"metrics" in root.children, onClients, arguments)
            self.assertEqual(sum(isinstance(part, ReactorLag) for part in server), measured, arguments)

    def test_page(self) -> None:
        """The endpoint for operators has their page, with the rights of the server, unless everybody reaches it."""
        for interface, hasPage in (("127.0.0.1", True), ("10.0.0.7", False)):
            server: Any = makeService(parse("--admin-listen", f"tcp:9000:interface={interface}"))
            roots = [part.factory.resource.children for part in server if hasattr(part, "factory")]
            self.assertEqual([b"admin" in children for children in roots], [False, hasPage])
            self.assertEqual(b"streams" in roots[1], hasPage)
            self.assertEqual(server.hasPage, hasPage)

    def test_badAccessLog(self) -> None:
        """An access log that cannot be written ends the process with one line, before it listens."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for path, reason in ((folder, "Is a directory"), (folder / "a" / "b", "No such file or directory")):
            socketPath = Path(self.mktemp())
            endpoints = ("--host=*", f"--listen=unix:{socketPath}", "--admin-listen", "unix:b")
            server = makeService(parse("--access-log", str(path), *endpoints))
            written = self.replaceStderr()
            with self.assertRaises(SystemExit) as caught:
                server.privilegedStartService()
            self.assertEqual((caught.exception.code, socketPath.exists()), (1, False))
            self.assertEqual(written.getvalue(), f"sseserver: --access-log {path}: {reason}\n")

    def test_otherErrors(self) -> None:
        """An error that has nothing to do with an address is raised as it is."""
        self.replaceStderr()
        server = makeService(parse())
        listener = list(server)[1]

        def fail() -> None:
            raise ZeroDivisionError

        self.patch(listener, "privilegedStartService", fail)
        self.assertRaises(ZeroDivisionError, server.privilegedStartService)

        def refuse() -> None:
            raise BadEndpoint("--listen tcp:8000: no")

        self.patch(listener, "privilegedStartService", refuse)
        self.assertRaises(SystemExit, server.privilegedStartService)
