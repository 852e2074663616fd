"""
Tests for `sseserver.command.upstream`: `--upstream` and the options that belong to it.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer_only

from sseserver.command.upstream import readHeaders, readKey
from sseserver.options import KEY_VARIABLE
from sseserver.tap import makeSource
from sseserver.testing.sources import RecordingSink
from sseserver.values import Prompt
from tests.command.test_parsing import OptionsTestCase, parse


@implementer_only(IReactorTCP, IReactorTime)
class _ClockedReactor(MemoryReactorClock):
    """A reactor whose time is that of its clock: no `IReactorCore`, whose time passes by itself."""


class UpstreamTests(OptionsTestCase):
    """`--upstream` and its key."""

    def test_url(self) -> None:
        """A base URL is valid with and without a final slash; the message about any other does not quote it."""
        self.assertEqual(parse("--upstream=http://127.0.0.1:11434/v1/")["upstream"], "http://127.0.0.1:11434/v1")
        for url in ("", "127.0.0.1", "ftp://a/", "http://user:hunter2@a/", "http://a/#hunter2", "http://a:0/"):
            self.assertNotIn("hunter2", self.refused(f"--upstream={url}"))

    def test_oneSource(self) -> None:
        """A text and an upstream exclude each other; its other options need one."""
        self.assertIn("only one", self.refused("--upstream=http://a/", "--text=-"))
        for option in (f"--upstream-key-file={self.write(b'key')}", "--upstream-header=a: b", "--pin-model"):
            self.assertIn("needs --upstream", self.refused(option))

    def test_key(self) -> None:
        """The key is the one line of a file, or else an environment variable, and never among the options."""
        self.patch(os, "environ", {})
        self.assertIsNone(readKey(parse("--upstream=http://a/")))
        for data in (b"hunter2", b"hunter2\n", b"hunter2\r\n"):
            name = self.write(data)
            options = parse("--upstream=http://a/", f"--upstream-key-file={name}")
            self.assertEqual(readKey(options), "hunter2")
            self.assertNotIn("hunter2", repr(options))
        os.environ[KEY_VARIABLE] = "other"
        self.assertEqual((readKey(parse("--upstream=http://a/")), readKey(options)), ("other", "hunter2"))

    def test_badKey(self) -> None:
        """The message about a bad key names the file or the variable, and does not quote the key."""
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

    def test_longKey(self) -> None:
        """A key one byte longer than the limit is refused, not cut off."""
        options = parse("--upstream=http://a/", f"--upstream-key-file={self.write(b'x' * 16384)}")
        self.assertEqual(len(readKey(options) or ""), 16384)
        self.assertIn("16384", self.refused("--upstream=http://a/", f"--upstream-key-file={self.write(b'x' * 16385)}"))

    def test_source(self) -> None:
        """The source requests from the given host, within the given time limits."""
        for connect, first, words in ((1, 2, "in time"), (5, 2, "2 seconds")):
            arguments = [f"--connect-timeout={connect}", f"--first-token-timeout={first}", "--token-timeout=3"]
            reactor, sink = _ClockedReactor(), RecordingSink()
            source: Any = makeSource(reactor, parse("--upstream=http://127.0.0.1:81/v1", *arguments))
            self.assertTrue(source.takesPrompt)
            sink.start(source, Prompt("?"))
            ((host, port, _, _, _),) = reactor.tcpClients
            self.assertEqual((host, port), ("127.0.0.1", 81))
            reactor.advance(min(connect, first) - 0.1)
            self.assertFalse(sink.ended)
            reactor.advance(0.2)
            self.assertIn(words, str(sink.result.value))
        for name in ("connect-timeout", "first-token-timeout", "token-timeout"):
            self.assertIn("more than 0", self.refused("--upstream=http://a/", f"--{name}=0"))

    def test_F88_headers(self) -> None:
        """F88: a header has its value in the option, in a file or in a variable; files and variables stay secret."""
        self.patch(os, "environ", {"HUNTER": "hunter2"})
        path = self.write(b"hunter2\n")
        given = ["X-Title:  Mine: 1 ", f"api-key: @{path}", "api-token:$HUNTER"]
        options = parse("--upstream=http://a/", *[f"--upstream-header={header}" for header in given])
        self.assertEqual(options["upstream-header"], given)
        read = {"X-Title": "Mine: 1", "api-key": "hunter2", "api-token": "hunter2"}
        self.assertEqual(readHeaders(options), read)

    def test_F88_badHeaders(self) -> None:
        """F88: a header that cannot be sent is refused, and its value is not repeated."""
        self.patch(os, "environ", {})
        for header, why in (
            ("hunter2", "colon"),
            ("a b: hunter2", "name"),
            ("Host: hunter2", "cannot be replaced"),
            ("X:", "one line"),
            ("X: hunter2\xe4", "one line"),
            (f"X: @{self.write(b'hunter2' + bytes([10]) * 2)}", "one line"),
            ("X: @/nowhere/key", "No such file"),
            ("X: $HUNTER", "HUNTER is not set"),
        ):
            message = self.refused("--upstream=http://a/", f"--upstream-header={header}")
            self.assertIn(why, message)
            self.assertNotIn("hunter2", message)

    def test_F88_query(self) -> None:
        """F88: the base URL may have a query."""
        url = "https://a/openai?api-version=V"
        self.assertEqual(parse(f"--upstream={url}")["upstream"], url)

    def test_F77_pinModel(self) -> None:
        """F77: a model can be pinned if there is one."""
        self.assertIn("needs --model", self.refused("--upstream=http://a/", "--pin-model"))
        source = makeSource(MemoryReactorClock(), parse("--upstream=http://a/", "--pin-model", "--model=m"))
        sink = RecordingSink()
        sink.start(source, Prompt("?", (), {"model": "other"}))
        self.assertEqual(sink.result.value.status, 404)

    def test_F17_maxChunk(self) -> None:
        """F17: the size of a chunk is an option, 16 MiB by default."""
        self.assertEqual(parse("--upstream=http://a/")["max-chunk"], 16 << 20)
        self.assertEqual(parse("--upstream=http://a/", "--max-chunk=1M")["max-chunk"], 1 << 20)
