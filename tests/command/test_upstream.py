"""
Tests for `sseserver.command.upstream`: `--upstream` and the options that belong to it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from zope.interface import implementer_only

from sseserver.command.upstream import Credentials, listAPIs, readCredentials, reloadUpstream
from sseserver.options import KEY_VARIABLE
from sseserver.tap import makeSource
from sseserver.testing.sources import RecordingSink
from sseserver.values import Prompt
from tests.command.test_parsing import OptionsTestCase, parse


@implementer_only(IReactorTCP, IReactorTime)
class _ClockedReactor(MemoryReactorClock):
    """A reactor whose time is that of its clock: no `IReactorCore`, whose time passes by itself."""


def readAll(options: Any) -> dict[str, Credentials]:
    """Read the secrets of all APIs, by their names."""
    return {api.name: readCredentials(options, api) for api in listAPIs(options)}


def readKey(options: Any) -> str | None:
    """Read the key of the only API."""
    return readAll(options)[""].key


def readHeaders(options: Any) -> Any:
    """Read the headers of the only API."""
    return readAll(options)[""].headers


class UpstreamTests(OptionsTestCase):
    """`--upstream` and its key."""

    def test_url(self) -> None:
        """A base URL is valid with and without a final slash; the message about any other does not quote it."""
        self.assertEqual(parse("--upstream=http://127.0.0.1:11434/v1/")["upstream"], ["http://127.0.0.1:11434/v1"])
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
        self.assertEqual(parse(f"--upstream={url}")["upstream"], [url])

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

    def test_protocol(self) -> None:
        """The protocol is found out unless it is given; another one is refused."""
        self.assertIn("auto, chat or responses", self.refused("--upstream=http://a/", "--upstream-api=grpc"))
        for given in ((), ("--upstream-api=chat",), ("--upstream-api=responses",)):
            self.assertTrue(makeSource(MemoryReactorClock(), parse("--upstream=http://a/", *given)).takesPrompt)


class SeveralTests(OptionsTestCase):
    """Several values of `--upstream`, each with a name."""

    TWO = ("--upstream=local=http://127.0.0.1:81/v1/", "--upstream=cloud=https://b/v1?api-version=1")

    def setUp(self) -> None:
        """Have an environment of its own."""
        super().setUp()
        self.patch(os, "environ", {})

    def test_names(self) -> None:
        """Names stand before the URLs; the query of a URL is no name."""
        options = parse(*self.TWO)
        self.assertEqual(
            [tuple(api) for api in listAPIs(options)],
            [("local", "http://127.0.0.1:81/v1"), ("cloud", "https://b/v1?api-version=1")],
        )
        source: Any = makeSource(MemoryReactorClock(), options)
        self.assertEqual([each.name for each in source.upstreams], ["local", "cloud"])
        single: Any = makeSource(MemoryReactorClock(), parse(self.TWO[0]))
        self.assertEqual([each.name for each in single.upstreams], ["local"])

    def test_badNames(self) -> None:
        """A name that is missing, doubled or malformed is refused, and no URL is repeated."""
        for arguments, why in (
            (("--upstream=http://hunter2/", "--upstream=b=http://hunter2/"), "needs a name"),
            (("--upstream=b=http://hunter2/", "--upstream=b=http://hunter2/"), "two APIs have the name b"),
            (("--upstream=B=http://hunter2/",), "'B'"),
            (("--upstream==http://hunter2/",), "''"),
            (("--upstream=file=http://hunter2/",), "taken"),
            (("--upstream=b=hunter2",), "http://"),
        ):
            message = self.refused(*arguments)
            self.assertIn(why, message)
            self.assertNotIn("hunter2", message)

    def test_secrets(self) -> None:
        """Each API has the key and the headers with its name, and no other."""
        local, cloud = self.write(b"key-1\n"), self.write(b"key-2\n")
        options = parse(
            *self.TWO,
            f"--upstream-key-file=local={local}",
            f"--upstream-key-file=cloud={cloud}",
            "--upstream-header=cloud=x-team: a=b",
        )
        self.assertEqual(readAll(options), {"local": ("key-1", {}), "cloud": ("key-2", {"x-team": "a=b"})})

    def test_unnamed(self) -> None:
        """A secret without a name is refused: it would reach the wrong API."""
        path = self.write(b"hunter2")
        for argument in (f"--upstream-key-file={path}", f"--upstream-key-file=clod={path}", "--upstream-header=a: b"):
            self.assertIn("the names are local, cloud", self.refused(*self.TWO, argument))
        os.environ[KEY_VARIABLE] = "hunter2"
        message = self.refused(*self.TWO)
        self.assertIn(f"${KEY_VARIABLE}_LOCAL", message)
        self.assertNotIn("hunter2", message)

    def test_variables(self) -> None:
        """A key may be in a variable with the name of its API; the only API may also have the plain one."""
        os.environ[f"{KEY_VARIABLE}_CLOUD"] = "hunter2"
        self.assertEqual(readAll(parse(*self.TWO)), {"local": (None, {}), "cloud": ("hunter2", {})})
        os.environ[KEY_VARIABLE] = "plain"
        self.assertEqual(readAll(parse(self.TWO[0]))["local"].key, "plain")
        self.assertEqual(readAll(parse(self.TWO[1]))["cloud"].key, "hunter2")

    def test_shared(self) -> None:
        """A proxy and a protocol without a name are for the APIs that have none of their own."""
        reactor = MemoryReactorClock()
        shared = ("--upstream-proxy=http://proxy:1", "--upstream-proxy=local=none", "--upstream-api=cloud=responses")
        source: Any = makeSource(reactor, parse(*self.TWO, *shared))
        for name in ("local", "cloud"):
            RecordingSink().start(source, Prompt("?", (), {"model": f"{name}/m"}))
        self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", 81))
        self.assertEqual(len(reactor.tcpClients), 1)
        self.assertIn("auto, chat or responses", self.refused(*self.TWO, "--upstream-api=cloud=x"))

    def test_reload(self) -> None:
        """When one secret cannot be read again, none is changed."""
        paths = [self.write(b"key-1"), self.write(b"key-2")]
        files = [f"--upstream-key-file={name}={path}" for name, path in zip(("local", "cloud"), paths, strict=True)]
        options = parse(*self.TWO, *files)
        source = makeSource(MemoryReactorClock(), options)
        reloadUpstream(source, options)  # type: ignore[arg-type]
        Path(paths[1]).unlink()
        self.assertRaises(UsageError, reloadUpstream, source, options)

    def test_pinModel(self) -> None:
        """The pinned model may have the name of an API before it."""
        source = makeSource(MemoryReactorClock(), parse(*self.TWO, "--pin-model", "--model=local/m"))
        sink = RecordingSink()
        sink.start(source, Prompt("?", (), {"model": "m"}))
        self.assertEqual(sink.result.value.status, 404)
