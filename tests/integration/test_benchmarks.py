"""
The benchmarks start the server, understand its output, and can be found from their README.

The tests look at no figure, only at whether every event arrived.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver import __version__, compiled
from tests.integration.servers import ENVIRONMENT, PATIENCE, ROOT

FOLDER = ROOT / "benchmarks"


def run(script: str, *arguments: str) -> str:
    """Run a script and return its output."""
    command = [sys.executable, str(FOLDER / script), *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout


class BenchmarkTests(SynchronousTestCase):
    """
    Small benchmarks of the real server.
    """

    def measured(self, script: str, *arguments: str) -> list[dict[str, Any]]:
        """Measure sseserver once, without binding anything to cores, and return the figures, which name the build."""
        usual = ["--only", "sseserver", "--rounds", "1", "--patience", "0", "--no-pin"]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "result.json"
            output = run(script, *usual, "--json", str(file), *arguments)
            said = json.loads(file.read_text())
        result: list[dict[str, Any]] = said["runs"]
        build = f"{__version__} ({'compiled' if compiled else 'pure Python'})"
        self.assertEqual(build, said["machine"]["sseserver"])
        self.assertIn(f"sseserver {build};", output)
        self.assertTrue(result, output)
        return result

    def test_ownRun(self) -> None:
        """Viewers with runs of their own get the right events, with each store and over TLS."""
        few = ["--viewers", "3", "--seconds", "1"]
        stores = self.measured("own_run.py", *few, "--store", "memory", "--store", "sqlite")
        for result in (*stores, *self.measured("own_run.py", *few, "--tls")):
            self.assertGreater(result["outcome"]["events"], 0)
            self.assertEqual({0}, set(result["outcome"]["check"].values()))

    def test_shortStreams(self) -> None:
        """Viewers that arrive one after the other get the whole text, by both kinds of request."""
        results = self.measured("short.py", "--seconds", "1", "--at-once", "3")
        self.assertEqual(2, len(results))
        for result in results:
            self.assertGreater(result["rate"], 0)
            self.assertEqual(0, result["faults"])


class HouseTests(SynchronousTestCase):
    """The folder with the benchmarks as a whole."""

    def test_everyScriptIsInTheTable(self) -> None:
        """The README names every script that can be run, and no other."""
        page = (FOLDER / "README.md").read_text().partition("## Results")[0]
        named = set(re.findall(r"`(\w+\.py)", page))
        scripts = {file.name for file in FOLDER.glob("*.py") if "__main__" in file.read_text()}
        self.assertEqual(set(), scripts - named)
        self.assertEqual(set(), {name for name in named if not any(FOLDER.rglob(name))})

    def test_everyQuestionHasItsScript(self) -> None:
        """The command for all benchmarks knows every script that it runs."""
        commands = re.findall(r"python benchmarks/(\S+)", run("all.py", "--list"))
        self.assertGreater(len(commands), 10)
        self.assertEqual(set(), {name for name in commands if not (FOLDER / name).exists()})
