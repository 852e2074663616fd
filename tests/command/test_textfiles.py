"""
Tests of `sseserver.command.textfiles`.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command import parsing
from sseserver.command.textfiles import TextFiles
from sseserver.options import OPTIONS
from sseserver.options.types import FILE
from tests.certificates import makePEM
from tests.command.test_parsing import OptionsTestCase, parse


class TextFileTests(SynchronousTestCase):
    """`TextFiles`: files of a few bytes."""

    def setUp(self) -> None:
        self.files = TextFiles(0.0)

    def refused(self, name: str) -> str:
        """Return the message about a file."""
        return str(self.assertRaises(usage.UsageError, self.files.read, name, "--option", 4))

    def test_limit(self) -> None:
        """A file as large as the limit is read, and a larger one is refused, also if it has no end."""
        file = Path(self.mktemp())
        file.write_bytes("aäb".encode())
        self.assertEqual(self.files.read(str(file), "--option", 4), "aäb")
        self.assertEqual(self.refused("/dev/zero"), "--option /dev/zero: the file has more than 4 bytes")

    def test_unreadable(self) -> None:
        """The message about a file that is missing or not UTF-8 says so."""
        self.assertEqual(self.refused("/nowhere/a"), "--option /nowhere/a: No such file or directory")
        file = Path(self.mktemp())
        file.write_bytes(b"ab\xff")
        self.assertIn("not UTF-8 at byte 2", self.refused(str(file)))

    def pipe(self, content: bytes) -> str:
        """Return the path of a pipe that has ended, as `<(…)` of a shell gives it."""
        end, begin = os.pipe()
        self.addCleanup(os.close, end)
        os.write(begin, content)
        os.close(begin)
        return f"/dev/fd/{end}"

    def test_pipe(self) -> None:
        """A pipe is read once, and is remembered; it has the same limit, and no other process has its content."""
        name = self.pipe(b"abcd")
        self.files.checkShared(None)
        for _ in range(2):
            self.assertEqual(self.files.read(name, "--option", 4), "abcd")
        message = str(self.assertRaises(usage.UsageError, self.files.checkShared, None))
        self.assertIn(f"--option {name}: this is a pipe", message)
        self.files.checkShared(name)
        long = self.pipe(b"abcdefgh")
        self.assertEqual(self.refused(long), f"--option {long}: the file has more than 4 bytes")
        self.files.endStart()
        self.assertEqual(self.files.read(name, "--option", 4), "abcd")
        late = self.pipe(b"late")
        self.assertIn("only when it starts", self.refused(late))

    def test_unended(self) -> None:
        """A pipe that nobody writes, and one without an end, are refused after a while."""
        name = self.mktemp()
        os.mkfifo(name)
        for _ in range(2):
            self.assertIn("has not ended within 0 seconds", self.refused(name))
            writer = os.open(name, os.O_RDWR)
            self.addCleanup(os.close, writer)
            os.write(writer, b"ab")


class PipeTests(OptionsTestCase):
    """Pipes where options name files."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {"PATH": "/usr/bin:/bin"})
        self.patch(parsing, "TextFiles", lambda: TextFiles(0.0))
        self.fifo = self.mktemp()
        os.mkfifo(self.fifo)

    def test_everywhere(self) -> None:
        """No option waits for a pipe that nobody writes, neither in `--check` nor at the start."""
        key = self.write(makePEM()[0])
        lines = {
            "text": ("--text={}",),
            "upstream-key-file": ("--upstream=http://a/", "--upstream-key-file={}"),
            "upstream-header": ("--upstream=http://a/", "--upstream-header=a: @{}"),
            "redis-credentials-file": ("--store=redis://a", "--redis-credentials-file={}"),
            "api-keys": ("--api-keys={}",),
            "jwt-key-file": ("--jwt-algorithm=HS256", "--jwt-key-file={}"),
            "link-key-file": ("--link-key-file={}",),
            "config": ("--config={}",),
            "listen": (f"--listen=ssl:1:interface=127.0.0.1:privateKey={key}:certKey={{}}",),
            "admin-listen": ("--admin-listen=ssl:1:interface=127.0.0.1:privateKey={}",),
        }
        self.assertEqual({option.name for option in OPTIONS if option.type is FILE} - lines.keys(), set())
        for name, words in lines.items():
            line = [word.format(self.fifo) for word in words]
            for more in ((), ("--check",)):
                self.assertRegex(self.refused(*line, *more), f"^--{name} .*{self.fifo}.*: this is a pipe")
        self.assertIn("is a pipe", self.refused("--check", f"--store=sqlite:{self.fifo}"))

    def test_workers(self) -> None:
        """Workers do not have a pipe, but get a configuration file."""
        end, begin = os.pipe()
        self.addCleanup(os.close, end)
        os.write(begin, b"k" * 40)
        os.close(begin)
        message = self.refused("--workers=2", "--store=redis://a", f"--link-key-file=/dev/fd/{end}")
        self.assertIn("--workers has several", message)
        end, begin = os.pipe()
        self.addCleanup(os.close, end)
        os.write(begin, b'workers = 2\nstore = "redis://a"\n')
        os.close(begin)
        self.assertEqual(parse(f"--config=/dev/fd/{end}")["workers"], 2)
