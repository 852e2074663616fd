"""
Tests for `sseserver.command.parsing` and `sseserver.command.naming`: the command line, and messages about mistakes.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from unittest.mock import patch

from twisted.python.usage import UsageError
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from sseserver import __version__
from sseserver.command import parsing
from sseserver.command.parsing import Options
from sseserver.options import OPTIONS, defaultOf
from sseserver.options.types import FLAG
from sseserver.sources.text import WELCOME
from sseserver.web import descriptors
from sseserver.web.descriptors import countFree


def parse(*arguments: str) -> Options:
    """Parse a command line."""
    options = Options()
    options.parseOptions(list(arguments))
    return options


class OptionsTestCase(SynchronousTestCase):
    """Test cases with command lines, in an environment that sets no option."""

    def setUp(self) -> None:
        variables = {option.variable for option in OPTIONS}
        self.patch(os, "environ", {name: text for name, text in os.environ.items() if name not in variables})

    def refused(self, *arguments: str) -> str:
        """Assert that a command line is refused; return the message."""
        with self.assertRaises(UsageError, msg=arguments) as caught:
            parse(*arguments)
        message = str(caught.exception)
        self.assertNotEqual(message, "")
        self.assertNotIn("\n", message)
        self.assertNotIn("Traceback", message)
        return message

    def write(self, data: bytes) -> str:
        """Write a file; return its name."""
        path = Path(self.mktemp())
        path.write_bytes(data)
        return str(path)


class OptionsTests(OptionsTestCase):
    """Command lines in general."""

    def test_defaults(self) -> None:
        """Without arguments, each option has the default of the table, if the process may have enough open files."""
        self.patch(descriptors, "countDescriptors", lambda: 1 << 20)
        options = parse()
        for option in OPTIONS:
            if not option.repeatable and option.type is not FLAG:
                default = countFree() if option.name == "max-connections" else option.default
                self.assertEqual(options[option.name], default, option.name)
        self.assertEqual(options["listen"], ["tcp:8000:interface=127.0.0.1:backlog=4096"])
        self.assertEqual(options["words"], WELCOME)
        self.assertFalse(options["asks"] or options["plain"])

    def test_admin(self) -> None:
        """`--admin-listen` takes one endpoint, which must name its interface."""
        endpoint = "tcp:9000:interface=127.0.0.1"
        self.assertEqual(parse("--admin-listen", endpoint)["admin-listen"], endpoint)
        self.assertIn("--admin-listen 9000", self.refused("--admin-listen=9000"))
        self.assertIn("name the interface", self.refused("--admin-listen=tcp:9000"))

    def test_F15_connections(self) -> None:
        """F15: connections and runs share the file descriptors; more connections than there are is refused."""
        with patch("resource.getrlimit", lambda which: (1032, 1032)):
            for arguments, connections, runs in (
                ((), 1000, 10_000),
                (("--upstream=http://a/v1",), 500, 500),
                (("--upstream=http://a/v1", "--max-runs=10"), 990, 10),
                (("--upstream=http://a/v1", "--max-connections=900"), 900, 100),
                ((f"--exec={sys.executable}", "--max-runs=10"), 960, 10),
                (("--max-connections=7",), 7, 10_000),
            ):
                options = parse(*arguments)
                self.assertEqual((options["max-connections"], options["max-runs"]), (connections, runs), arguments)
            self.assertIn("1032 open files", self.refused("--max-connections=1001"))

    def test_values(self) -> None:
        """The value of an option is converted, in either notation and under either name."""
        self.assertEqual(parse("--interval", "0.5")["interval"], 0.5)
        self.assertEqual(parse("--interval=0.5")["interval"], 0.5)
        self.assertEqual(parse("-i", "2")["interval"], 2.0)
        self.assertEqual(parse("-e", "cat 'a b'")["exec"], ["cat", "a b"])

    def test_bad(self) -> None:
        """The message about a refused value names the option, quotes the value and says what is valid."""
        for option in OPTIONS:
            if option.name in {"keep", "retry", "window", "upstream", "max-runs", "heartbeat", "store"}:
                self.assertIn(f"--{option.name}: ", self.refused(f"--{option.name}", "-1"))
        self.assertIn("'soon' is not a number", self.refused("--interval=soon"))

    def test_unknown(self) -> None:
        """Unknown options, options without a value, and positional arguments are refused."""
        self.refused("--nope")
        self.refused("--interval")
        self.assertIn("8000", self.refused("8000"))
        self.assertIn("tcp:8000", self.refused("--interval", "1", "tcp:8000", "more"))

    def test_version(self) -> None:
        """`--version` prints the version of the package and its build, and exits with code 0."""
        for compiled, build in ((True, "compiled"), (False, "pure Python")):
            output = io.StringIO()
            self.patch(sys, "stdout", output)
            self.patch(parsing, "compiled", compiled)
            with self.assertRaises(SystemExit) as caught:
                parse("--version")
            self.assertEqual((output.getvalue(), caught.exception.code), (f"sseserver {__version__}, {build}\n", 0))

    def test_help(self) -> None:
        """`--help` and `-h` print the help, and exit with code 0."""
        for name in ("--help", "-h"):
            output = io.StringIO()
            self.patch(sys, "stdout", output)
            with self.assertRaises(SystemExit) as caught:
                parse(name)
            self.assertEqual((output.getvalue(), caught.exception.code), (str(Options()), 0))
            self.assertIn("\nExamples:\n", output.getvalue())

    def test_given(self) -> None:
        """The options that were given are known by their long names, whatever was typed."""
        typed = ("-i", "0.1", "--heart=5", "--upstream-proxy", "none", "--upstream=http://a/", "-ltcp:1")
        given = {"interval", "heartbeat", "upstream-proxy", "upstream", "listen"}
        options = Options()
        with self.assertRaises(UsageError):
            options.parseOptions(typed)
        self.assertEqual(options.given, given)


class MistakeTests(OptionsTestCase):
    """F95: one line about each mistake, with what was probably meant."""

    def test_F95_unknown(self) -> None:
        """F95: the message about an unknown option has the nearest known one."""
        for typed, meant in (
            ("--intervall=1", "--interval SECONDS"),
            ("--port=8000", "--listen tcp:8000"),
            ("-p8000", "--listen tcp:8000"),
            ("--bind=a", "--listen tcp:8000"),
            ("--hosts=a", "--host NAME[:PORT]"),
            ("--allow-origin=a", "--cors-origin ORIGIN"),
            ("--db=x", "--store memory|sqlite:PATH|redis:URL"),
            ("--max-viewer-s=1", "--max-viewers COUNT"),
            ("--asksx", "--asks"),
        ):
            message = self.refused(typed)
            self.assertIn(f"there is no option {typed.partition('=')[0][:2]}", message)
            self.assertTrue(message.endswith(f"did you mean {meant}?"), message)
        self.assertIn("see --help", self.refused("--zzz"))
        self.assertIn("--max-bytes, --max-streams", self.refused("--max=1"))

    def test_F95_otherNames(self) -> None:
        """F95: what newcomers call an option is not an option itself, and leads to one only."""
        names = [name for option in OPTIONS for name in option.otherNames]
        self.assertEqual(len(names), len(set(names)))
        self.assertFalse({option.name for option in OPTIONS}.intersection(names))

    def test_F95_values(self) -> None:
        """F95: a missing value, and one that a flag does not take."""
        self.assertEqual(self.refused("--interval"), "--interval needs a value: SECONDS")
        self.assertEqual(self.refused("-l"), "-l needs a value: ENDPOINT")
        self.assertEqual(self.refused("--plain=1"), "--plain takes no value")
        self.assertEqual(self.refused("--interval=soon"), "--interval: 'soon' is not a number")

    def test_F95_twistd(self) -> None:
        """F95: below twistd a mistake ends the process with one line; its own options have their place."""
        for arguments, line in (
            (["--port", "8000"], "sseserver: there is no option --port; did you mean --listen tcp:8000?"),
            (["-n"], "sseserver: -n is an option of twistd: write it before the word sseserver"),
            (["--pidfile="], "sseserver: --pidfile is an option of twistd: write it before the word sseserver"),
            (["--interval=-1"], "sseserver: --interval: -1 is out of range; it must be at least 0"),
            (["8000"], "sseserver: '8000': did you mean --listen tcp:8000?"),
        ):
            with self.assertRaises(SystemExit) as caught:
                ServerOptions().parseOptions(["-n", "sseserver", *arguments])
            self.assertEqual(caught.exception.code, line)

    def test_arguments(self) -> None:
        """An argument that is an address leads to `--listen`."""
        self.assertIn("--listen tcp:80:interface=10.0.0.1?", self.refused("10.0.0.1:80"))
        self.assertIn("only options", self.refused("README.md"))


class EffectTests(OptionsTestCase):
    """F96: options without effect are refused, with the reason."""

    def test_F96_needs(self) -> None:
        """F96: each option that needs another one is refused without it, even with its default value."""
        checked = 0
        for option in OPTIONS:
            if option.needs:
                value = "a: b" if option.name == "upstream-header" else option.type.write(option.default or "1")
                typed = f"--{option.name}" if option.type is FLAG else f"--{option.name}={value}"
                needed = " or ".join(f"--{name}" for name in option.needs)
                self.assertEqual(self.refused(typed), f"--{option.name} needs {needed}")
                checked += 1
        self.assertGreater(checked, 8)

    def test_F96_excludes(self) -> None:
        """F96: a pace is only for texts."""
        for source in ("--exec=cat", "--upstream=http://a/"):
            expected = f"--interval has no effect with {source.partition('=')[0]}"
            self.assertEqual(self.refused(source, "--interval", "0.1"), expected)
        for option in OPTIONS:
            self.assertLessEqual({*option.needs}, {row.name for row in OPTIONS}, option.name)

    def test_F96_prompt(self) -> None:
        """F96: a prompt needs a command that takes it."""
        self.assertIn("--asks", self.refused("--exec=cat", "--prompt=x"))
        self.assertEqual(parse("--exec=cat", "--asks", "--prompt=x")["prompt"], "x")
        self.assertEqual(parse("--exec=echo {prompt}", "--prompt=x")["prompt"], "x")
        self.assertEqual(parse("--upstream=http://a/", "--prompt=x")["prompt"], "x")

    def test_F96_minimum(self) -> None:
        """F96: a size below the minimum of the table is refused; the minimum itself is not."""
        self.assertEqual(self.refused("--window=10"), "--window: 10 is too small; the minimum is 64K")
        self.assertEqual(self.refused("--max-bytes=100"), "--max-bytes: 100 is too small; the minimum is 1M")
        for option in OPTIONS:
            if option.minimum is not None:
                others = ["--upstream=http://a/"] if option.needs else []
                self.assertIn("the minimum is", self.refused(*others, f"--{option.name}={option.minimum - 1}"))
                parsed = parse(*others, f"--{option.name}={option.minimum}")
                self.assertEqual(parsed[option.name], option.minimum)
        self.assertEqual(parse("--max-bytes=1M")["window"], 16 << 20)

    def test_F96_empty(self) -> None:
        """F96: an empty value is refused wherever it has no meaning."""
        for name in ("model", "prompt", "text", "exec", "upstream", "upstream-key-file", "access-log", "store"):
            self.assertIn(f"--{name}: ", self.refused(f"--{name}=", "--upstream=http://a/"))


class ListenTests(OptionsTestCase):
    """`--listen`."""

    def test_repeated(self) -> None:
        """The option can be repeated; the default applies only without it."""
        given = ["tcp:8001", "tcp:8002:interface=127.0.0.1", "unix:/tmp/s.sock", "tcp6:8003"]
        arguments = [part for endpoint in given[:2] for part in ("--listen", endpoint)]
        arguments += ["-l", given[2], f"--listen={given[3]}"]
        self.assertEqual(parse("--host=*", "--public", *arguments)["listen"], given)
        self.assertEqual(parse()["listen"], [defaultOf("listen")])

    def test_bad(self) -> None:
        """A string that is not an endpoint is refused before anything listens; the message quotes it."""
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
            message = self.refused("--listen", endpoint)
            self.assertIn(f"--listen {endpoint}", message, endpoint)
            # F134: plain words, not Python's.
            self.assertNotRegex(message, r"_parse|argument|literal|list index|Errno")

    def test_invalidPort(self) -> None:
        """A port out of range is refused in one line."""
        for port in ("65536", "99999", "-1"):
            self.assertIn("the port must be", self.refused("--listen", f"tcp:{port}:interface=127.0.0.1"))

    def test_badAmongGood(self) -> None:
        """One bad endpoint among good ones is refused."""
        self.assertIn("nope:1", self.refused("--listen", "tcp:8000", "--listen", "nope:1"))


class GateTests(OptionsTestCase):
    """`--host` and `--cors-origin`."""

    def test_F73_hosts(self) -> None:
        """F73: the server answers to the given hosts, and to the addresses that it is bound to."""
        self.assertEqual(parse()["hosts"], ["127.0.0.1"])
        given = ["--host", "a.example", "--host=b.example:8000", "-l", "tcp:1", "-l", r"tcp:1:interface=2001\:db8\:\:1"]
        self.assertEqual(parse("--public", *given)["hosts"], ["a.example", "b.example:8000", "[2001:db8::1]"])

    def test_F73_needed(self) -> None:
        """F73: a listener that is reached under any name needs `--host`."""
        for endpoint in ("tcp:8000", "tcp6:8000", "tcp:8000:interface=0.0.0.0", "unix:/run/s", "haproxy:tcp:8000"):
            message = self.refused("--listen=tcp:8001:interface=127.0.0.1", "--listen", endpoint)
            self.assertIn(f"--listen {endpoint} needs --host NAME", message)
            self.assertEqual(parse("--public", "--listen", endpoint, "--host=*")["hosts"], ["*"])

    def test_malformed(self) -> None:
        """A host or an origin that no request can have is refused, with the option."""
        for given, message in (
            ("--host=", "--host: the value must not be empty"),
            ("--host=http://a/", "--host: 'http://a/' is not a host name, with or without a port"),
            ("--host=0.0.0.0", "--host: '0.0.0.0' is no host name in a URL; to listen on all interfaces, use --listen"),
            ("--host=::1", "--host: '::1' is not a host name"),
            ("--cors-origin=null", "--cors-origin: 'null' is the origin of any page that hides its own"),
            ("--cors-origin=http://a/", "--cors-origin: 'http://a/' is not an origin, such as https://example.com"),
        ):
            self.assertIn(message, self.refused(given))

    def test_origins(self) -> None:
        """Origins may be repeated."""
        given = ["http://localhost:5173", "*"]
        self.assertEqual(parse(*(f"--cors-origin={origin}" for origin in given))["cors-origin"], given)


class TextTests(OptionsTestCase):
    """`--text`."""

    def test_file(self) -> None:
        """The text of a file keeps its line ends and characters; an empty file is an empty text."""
        for text in ("Wörter, 一本 📖\r\nund mehr\n", ""):
            self.assertEqual(parse("--text", self.write(text.encode()))["words"], text)
            self.assertEqual(parse("-t", self.write(text.encode()))["words"], text)

    def test_F98_standardInput(self) -> None:
        """F98: `-` is standard input, which is not read yet. It has no pace, and must not be closed."""
        self.assertEqual(parse("--text", "-")["text"], "-")
        self.assertIn("--text -", self.refused("--text", "-", "--interval", "0.1"))
        self.patch(sys, "__stdin__", None)
        self.assertIn("closed", self.refused("--text", "-"))

    def test_unreadable(self) -> None:
        """The message about a file that cannot be read has its name and the reason."""
        folder = self.mktemp()
        Path(folder).mkdir(parents=True)
        for name, why in (("/nowhere/text", "No such file"), (folder, "directory"), ("x" * 5000, "too long")):
            message = self.refused("--text", name)
            self.assertIn(f"--text {name}", message)
            self.assertIn(why, message)

    def test_endlessText(self) -> None:
        """A file that is too large for memory is refused, also if it has no end."""
        self.assertIn("--text /dev/zero: the file has more than 67108864 bytes", self.refused("--text", "/dev/zero"))

    def test_notUTF8(self) -> None:
        """The message about a text that is not UTF-8 has the place of the first bad byte."""
        self.assertIn("byte 2", self.refused("--text", self.write(b"ab\xffcd")))
