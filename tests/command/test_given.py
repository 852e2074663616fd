"""
Tests for `sseserver.command.given`: options in environment variables and in a configuration file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from twisted.python.usage import UsageError

from sseserver.command.given import findUnknown, isForeign, splitWords, suggestOption
from sseserver.command.parsing import Options
from sseserver.options import OPTIONS
from sseserver.options.row import Origin
from sseserver.options.types import FLAG
from sseserver.options.variables import SECRETS
from tests.command.test_parsing import OptionsTestCase, parse
from tests.house import ROOT


class GivenTestCase(OptionsTestCase):
    """Options in an environment of their own."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {})

    def config(self, text: str) -> str:
        """Write a configuration file; return its option."""
        return f"--config={self.write(text.encode())}"

    def refusedIn(self, text: str, *arguments: str) -> str:
        """Assert that a configuration file is refused; return the message without the name of the file."""
        option = self.config(text)
        message = self.refused(option, *arguments)
        name = option.removeprefix("--config=")
        self.assertIn(name, message)
        return message.replace(name, "FILE")


class PrecedenceTests(GivenTestCase):
    """The command line comes before the environment, the environment before the file, and the file before defaults."""

    def test_order(self) -> None:
        """Each place is overridden by those before it."""
        file = self.config('heartbeat = 1\nstall = 1\nlinger = 1\nhost = ["a"]\n')
        os.environ.update(SSESERVER_HEARTBEAT="2", SSESERVER_STALL="2", SSESERVER_DRAIN="")
        options = parse(file, "--heartbeat=3")
        values = [options[name] for name in ("heartbeat", "stall", "linger", "drain")]
        self.assertEqual(values, [3.0, 2.0, 1.0, 30.0])
        origins = {name: given.origin for name, given in options.sources.items()}
        self.assertEqual(
            origins,
            {
                "config": Origin.COMMAND_LINE,
                "heartbeat": Origin.COMMAND_LINE,
                "stall": Origin.ENVIRONMENT,
                "linger": Origin.FILE,
                "host": Origin.FILE,
            },
        )
        self.assertEqual(options.given, frozenset(origins))

    def test_repeated(self) -> None:
        """An option that may be given more than once has the values of one place, not of all."""
        file = self.config('host = ["a", "b"]\n')
        self.assertEqual(parse(file)["host"], ["a", "b"])
        os.environ["SSESERVER_HOST"] = "c d"
        self.assertEqual(parse(file)["host"], ["c", "d"])
        self.assertEqual(parse(file, "--host=e")["host"], ["e"])

    def test_flags(self) -> None:
        """A flag of the file is switched off by its variable; a flag that is off conflicts with nothing."""
        file = self.config("metrics = true\nasks = false\n")
        self.assertTrue(parse(file)["metrics"])
        for text, isOn in (("0", False), ("false", False), ("1", True), ("true", True)):
            os.environ["SSESERVER_METRICS"] = text
            self.assertIs(bool(parse(file)["metrics"]), isOn)
        self.assertNotIn("asks", parse(file).given)

    def test_file(self) -> None:
        """The environment may name the file."""
        os.environ["SSESERVER_CONFIG"] = self.write(b"retry = 7\n")
        options = parse()
        self.assertEqual(options["retry"], 7)
        assert options.document is not None
        self.assertEqual(options.document.text, "retry = 7\n")
        os.environ["SSESERVER_CONFIG"] = "/nowhere"
        self.assertEqual(self.refused(), "$SSESERVER_CONFIG /nowhere: No such file or directory")

    def test_document(self) -> None:
        """A file that was read already is not read again: a worker has the options of its pool."""
        path = Path(self.write(b"retry = 7\n"))
        document = parse(f"--config={path}").document
        path.write_text("retry = 8\n")
        options = Options(document)
        options.parseOptions([f"--config={path}"])
        self.assertEqual(options["retry"], 7)

    def test_every(self) -> None:
        """Each option can be given in all places that the table names, by its type."""
        for option in OPTIONS:
            text = "1" if option.type is FLAG or option.default is None else option.type.write(option.default)
            os.environ.clear()
            os.environ[option.variable] = text
            for place in (f"${option.variable}", f"--{option.name}"):
                try:
                    given = parse().given
                except UsageError as error:
                    # It was understood; but it needs something else.
                    self.assertRegex(str(error), rf"^(--{option.name}|\${option.variable})\b", option.name)
                    given = frozenset({option.name})
                self.assertEqual(option.name in given, Origin.ENVIRONMENT in option.origins, place)


class FileTests(GivenTestCase):
    """Mistakes in a file: one line that names the file, the key, and the form."""

    def test_unreadable(self) -> None:
        """A file that is missing, too large or not UTF-8."""
        self.assertEqual(self.refused("--config=/nowhere"), "--config /nowhere: No such file or directory")
        self.assertIn("not UTF-8 at byte 1", self.refused(f"--config={self.write(b'a' + bytes([255]))}"))
        self.assertIn("more than 131072 bytes", self.refused(f"--config={self.write(b'#' * 200_000)}"))

    def test_syntax(self) -> None:
        """A file that is not TOML; the message has the line, where there is one."""
        self.assertEqual(self.refusedIn("a = \n"), "FILE: not TOML: Invalid value (at line 1, column 5)")
        self.assertIn("not TOML", self.refusedIn("retry = 1\nretry = 2\n"))
        self.assertIn("not TOML", self.refusedIn(f"retry = {'9' * 5000}\n"))
        self.assertIn("too deeply", self.refusedIn("a = " + "[" * 50_000))

    def test_unknown(self) -> None:
        """An unknown key, with the nearest known one."""
        for text, meant in (
            ("max_viewers = 1", "no option 'max_viewers'; did you mean max-viewers?"),
            ("intervall = 1", "no option 'intervall'; did you mean interval?"),
            ("port = 8000", "no option 'port'; did you mean listen?"),
            ("zzz = 1", "no option 'zzz'; see --help"),
            ("[viewers]\nstall = 1", "no table [viewers]; options stand at the top, without tables"),
        ):
            self.assertEqual(self.refusedIn(text), f"FILE: there is {meant}")
        for text in ('config = "a"', "check = true"):
            self.assertIn("cannot stand in a file", self.refusedIn(text))

    def test_forms(self) -> None:
        """A value of the wrong form, and one that the option refuses."""
        for text, said in (
            ('max-viewers = "500"', "FILE: max-viewers: the value must be a whole number"),
            ("plain = 1", "FILE: plain: the value must be true or false"),
            ("host = 1", 'FILE: host: the value must be an array: host = ["…", "…"]'),
            ("retry = 0", "FILE: retry: '0' is not a whole number of 1 or more"),
            ("stall = nan", "FILE: stall: nan is not a finite number"),
            ('window = "1K"', "FILE: window: 1K is too small; the minimum is 64K"),
            ('model = ""', "FILE: model: the value must not be empty"),
            (f"retry = 0x{'f' * 5000}", "FILE: retry: the number is too large"),
        ):
            self.assertEqual(self.refusedIn(text), said)

    def test_places(self) -> None:
        """A message about two options names the places of those that the command line does not show."""
        os.environ["SSESERVER_INTERVAL"] = "1"
        expected = "--interval has no effect with --exec (given by $SSESERVER_INTERVAL and FILE: exec)"
        self.assertEqual(self.refusedIn('exec = "cat"'), expected)
        expected = "--interval has no effect with --exec (given by $SSESERVER_INTERVAL)"
        self.assertEqual(self.refused("--exec=cat"), expected)
        self.assertEqual(self.refused("--exec=cat", "--interval=1"), "--interval has no effect with --exec")


class VariableTests(GivenTestCase):
    """Environment variables."""

    def test_misspelt(self) -> None:
        """A variable that is nearly the one of an option, or of a secret, is refused."""
        for name, meant in (
            ("SSESERVER_MAXVIEWERS", "SSESERVER_MAX_VIEWERS"),
            ("SSESERVER_MAX_VIEWER", "SSESERVER_MAX_VIEWERS"),
            ("SSESERVER_LISTENS", "SSESERVER_LISTEN"),
            ("SSESERVER_JWT_KEYS", "SSESERVER_JWT_KEY"),
            ("SSESERVER_UPSTREAM_KEYFILE", "SSESERVER_UPSTREAM_KEY_FILE"),
        ):
            self.patch(os, "environ", {name: "1"})
            self.assertEqual(self.refused(), f"${name} is no option; did you mean ${meant}?")

    def test_others(self) -> None:
        """Variables of other programs are left alone: those of our tests and tools, secrets, those of Kubernetes."""
        files = [path for path in (ROOT / "tests").rglob("*.py") if not path.samefile(__file__)]
        texts = [path.read_text("utf-8") for path in (*files, ROOT / "tox.ini", ROOT / "setup.py")]
        found = re.findall(r"\bSSESERVER_[A-Z_]*[A-Z]\b", "\n".join(texts))
        options = {option.variable for option in OPTIONS}
        used = set(found) - options
        self.assertIn("SSESERVER_SEEDS", used)
        os.environ.update(dict.fromkeys(used, "7"))
        for service in ("SSESERVER", "SSESERVER_ADMIN", "SSESERVER_REDIS"):
            os.environ |= {
                f"{service}_SERVICE_HOST": "10.0.0.1",
                f"{service}_SERVICE_PORT": "8000",
                f"{service}_SERVICE_PORT_HTTP": "8000",
                f"{service}_PORT": "tcp://10.0.0.1:8000",
                f"{service}_PORT_8000_TCP": "tcp://10.0.0.1:8000",
                f"{service}_PORT_8000_TCP_PROTO": "tcp",
                f"{service}_PORT_8000_TCP_PORT": "8000",
                f"{service}_PORT_8000_TCP_ADDR": "10.0.0.1",
            }
        for name in SECRETS.keys() - {"SSESERVER_REDIS_CREDENTIALS"}:
            os.environ[name] = "k" * 40
        self.assertEqual(parse().given, frozenset())
        self.assertEqual(list(findUnknown(os.environ)), [])

    def test_newcomers(self) -> None:
        """A variable with a newcomer's name of an option may be another program's: no mistake, but a hint."""
        os.environ.update(SSESERVER_PORT="8000", SSESERVER_URL="http://a/", SSESERVER_OTHER="1")
        self.assertEqual(parse().given, frozenset())
        self.assertEqual(
            list(findUnknown(os.environ)),
            [
                "$SSESERVER_PORT is no option; did you mean $SSESERVER_LISTEN?",
                "$SSESERVER_URL is no option; did you mean $SSESERVER_UPSTREAM?",
            ],
        )
        self.assertFalse(isForeign("SSESERVER_PORT", "8000"))

    def test_values(self) -> None:
        """A value that the option refuses, with the name of the variable."""
        for name, value, said in (
            ("SSESERVER_RETRY", "soon", "'soon' is not a whole number of 1 or more"),
            ("SSESERVER_PLAIN", "yes", "'yes' is unknown; use true or 1, or false or 0"),
            ("SSESERVER_HOST", "'a", "no closing quotation"),
            ("SSESERVER_HOST", "http://a/", "'http://a/' is not a host name"),
        ):
            self.patch(os, "environ", {name: value})
            self.assertIn(f"${name}: {said}", self.refused())

    def test_words(self) -> None:
        """Values of a repeatable option are separated by spaces, and may stand in quotes; a backslash is one."""
        for text, words in (
            ("a", ("a",)),
            (" a  b\nc ", ("a", "b", "c")),
            (r"tcp:1:interface=\:\:1 unix:/s", (r"tcp:1:interface=\:\:1", "unix:/s")),
            ("""'api-key: @key.txt' "x: $Y" #z""", ("api-key: @key.txt", "x: $Y", "#z")),
            ("   ", ()),
        ):
            self.assertEqual(splitWords(text), words)

    def test_help(self) -> None:
        """Neither the environment nor the file keeps `--help` from being printed."""
        os.environ["SSESERVER_LISTENS"] = "1"
        with self.assertRaises(SystemExit):
            parse("--config=/nowhere", "--version")

    def test_suggestion(self) -> None:
        """The nearest option is found in any case, with dashes or underscores."""
        self.assertEqual(suggestOption("Max_Viewers", 0.9, byOtherNames=False), "max-viewers")
        self.assertEqual(suggestOption("BIND", 0.9, byOtherNames=True), "listen")
        self.assertIsNone(suggestOption("bind", 0.9, byOtherNames=False))
