"""
Tests for `sseserver.command.program`: `--exec` and the options that belong to it.
"""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

from sseserver.command.program import checkProgram
from tests.command.test_parsing import OptionsTestCase, parse


class ExecTests(OptionsTestCase):
    """`--exec`."""

    def test_oneSource(self) -> None:
        """A command and a text exclude each other."""
        self.assertIn("--text", self.refused("--exec", "cat", "--text", "-"))

    def test_promptAsProgram(self) -> None:
        """The prompt of a visitor can be an argument, but never the program."""
        for command in ("{prompt}", "bin/{prompt} a"):
            self.assertIn("not the program", self.refused("--exec", command))

    def test_withoutCommand(self) -> None:
        """The options of a program need a command."""
        for option in ("--asks", "--exec-env=PATH"):
            self.assertIn("needs --exec", self.refused(option))

    def test_F96_noProgram(self) -> None:
        """F96: a program that cannot be started is refused before anything listens."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        for name, mode in (("tool", 0o755), ("text", 0o644)):
            (folder / name).touch()
            (folder / name).chmod(mode)
        for program in ("nosuchprogram", "./nosuchprogram", "/nosuchprogram", "tool"):
            self.assertIn(f"there is no program '{program}'", self.refused("--exec", f"{program} -x"))
        self.assertIn(f"a folder, no program: '{folder}'", self.refused("--exec", f"{folder} -x"))
        parse("--exec", f"{folder}/tool")
        checkProgram(parse() | {"exec": ["./tool"], "exec-env": []}, str(folder))

    def test_forbidden(self) -> None:
        """A program that is there, but closed to this user, is not called missing."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        (folder / "text").touch(0o644)
        self.patch(os, "environ", {**os.environ, "PATH": f"/nowhere:{folder}"})
        for program in (f"{folder}/text", "text"):
            self.assertIn(f"this user may not execute the program '{program}'", self.refused("--exec", program))
        with patch.object(Path, "stat", side_effect=PermissionError):
            self.assertIn("may not look into the folder", self.refused("--exec", f"{folder}/text"))
            self.assertIn("there is no program 'text'", self.refused("--exec", "text"))

    def test_environment(self) -> None:
        """`--exec-env` names variables for the program, which must be set."""
        self.patch(os, "environ", {**os.environ, "A": "1", "B": "2"})
        self.assertEqual(parse("--exec=cat", "--exec-env=A", "--exec-env=B")["exec-env"], ["A", "B"])
        self.assertIn("--exec-env: the value must not be empty", self.refused("--exec=cat", "--exec-env="))
        for name in ("C", "A=1"):
            self.assertIn(f"--exec-env: {name!r}", self.refused("--exec=cat", f"--exec-env={name}"))

    def test_secrets(self) -> None:
        """No program gets a variable with a secret of the server, even if it is named."""
        for name in ("SSESERVER_UPSTREAM_KEY", "SSESERVER_JWT_KEY", "SSESERVER_LINK_KEY"):
            self.patch(os, "environ", {**os.environ, name: "canary" * 10})
            self.assertIn(f"--exec-env: {name} has a secret", self.refused("--exec=cat", f"--exec-env={name}"))

    def test_F85_noPidfd(self) -> None:
        """F85: a system that cannot watch programs refuses the option."""
        pidfd = os.pidfd_open
        self.addCleanup(setattr, os, "pidfd_open", pidfd)
        del os.pidfd_open
        self.assertIn("--exec: programs need `os.pidfd_open`", self.refused("--exec=cat"))
