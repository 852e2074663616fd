"""Tests for `sseserver.client.__main__`: the arguments of the command and its output."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from sseserver.client import Event
from sseserver.client.__main__ import Printer, main, makeParser
from tests.client.clients import URL


class CommandTests(SynchronousTestCase):
    """The command line and the output. tests/integration runs the command."""

    def test_wrong(self) -> None:
        """A wrong command line is explained in a sentence, with exit status 2."""
        for arguments, sentence in (
            ([], "required: URL"),
            (["ftp://server.test/"], "Not an absolute URL"),
            (["http://user:secret@server.test/"], "Authorization header"),
            ([URL, "--header", "nonsense"], "not of the form 'Name: value'"),
            ([URL, "--header", ": x"], "not of the form 'Name: value'"),
            ([URL, "--silence", "-1"], "not a number of seconds"),
            ([URL, "--silence", "soon"], "not a number of seconds"),
            ([URL, "--first-response-timeout", "never"], "not a number of seconds"),
            ([URL, "--last-event-id", "1\n2"], "an ID must not contain CR, LF or NUL"),
        ):
            with redirect_stderr(StringIO()) as said:
                self.assertEqual(self.assertRaises(SystemExit, main, arguments).code, 2)
            self.assertIn(sentence, " ".join(said.getvalue().split()))
            self.assertNotIn("secret", said.getvalue())

    def test_terminal(self) -> None:
        """Control characters become U+FFFD on a terminal, and stay unchanged elsewhere."""

        class Terminal(StringIO):
            def isatty(self) -> bool:
                return True

        for out, expected in ((Terminal(), "a\tb\n\ufffd[2J\ufffd\n"), (StringIO(), "a\tb\n\x1b[2J\x9b\n")):
            printer = Printer(makeParser().parse_args([URL]), out, StringIO())
            printer.printEvent(Event("a\tb\n\x1b[2J\x9b"))
            self.assertEqual(out.getvalue(), expected)
