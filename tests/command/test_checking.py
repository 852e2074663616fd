"""
Tests for `sseserver.command.checking`, `sseserver.command.effective`: `--check`, and the options in effect.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

from twisted.python.usage import UsageError
from twisted.scripts.twistd import ServerOptions

from sseserver.command.checking import checkFiles
from sseserver.command.effective import isSecret, writeOptions
from sseserver.options import OPTIONS, optionNamed
from sseserver.options.row import Origin
from sseserver.options.tomltext import writeValue
from sseserver.options.types import FLAG, Form
from sseserver.web import descriptors
from tests.certificates import makePEM
from tests.command.test_given import GivenTestCase
from tests.command.test_parsing import parse

CANARY = "canary"


class CheckTestCase(GivenTestCase):
    """A folder for files, in an empty environment."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir(parents=True)

    def check(self, *arguments: str) -> str:
        """Check a command line without a fault; return the report."""
        output = io.StringIO()
        with patch.object(sys, "stdout", output), self.assertRaises(SystemExit) as caught:
            parse("--check", *arguments)
        self.assertEqual(caught.exception.code, 0)
        return output.getvalue()


class EffectiveTests(CheckTestCase):
    """`writeOptions`: the options in effect, as a file."""

    #: Command lines without a fault, which end in different states.
    LINES = (
        (),
        ("--plain", "--metrics", "--interval=.5", "--store=sqlite:a", "--sync=full", "--model=a"),
        (f"--exec={sys.executable} 'a b' \"{{prompt}}\"", "--prompt=x", "--max-bytes=1M", "--exec-env=PATH"),
        ("--upstream=http://a/v1", "--upstream-header=a: @{key}", "--pin-model", "--model=m", "--upstream-proxy=none"),
        ("--store=redis://a", "--workers=2", "--redis-prefix=x", "--admin-listen=tcp:9000:interface=127.0.0.1"),
        ("--listen=tcp:1", "--listen=unix:/run/s", "--host=a", "--host=b:1", "--cors-origin=*", "--public"),
        ("--jwt-algorithm=HS256", "--jwt-key-file={key}", "--link-key-file={key}", "--trusted-proxy=unix"),
        ("--text={key}", "--window=1M", "--max-runs=7", "--max-connections=100", "--max-viewers=1000"),
    )

    def test_again(self) -> None:
        """A server with the printed file has the same options as the one with the command line."""
        os.environ["PATH"] = "/usr/bin:/bin"
        key = self.write(b"k" * 40)
        for line in self.LINES:
            words = [word.replace("{key}", key) for word in line]
            options = parse(*words)
            printed = writeOptions(options, options.sources)
            again = parse(self.config(printed))
            for option in OPTIONS:
                if option.type is FLAG:
                    self.assertEqual(bool(again[option.name]), bool(options[option.name]), option.name)
                elif option.name != "config":
                    self.assertEqual(again[option.name], options[option.name], (line, option.name))
            # Everything is explicit now, and stays so.
            self.assertEqual(tomllib.loads(writeOptions(again, again.sources)), tomllib.loads(printed))

    def test_origins(self) -> None:
        """Each line has its origin; options without a value or an effect are left out."""
        os.environ["SSESERVER_STALL"] = "7"
        file = self.config('exec = "cat"\nretry = 5\nmetrics = false\n')
        os.environ["PATH"] = "/usr/bin:/bin"
        options = parse(file, "--linger=5", "--metrics")
        lines = writeOptions(options, options.sources).splitlines()
        for line in (
            "stall = 7  # environment",
            "retry = 5  # file",
            'exec = "cat"  # file',
            "linger = 5  # command line",
            "metrics = true  # command line",
            "drain = 30  # default",
            "plain = false  # default",
            'store = "memory"  # default',
            'listen = ["tcp:8000:interface=127.0.0.1:backlog=4096"]  # default',
        ):
            self.assertIn(line, lines)
        names = {line.partition(" ")[0] for line in lines if not line.startswith("#")}
        # No effect with a program; no effect with that store; no value.
        self.assertFalse({"interval", "sync", "connect-timeout", "model", "config", "check"} & names)
        origins = {origin.value for origin in Origin}
        for line in filter(None, lines):
            self.assertTrue(line.startswith("# ") or line.rpartition("  # ")[2] in origins, line)

    def test_lowered(self) -> None:
        """A number that the limit of open files lowers is printed as it counts."""
        self.patch(descriptors, "countDescriptors", lambda: 132)
        options = parse("--max-viewers=1000")
        expected = f"max-viewers = {options['max-viewers']}  # command line, lowered to the limit of open files\n"
        self.assertIn(expected, writeOptions(options, options.sources))

    def test_secrets(self) -> None:
        """A value with a secret is not printed; one that names the place of a secret is."""
        for name, text, secret in (
            ("upstream-header", f"a: {CANARY}", True),
            ("upstream-header", "a: @file", False),
            ("upstream-header", "a: $VARIABLE", False),
            ("upstream-proxy", f"http://user:{CANARY}@proxy:3128", True),
            ("upstream-proxy", "http://proxy:3128", False),
            ("upstream", f"http://a/v1?api-key={CANARY}", True),
            ("upstream", "http://a/v1?api-version=1", False),
            ("jwks-url", f"https://a/?token={CANARY}", True),
            ("model", "a@b", False),
        ):
            self.assertIs(isSecret(optionNamed(name), (text,)), secret, text)
        printed = self.check("--upstream=http://a/", f"--upstream-header=a: {CANARY}")
        self.assertIn("# upstream-header: not shown, since it has a secret  # command line\n", printed)
        self.assertNotIn(CANARY, printed)


class ForeignTests(CheckTestCase):
    """Values that nobody should see as they are."""

    #: Options that others need, with values.
    NEEDED = {
        "exec": "cat",
        "upstream": "http://a/",
        "store": "redis://a",
        "jwt-algorithm": "HS256",
        "trusted-proxy": "unix",
        "api-keys": "/dev/null",
    }

    def say(self, name: str, text: str, origin: Origin) -> str:
        """Check the value of an option; return the report, or the message."""
        os.environ.clear()
        os.environ |= {"PATH": "/usr/bin:/bin", "SSESERVER_JWT_KEY": "k" * 40}
        option = optionNamed(name)
        arguments = [f"--{other}={self.NEEDED[other]}" for other in option.needs[:1]]
        if origin is Origin.COMMAND_LINE:
            arguments.append(f"--{name}={text}")
        elif origin is Origin.ENVIRONMENT:
            os.environ[option.variable] = shlex.quote(text) if option.repeatable else text
        else:
            arguments.append(self.config(writeValue(option, (text,))))
        output = io.StringIO()
        try:
            with redirect_stdout(output):
                parse("--check", *arguments)
        except UsageError as error:
            return str(error)
        except SystemExit:
            return output.getvalue()
        raise AssertionError(arguments)

    def everywhere(self, *texts: str) -> Iterator[str]:
        """Yield what is said about texts, as values of each option, from each place."""
        for option in OPTIONS:
            for origin in option.origins if option.type is not FLAG else ():
                for text in texts:
                    if origin is not Origin.FILE or option.type.form is Form.TEXT:
                        yield self.say(option.name, text, origin)

    def test_secrets(self) -> None:
        """No report and no message has the credential of a value, whatever the option."""
        texts = (
            f"https://user:{CANARY}@host",
            f"https://a-user-with-a-name-that-is-longer-than-quotes:{CANARY}@host",
            f"http://user:{CANARY}",
            f"redis://:{CANARY}@host/0",
            f"https://user:{CANARY}@[host",
            f"https://user:{CANARY}\u2100@host",
            f"user:{CANARY}@host:80",
            f"https://host/?token={CANARY}",
            f"PASSWORD={CANARY} curl",
            f"curl -H 'Authorization: Bearer {CANARY}",
            f"cat -H 'x-api-key: {CANARY}'",
        )
        said = list(self.everywhere(*texts))
        self.assertGreater(len(said), 1000)
        for each in said:
            self.assertNotIn(CANARY, each)
        # Words of a value without quotes.
        self.assertNotIn(CANARY, self.refused("--upstream=http://a/", "--upstream-header=a:", CANARY))

    def test_unseen(self) -> None:
        """Every line of a report or a message can be seen as it is, also below twistd."""
        for each in self.everywhere("a\x1b[2J\u202eb\x9b", "/a\nb"):
            for line in each.removesuffix("\n").split("\n"):
                self.assertTrue(line.isprintable(), line)
        with self.assertRaises(SystemExit) as caught:
            ServerOptions().parseOptions(["-n", "sseserver", "--text=/\x1b[2J"])
        self.assertTrue(str(caught.exception.code).isprintable())

    def test_bytes(self) -> None:
        """A value that is not UTF-8 is refused, whatever the option."""
        for option in OPTIONS:
            if option.type is not FLAG:
                for origin in option.origins - {Origin.FILE}:
                    said = self.say(option.name, "a\udcff", origin)
                    self.assertRegex(said, "^(--|[$]).*: the value is not UTF-8$")


class CheckTests(CheckTestCase):
    """`--check`."""

    def test_variables(self) -> None:
        """Each variable with a secret that is set is named, with its effect and without its value."""
        for variable, words, said in (
            ("SSESERVER_UPSTREAM_KEY", ("--upstream=http://a/",), "used in place of --upstream-key-file."),
            ("SSESERVER_UPSTREAM_KEY", (), "has no effect with these options."),
            ("SSESERVER_REDIS_CREDENTIALS", ("--store=redis://a",), "used in place of --redis-credentials-file."),
            ("SSESERVER_REDIS_CREDENTIALS", ("--store=sqlite:a",), "has no effect with these options."),
            ("SSESERVER_JWT_KEY", ("--jwt-algorithm=HS256",), "used in place of --jwt-key-file."),
            ("SSESERVER_LINK_KEY", (), "used in place of --link-key-file."),
            ("SSESERVER_LINK_KEY", (f"--link-key-file={self.write(b'k' * 40)}",), "comes before it."),
        ):
            self.patch(os, "environ", {variable: CANARY * 8})
            printed = self.check(*words)
            self.assertRegex(printed, rf"(?m)^# [$]{variable} is set, .*{said}")
            self.assertNotIn(CANARY, printed)
        self.patch(os, "environ", {"http_proxy": f"http://user:{CANARY}@proxy:80"})
        printed = self.check("--upstream=http://a.example/")
        self.assertIn("# The environment names a proxy for --upstream.", printed)
        self.assertNotIn(CANARY, printed)
        self.assertNotIn("proxy for", self.check("--upstream=http://a.example/", "--upstream-proxy=none"))

    def test_report(self) -> None:
        """The report names the file and variables that are no options; everything in it is a comment, or an option."""
        os.environ["SSESERVER_PORT"] = "80"
        file = self.config("stall = 3\n")
        printed = self.check(file)
        self.assertIn(f"# File: {file.removeprefix('--config=')}\n", printed)
        self.assertIn("# $SSESERVER_PORT is no option; did you mean $SSESERVER_LISTEN?\n", printed)
        self.assertEqual(tomllib.loads(printed)["stall"], 3)
        self.assertIn("could start", printed.partition("\n")[0])

    def test_faults(self) -> None:
        """Everything that a start would refuse is refused, with one line."""
        key, certificate = map(self.write, makePEM())
        data = self.write(b"no database" * 20)
        for arguments, said in (
            (("--listen=tcp:x",), "--listen tcp:x"),
            (("--listen=tcp:8000",), "needs --host"),
            (("--listen=tcp:8000", "--host=a"), "--public"),
            ((f"--listen=ssl:1:interface=127.0.0.1:privateKey=/nowhere:certKey={certificate}",), "/nowhere"),
            ((f"--listen=ssl:1:interface=127.0.0.1:privateKey={key}:certKey={data}",), "PEM"),
            (("--exec=/nowhere/program",), "there is no program"),
            (("--text=/nowhere",), "--text /nowhere: No such file"),
            (("--upstream=http://a/", "--upstream-key-file=/nowhere"), "--upstream-key-file /nowhere: No such"),
            (("--api-keys=/nowhere",), "--api-keys /nowhere: No such file"),
            ((f"--api-keys={data}",), f"--api-keys {data}: "),
            (("--jwt-algorithm=RS256", f"--jwt-key-file={data}"), f"--jwt-key-file {data}: "),
            (("--jwt-algorithm=RS256", "--jwks-url=http://a.example/", "--jwt-audience=a"), "https"),
            ((f"--link-key-file={self.write(b'short')}",), "--link-key-file"),
            (("--store=redis://a/b",), "--store: the database"),
            (("--store=redis://a", "--redis-credentials-file=/nowhere"), "--redis-credentials-file /nowhere"),
            ((f"--store=sqlite:{self.folder}",), "this is a folder"),
            (("--store=sqlite:/nowhere/db",), "there is no folder '/nowhere'"),
            ((f"--store=sqlite:{data}",), "is not a file of sseserver"),
            (("--access-log=/nowhere/log",), "there is no folder '/nowhere'"),
            ((f"--access-log=/{'a' * 300}",), "File name too long"),
            ((f"--store=sqlite:/{'a' * 300}",), "File name too long"),
        ):
            self.assertIn(said, self.refused("--check", *arguments))
        good = f"--listen=ssl:1:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        self.assertIn("ssl:1", self.check(good))

    def test_nothing(self) -> None:
        """No file is made, and no address is bound."""
        with patch("socket.socket.bind", side_effect=AssertionError):
            files = (f"--store=sqlite:{self.folder}/db", f"--access-log={self.folder}/log")
            self.check(*files, f"--listen=unix:{self.folder}/s", "--host=*")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_rights(self) -> None:
        """A file or a folder that this user may not write is a fault."""
        self.patch(os, "access", lambda path, mode: False)
        path = f"{self.folder}/db"
        options = parse(f"--store=sqlite:{path}")
        with self.assertRaisesRegex(Exception, rf"--store sqlite:{path}: this user may not write it"):
            checkFiles(options, None)
        with (
            patch.object(Path, "is_dir", lambda path: False),
            patch.object(Path, "stat", side_effect=PermissionError(13, "Permission denied")),
            self.assertRaisesRegex(Exception, rf"--store sqlite:{path}: Permission denied"),
        ):
            checkFiles(options, None)
        # Below twistd's folder.
        with self.assertRaisesRegex(Exception, "there is no folder '/nowhere'"):
            checkFiles(parse("--store=sqlite:db"), "/nowhere")

    def test_systemd(self) -> None:
        """A socket that only a start by systemd has is not checked, and needs nothing; a wrong one is refused."""
        endpoint = "systemd:domain=INET:index=0"
        printed = self.check(f"--listen={endpoint}")
        self.assertIn(f"# Not checked, since only systemd has it: --listen {endpoint}\n", printed)
        self.assertEqual(tomllib.loads(printed)["listen"], [endpoint])
        for wrong in ("systemd:domain=INET", "systemd:domain=NOPE:index=0"):
            self.assertIn(f"--listen {wrong}", self.refused("--check", f"--listen={wrong}"))
        self.assertIn("not started by systemd", self.refused(f"--listen={endpoint}"))

    def test_twistd(self) -> None:
        """Below twistd a fault is one line for standard error; status 1 goes with it."""
        with self.assertRaises(SystemExit) as caught:
            ServerOptions().parseOptions(["-n", "sseserver", "--check", "--text=/nowhere"])
        self.assertEqual(caught.exception.code, "sseserver: --text /nowhere: No such file or directory")
