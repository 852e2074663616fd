"""
Tests for L{sseserver.tap}: the command line and what is made of it.

Whether the process does what it is told is in tests/integration/test_twistd.py.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin, getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from sseserver import __version__, tap
from sseserver.service.service import Settings, StreamService
from sseserver.sources.process import ProcessSource
from sseserver.sources.text import WELCOME, TextSource, splitWords
from sseserver.sourcing import KEY_VARIABLE, makeSource, readKey
from sseserver.speedups.garbage import RareCollections
from sseserver.tap import DEFAULT_ENDPOINT, Options, Server, makeService, refusal
from sseserver.testing.sources import RecordingSink
from sseserver.values import MODEL, Prompt
from sseserver.wire import MAX_RECONNECTION_TIME


def parse(*arguments: str) -> Options:
    """Parse a command line."""
    options = Options()
    options.parseOptions(list(arguments))
    return options


class OptionsTestCase(SynchronousTestCase):
    """Command lines."""

    def refused(self, *arguments: str) -> str:
        """Check that a command line is refused; give what the user reads."""
        with self.assertRaises(UsageError, msg=arguments) as caught:
            parse(*arguments)
        message = str(caught.exception)
        self.assertNotEqual(message, "")
        self.assertNotIn("\n", message)
        self.assertNotIn("Traceback", message)
        return message


class OptionsTests(OptionsTestCase):
    """Each option, with good values and bad ones."""

    def test_defaults(self) -> None:
        """
        Without options: on this machine only, a word each 0.1 s, and the
        defaults that the service has itself.
        """
        options = parse()
        settings = Settings()
        self.assertEqual(options["listen"], [DEFAULT_ENDPOINT])
        self.assertEqual(DEFAULT_ENDPOINT, "tcp:8000:interface=127.0.0.1:backlog=4096")
        self.assertEqual(options["words"], WELCOME)
        self.assertEqual(options["interval"], 0.1)
        self.assertEqual(options["heartbeat"], settings.heartbeat)
        self.assertEqual(options["retry"], settings.reconnectionTime)
        self.assertEqual(options["linger"], settings.linger)
        self.assertEqual(options["max-viewers"], settings.maxViewers)
        self.assertEqual((options["max-runs"], options["max-waiting"]), (settings.maxRuns, settings.maxWaiting))
        self.assertEqual((options["exec"], options["model"]), (None, None))

    def test_good(self) -> None:
        """
        Each option takes what it should, and gives a number where it means
        one.
        """
        table: list[tuple[str, str, Any]] = [
            ("interval", "0", 0.0),
            ("interval", "0.5", 0.5),
            ("interval", "1e-3", 0.001),
            ("interval", "3600", 3600.0),
            ("heartbeat", "0.1", 0.1),
            ("heartbeat", "15", 15.0),
            ("linger", "0", 0.0),
            ("linger", "86400", 86400.0),
            ("retry", "1", 1),
            ("retry", "3000", 3000),
            ("max-viewers", "1", 1),
            ("max-viewers", "100000", 100_000),
            ("max-runs", "1", 1),
            ("max-waiting", "5000", 5000),
            ("model", "tom", "tom"),
        ]
        for name, text, value in table:
            got = parse(f"--{name}", text)[name]
            self.assertEqual((type(got), got), (type(value), value), name)
            self.assertEqual(parse(f"--{name}={text}")[name], value)
        self.assertEqual(parse("-i", "2")["interval"], 2.0)

    def test_bad(self) -> None:
        """
        A value that makes no sense is refused, in one line that names it.
        """
        table = [
            ("interval", ("-1", "-0.001", "nan", "inf", "-inf", "1e999", "soon", "", "1s", "0,5", "0x1")),
            ("heartbeat", ("0", "-1", "nan", "inf", "often", "", "0.0", "-0")),
            ("linger", ("-1", "nan", "inf", "for ever", "")),
            ("retry", ("0", "-1", "1.5", "1_000", "+1", " 1", "nan", "", "٣", "3s", "1e3")),
            ("max-viewers", ("0", "-1", "1.5", "many", "", "٣", "²", "1_000")),
            ("max-runs", ("0", "-1", "1.5", "many", "")),
            ("max-waiting", ("0", "-1", "1.5", "many", "")),
            ("window", ("0", "-1", "1.5", "K", "", "1T", "9223372036854775808", "8589934592G")),
            ("exec", ("", " ", "'", 'cat "a', "cat \\", "'' a", "{prompt}", "bin/{prompt} a")),
        ]
        for name, values in table:
            for value in values:
                self.assertIn(value, self.refused(f"--{name}={value}"))

    def test_saysWhatIsWrong(self) -> None:
        """
        The line says what would be right.
        """
        self.assertIn("not a number", self.refused("--interval=soon"))
        self.assertIn("at least 0", self.refused("--interval=-1"))
        self.assertIn("more than 0", self.refused("--heartbeat=0"))
        self.assertIn("1 or more", self.refused("--max-viewers=0"))

    def test_retryThatNoBrowserCanWait(self) -> None:
        """
        A reconnection time above what a browser's timer can wait is refused:
        it would be none at all.
        """
        self.refused(f"--retry={MAX_RECONNECTION_TIME + 1}")
        self.refused("--retry=" + "9" * 5000)

    def test_unknown(self) -> None:
        """
        Unknown options and arguments beside options are refused.
        """
        self.refused("--nope")
        self.refused("--interval")
        self.assertIn("8000", self.refused("8000"))
        self.assertIn("tcp:8000", self.refused("--interval", "1", "tcp:8000", "more"))

    def test_version(self) -> None:
        """
        `--version` prints the package's own version and which build it is,
        and ends in peace.
        """
        for compiled, build in ((True, "compiled"), (False, "pure Python")):
            output = io.StringIO()
            self.patch(sys, "stdout", output)
            self.patch(tap, "compiled", compiled)
            with self.assertRaises(SystemExit) as caught:
                parse("--version")
            self.assertEqual((output.getvalue(), caught.exception.code), (f"sseserver {__version__}, {build}\n", 0))

    def test_help(self) -> None:
        """
        The help tells each option, and the default of each.
        """
        help = " ".join(str(Options()).split())
        for name in ("exec", "model", "max-runs", "max-waiting"):
            self.assertIn(f"--{name}", help)
        for name in ("listen", "text", "interval", "heartbeat", "retry", "linger", "max-viewers", "version", "help"):
            self.assertIn(f"--{name}", help)
        for default in ("0.1", "15.0", "3000", "60.0", "10000", "tcp:8000:interface=127.0.0.1"):
            self.assertIn(f"[default: {default}]", help)


class UpstreamTests(OptionsTestCase):
    """`--upstream` and its key."""

    def write(self, data: bytes) -> str:
        """Write a file with a key; give its name."""
        path = Path(self.mktemp())
        path.write_bytes(data)
        return str(path)

    def test_url(self) -> None:
        """
        A base URL is taken, with or without a slash at its end; what is none
        is refused, without a word of what stood in it.
        """
        self.assertEqual(parse("--upstream=http://127.0.0.1:11434/v1/")["upstream"], "http://127.0.0.1:11434/v1")
        for url in ("", "127.0.0.1", "ftp://a/", "http://user:hunter2@a/", "http://a/?hunter2", "http://a:0/"):
            self.assertNotIn("hunter2", self.refused(f"--upstream={url}"))

    def test_oneSource(self) -> None:
        """
        A text and an upstream exclude each other; a key without an upstream is a mistake.
        """
        self.assertIn("only one", self.refused("--upstream=http://a/", "--text=-"))
        self.assertIn("no --upstream", self.refused(f"--upstream-key-file={self.write(b'key')}"))

    def test_key(self) -> None:
        """
        The key is the one line of a file, or else what the environment has;
        it is not among the options.
        """
        self.patch(os, "environ", {})
        self.assertIsNone(readKey(None))
        for data in (b"hunter2", b"hunter2\n", b"hunter2\r\n"):
            name = self.write(data)
            self.assertEqual(readKey(name), "hunter2")
            self.assertNotIn("hunter2", repr(parse("--upstream=http://a/", f"--upstream-key-file={name}")))
        os.environ[KEY_VARIABLE] = "other"
        self.assertEqual((readKey(None), readKey(name)), ("other", "hunter2"))

    def test_badKey(self) -> None:
        """
        A file that cannot be read, or that has no key in it, is told by its
        name; what stands in it is not told. So for the environment.
        """
        self.patch(os, "environ", {})
        for data in (b"", b"\n", b"hunter2\nhunter2\n", b"hunter2 x", b"\xff", b"hunter2\0", b"x" * 100_000 + b"\n"):
            message = self.refused("--upstream=http://a/", f"--upstream-key-file={self.write(data)}")
            self.assertIn("--upstream-key-file", message)
            self.assertNotIn("hunter2", message)
        self.assertIn("No such file", self.refused("--upstream=http://a/", "--upstream-key-file=/nowhere/key"))
        self.assertIn("directory", self.refused("--upstream=http://a/", "--upstream-key-file=/"))
        os.environ[KEY_VARIABLE] = "hunter2 hunter2"
        message = self.refused("--upstream=http://a/")
        self.assertIn(KEY_VARIABLE, message)
        self.assertNotIn("hunter2", message)

    def test_source(self) -> None:
        """
        The service asks the upstream, with the limits that are given.
        """
        arguments = ["--connect-timeout=1", "--first-token-timeout=2", "--token-timeout=3"]
        reactor, sink = MemoryReactorClock(), RecordingSink()
        source: Any = makeSource(reactor, parse("--upstream=http://127.0.0.1:81/v1", *arguments))
        self.assertTrue(source.takesPrompt)
        sink.start(source, Prompt("?"))
        ((host, port, _, timeout, _),) = reactor.tcpClients
        self.assertEqual((host, port, timeout), ("127.0.0.1", 81, 1.0))
        reactor.advance(1.9)
        self.assertFalse(sink.ended)
        reactor.advance(0.2)
        self.assertIn("2 seconds", str(sink.result.value))
        for name in ("connect-timeout", "first-token-timeout", "token-timeout"):
            self.assertIn("more than 0", self.refused(f"--{name}=0"))


class ListenTests(OptionsTestCase):
    """`--listen`."""

    def test_repeated(self) -> None:
        """
        It may be given again and again, and then the default does not count.
        """
        given = ["tcp:8001", "tcp:8002:interface=127.0.0.1", "unix:/tmp/s.sock", "tcp6:8003"]
        arguments = [part for endpoint in given[:2] for part in ("--listen", endpoint)]
        self.assertEqual(parse(*arguments, "-l", given[2], f"--listen={given[3]}")["listen"], given)
        self.assertEqual(parse()["listen"], [DEFAULT_ENDPOINT])

    def test_bad(self) -> None:
        """
        What is no endpoint is refused before anything listens, in one line
        with what was given.
        """
        for endpoint in (
            "",
            ":",
            "8000x:",
            "tcp",
            "tcp:",
            "tcp:http-alt-nowhere",
            "tcp:8000:interfaces=127.0.0.1",
            "tcp:8000:backlog=many",
            "nope:8000",
            "unix",
            "http://127.0.0.1:8000/",
            "ssl:8443:privateKey=/nowhere/key.pem",
            "ssl:8443:privateKey=/nowhere/key.pem:certKey=/nowhere/cert.pem",
            "systemd:domain=INET",
            "systemd:domain=NOPE:index=0",
        ):
            self.assertIn(f"--listen {endpoint}", self.refused("--listen", endpoint), endpoint)

    def test_badAmongGood(self) -> None:
        """
        One bad one among good ones is enough.
        """
        self.assertIn("nope:1", self.refused("--listen", "tcp:8000", "--listen", "nope:1"))


class TextTests(OptionsTestCase):
    """`--text`."""

    def write(self, data: bytes) -> str:
        """Make a file; give its name."""
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    def stdin(self, data: bytes) -> None:
        """Let standard input hold this."""
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "ascii"))

    def test_file(self) -> None:
        """
        The text of a file, with all its line ends and letters, and an empty
        one, too.
        """
        for text in ("Wörter, 一本 📖\r\nund mehr\n", ""):
            self.assertEqual(parse("--text", self.write(text.encode()))["words"], text)
            self.assertEqual(parse("-t", self.write(text.encode()))["words"], text)

    def test_standardInput(self) -> None:
        """
        `-` is standard input, as UTF-8 whatever the locale says.
        """
        self.stdin("Wörter\n".encode())
        self.assertEqual(parse("--text", "-")["words"], "Wörter\n")

    def test_unreadable(self) -> None:
        """
        A file that is not there, a folder, a name that cannot be one: refused
        in one line with the name.
        """
        folder = self.mktemp()
        Path(folder).mkdir(parents=True)
        for name, why in (("/nowhere/text", "No such file"), (folder, "directory"), ("", ""), ("x" * 5000, "too long")):
            message = self.refused("--text", name)
            self.assertIn(f"--text {name}", message)
            self.assertIn(why, message)

    def test_notUTF8(self) -> None:
        """
        What is no UTF-8 is refused, with the place.
        """
        self.assertIn("byte 2", self.refused("--text", self.write(b"ab\xffcd")))
        self.stdin(b"\xff")
        self.assertIn("not UTF-8", self.refused("--text", "-"))


class ExecTests(OptionsTestCase):
    """`--exec`."""

    def test_quoting(self) -> None:
        """
        A program and its arguments, quoted as in a shell; nothing else of a shell is there.
        """
        for text, parts in (
            ("cat", ["cat"]),
            ("  echo  a   b ", ["echo", "a", "b"]),
            ("""sh -c 'echo "$1"' sh "a b" '' c\\ d""", ["sh", "-c", 'echo "$1"', "sh", "a b", "", "c d"]),
            ("echo $HOME * `id` > x | y # z", ["echo", "$HOME", "*", "`id`", ">", "x", "|", "y", "#", "z"]),
            ("say --words={prompt} '{prompt}'", ["say", "--words={prompt}", "{prompt}"]),
        ):
            self.assertEqual(parse("--exec", text)["exec"], parts)
        self.assertEqual(parse("-e", "cat")["exec"], ["cat"])

    def test_oneSource(self) -> None:
        """
        It does not go together with a text.
        """
        self.assertIn("--text", self.refused("--exec", "cat", "--text", "-"))

    def test_nameOfTheOption(self) -> None:
        """
        What is said of a value that is refused names its option.
        """
        for option in ("keep", "retry", "window", "upstream"):
            self.assertIn(f"--{option}", self.refused(f"--{option}", "-1"))

    def test_asksWithout(self) -> None:
        """
        Only a program can be said to need a prompt.
        """
        self.assertIn("--exec", self.refused("--asks"))


class MakeServiceTests(SynchronousTestCase):
    """What is made of the options."""

    def make(self, *arguments: str) -> tuple[Server, StreamService, list[Any]]:
        """Make a service; give it, the streams', and the listeners'."""
        server = makeService(parse(*arguments))
        streams, *listeners, garbage = list(server)
        self.assertIsInstance(garbage, RareCollections)
        self.assertIsInstance(streams, StreamService)
        return server, streams, listeners  # type: ignore[return-value]

    def test_interface(self) -> None:
        """
        It is a service.
        """
        self.assertTrue(verifyObject(IService, self.make()[0]))

    def test_settings(self) -> None:
        """
        Each option is where it belongs.
        """
        arguments = ("--heartbeat=7", "--retry=1234", "--linger=8", "--max-viewers=9", "--interval=0.5")
        _, streams, _ = self.make(*arguments, "--max-runs=10", "--max-waiting=11")
        settings = Settings(heartbeat=7, reconnectionTime=1234, linger=8, maxViewers=9, maxRuns=10, maxWaiting=11)
        self.assertEqual(streams.settings, settings)
        source = streams.source
        assert isinstance(source, TextSource)
        self.assertEqual((source._interval, source._words), (0.5, splitWords(WELCOME)))

    def test_accessLog(self) -> None:
        """
        The access log is twistd's log, a file, or none.
        """
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        for arguments, expected in (
            ((), (None, True)),
            (("--access-log=log",), (None, True)),
            (("--access-log=none",), (None, False)),
            ((f"--access-log={folder}/access",), (f"{folder}/access", True)),
        ):
            _, _, listeners = self.make(*arguments)
            site = listeners[0].factory
            self.assertEqual((site.logPath, site._accessLog), expected)

    def test_defaultSettings(self) -> None:
        """
        Without options the service has its own defaults.
        """
        self.assertEqual(self.make()[1].settings, Settings())

    def test_text(self) -> None:
        """
        The source streams the text that was given.
        """
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"two words")))
        source = self.make("--text", "-")[1].source
        assert isinstance(source, TextSource)
        self.assertEqual(source._words, ["two ", "words"])

    def test_exec(self) -> None:
        """
        The source is the program; it needs a prompt where it has a place for one.
        """
        source = self.make("--exec", "echo 'a b'", "--model=tom")[1].source
        assert isinstance(source, ProcessSource)
        self.assertEqual((source._command, source.takesPrompt, source.model), ([b"echo", b"a b"], False, "tom"))
        self.assertTrue(self.make("--exec", "echo {prompt}")[1].source.takesPrompt)
        self.assertFalse(self.make("--exec", "cat")[1].source.takesPrompt)
        self.assertTrue(self.make("--exec", "cat", "--asks")[1].source.takesPrompt)

    def test_model(self) -> None:
        """
        The built-in text has the model's name, too.
        """
        self.assertEqual(self.make()[1].source.model, MODEL)
        self.assertEqual(self.make("--model", "tom")[1].source.model, "tom")

    def test_listeners(self) -> None:
        """
        There is a listener for each endpoint, all with the same site and
        streams; nothing listens before it is started.
        """
        server, _, listeners = self.make("--listen", "tcp:0:interface=127.0.0.1", "--listen", "unix:/nowhere/s.sock")
        self.assertEqual(len(listeners), 2)
        self.assertIs(listeners[0].factory, listeners[1].factory)
        self.assertEqual(listeners[0].factory.acceptableProtocols(), [b"http/1.1"])
        self.assertFalse(server.running)

    def test_plugin(self) -> None:
        """
        `twistd` finds us by our name, with these options and this maker.
        """
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
        """
        Started, it listens on every endpoint, the streams first; stopped, on
        none.
        """
        # Not `mktemp`: the name of a UNIX socket has 107 bytes at most.
        folder = tempfile.mkdtemp(prefix="sseserver-")
        self.addCleanup(shutil.rmtree, folder)
        socketName = f"{folder}/socket"
        server = makeService(parse("--listen", "tcp:0:interface=127.0.0.1", "--listen", f"unix:{socketName}"))
        streams, tcp, *_ = list(server)
        server.privilegedStartService()
        try:
            server.startService()
            self.assertTrue(streams.running)
            address = tcp._waitingForPort.result.getHost()
            self.assertIsInstance(address, IPv4Address)
            self.assertEqual(address.host, "127.0.0.1")
            # What it accepts inherits this.
            listening = tcp._waitingForPort.result.socket
            self.assertTrue(listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            socket.create_connection(("127.0.0.1", address.port)).close()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(socketName)
        finally:
            await server.stopService()
        self.assertFalse(streams.running)
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", address.port))
        self.assertRaises(FileNotFoundError, os.stat, socketName)
        # The two connections that were only made and closed: the next turns of the reactor see their ends.
        await deferLater(reactor, 0.01)

    def listenToStderr(self, goesTo: str = "/") -> io.StringIO:
        """
        Take what is told to whoever starts the server.

        Args:
            goesTo: A file, whose place is taken for that of standard error, wherever that of the tests goes.
        """
        said = io.StringIO()
        self.patch(sys, "__stderr__", said)
        fstat = os.fstat
        self.patch(os, "fstat", lambda fd: Path(goesTo).stat() if fd == 2 else fstat(fd))
        return said

    def test_daemonTellsTheLog(self) -> None:
        """
        A daemon, whose standard error is nowhere, tells it to what is the log by then.
        """
        said = self.listenToStderr(os.devnull)
        self.assertEqual(refusal(ValueError("No.")).code, "sseserver: No.")
        self.assertEqual(said.getvalue(), "")
        self.patch(sys, "__stderr__", None)
        self.assertEqual(refusal(ValueError("No.")).code, "sseserver: No.")

    def test_taken(self) -> None:
        """
        A port that is taken ends the program with one line, not a traceback.
        """
        said = self.listenToStderr()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = makeService(parse("--listen", f"tcp:{port}:interface=127.0.0.1"))
            with self.assertRaises(SystemExit) as caught:
                server.privilegedStartService()
        self.assertEqual(caught.exception.code, 1)
        message = said.getvalue().removesuffix("\n")
        self.assertTrue(message.startswith("sseserver: "), message)
        self.assertIn(str(port), message)
        self.assertNotIn("\n", message)

    def test_portThatCannotBe(self) -> None:
        """
        A port that there cannot be is refused in one line, at the latest when
        it is to be listened on.
        """
        for port in ("65536", "99999", "-1"):
            with self.assertRaises((UsageError, SystemExit)) as caught:
                makeService(parse("--listen", f"tcp:{port}:interface=127.0.0.1")).privilegedStartService()
            self.assertNotIn("\n", str(caught.exception))

    def test_folderThatIsNotThere(self) -> None:
        """
        So does a UNIX socket in a folder that is not there.
        """
        server = makeService(parse("--listen", "unix:/nowhere/s.sock"))
        said = self.listenToStderr()
        with self.assertRaises(SystemExit) as caught:
            server.privilegedStartService()
        self.assertEqual(caught.exception.code, 1)
        self.assertIn("/nowhere/s.sock", said.getvalue())

    def test_otherErrors(self) -> None:
        """
        What is no fault of an address is not swallowed.
        """
        self.listenToStderr()
        server = makeService(parse())
        listener = list(server)[1]

        def broken() -> None:
            raise ZeroDivisionError

        self.patch(listener, "privilegedStartService", broken)
        self.assertRaises(ZeroDivisionError, server.privilegedStartService)

        def cannot() -> None:
            raise CannotListenError("127.0.0.1", 8000, OSError("no"))

        self.patch(listener, "privilegedStartService", cannot)
        self.assertRaises(SystemExit, server.privilegedStartService)
