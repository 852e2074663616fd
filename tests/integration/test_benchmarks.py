"""
The benchmarks: each question still starts sseserver and understands its answers.

No figure is looked at, only whether all events came.
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


def run(*arguments: str) -> str:
    """Run the benchmarks and return their output."""
    command = [sys.executable, str(FOLDER / "main.py"), *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout


class BenchmarkTests(SynchronousTestCase):
    """Small benchmarks of the real server."""

    def measured(self, *arguments: str) -> dict[str, list[dict[str, Any]]]:
        """Measure each question for one round, without binding to cores; return the runs, which name the build."""
        usual = ["--only", "sseserver", "--rounds", "1", "--patience", "0", "--no-pin"]
        small = [
            f"--set={part}" for part in ("viewers=3", "seconds=1", "at_once=3", "probes=5", "streams=2", "tokens=99")
        ]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "result.json"
            output = run(*usual, *small, "--folder", folder, "--json", str(file), *arguments)
            results = json.loads(file.read_text())
        build = f"{__version__} ({'compiled' if compiled else 'pure Python'})"
        self.assertIn(f"sseserver {build};", output)
        for name, result in results.items():
            self.assertEqual(result["machine"]["sseserver"], build)
            self.assertTrue(result["runs"], output)
            for figures in result["runs"]:
                self.assertEqual(figures.get("faults", 0), 0, (name, figures))
        return {name: result["runs"] for name, result in results.items()}

    def test_pacedQuestions(self) -> None:
        """Viewers of paced streams get every event: from each store, over TLS, of a published stream."""
        self.checkEvents(own_run_stores=2, own_run_tls=1, fan_out=1)

    def test_sharedQuestions(self) -> None:
        """Viewers of two servers that share a Redis get every event, too."""
        # On a busy machine a second can be too short for three servers.
        self.checkEvents("--set=seconds=4", shared_runs=1, shared_fan_out=2)

    def checkEvents(self, *arguments: str, **counts: int) -> None:
        """Measure questions, and check that there is the number of runs of each, and that each has events."""
        runs = self.measured(*counts, *arguments)
        self.assertEqual({name: len(results) for name, results in runs.items()}, counts)
        for name, results in runs.items():
            for figures in results:
                self.assertGreater(figures["events"], 0, name)

    def test_otherQuestions(self) -> None:
        """Viewers that come one after the other, or again all at once, get the whole text."""
        runs = self.measured("short", "storm")
        self.assertEqual([len(runs[name]) for name in ("short", "storm")], [2, 1])
        self.assertGreater(runs["short"][0]["per second"], 0)

    def test_relay(self) -> None:
        """Viewers of an upstream's answers get every token, in every format."""
        self.checkEvents(relay=2, relay_formats=6)

    def test_kept(self) -> None:
        """The questions of what is kept, printed or only waited for are answered."""
        self.checkRuns(idle_1000=1, first_byte=2, catch_up=2, store=1, program=2)

    def test_published(self) -> None:
        """The questions of what is published are answered."""
        self.checkRuns(publish=4, publish_tokens=4)

    def checkRuns(self, **counts: int) -> None:
        """Measure questions for a moment, and check that there is the number of runs of each."""
        parts = ("seconds=0.3", "megabytes=1", "publishers=2", "list=3", "rate=20", "heartbeat=1")
        runs = self.measured(*counts, *(f"--set={part}" for part in parts))
        self.assertEqual({name: len(results) for name, results in runs.items()}, counts)

    def test_turns(self) -> None:
        """Each kind of work beside a second client is done, and its waits are noted."""
        names = ("nothing", "tool call", "publish to viewers", "list of streams", "first text of an ended stream")
        chosen = [f"--only={name}" for name in names]
        output = run(
            *("turns", "--rounds=1", "--patience=0", "--no-pin", "--set=viewers=3", "--set=streams=150"),
            *("--set=tokens=99", "--set=pieces=9", *chosen),
        )
        self.assertNotIn("failed", output)
        for name in names:
            self.assertRegex(output, rf"(?m)^\| sseserver, {name}[^|]* \| [0-9.]+ \|")

    def test_comparison(self) -> None:
        """Two installations are measured in each round, and the second is divided by the first."""
        python = sys.executable
        tree = f"PYTHONPATH={ENVIRONMENT.get('PYTHONPATH', '')} {python}"
        output = run(
            *("own_run", "--rounds=1", "--patience=0", "--no-pin", "--set=viewers=3", "--set=seconds=0.5"),
            *("--ours", f"old={tree}", "--ours", f"new={tree} --plain", "--only=old", "--only=new"),
        )
        self.assertIn("| beside old | cpu | lag p99 | memory |", output)
        self.assertRegex(output, r"(?m)^\| new \| ([\d.]+ \([\d.]+ - [\d.]+\)|-) \|")

    def test_unknownQuestion(self) -> None:
        """A question that does not exist is refused with exit code 2."""
        error = self.assertRaises(subprocess.CalledProcessError, run, "nope")
        self.assertEqual(error.returncode, 2)
        self.assertIn("own_run", error.stderr)


class PageTests(SynchronousTestCase):
    """The README of the benchmarks."""

    def test_questions(self) -> None:
        """The README names every question, and every module that it names exists."""
        page = (FOLDER / "README.md").read_text("utf-8")
        names = re.findall(r"^(\w+) ", run("--list"), re.MULTILINE)
        self.assertGreater(len(names), 10)
        for name in names:
            self.assertRegex(page, rf"`({name}|{'_' + name.rpartition('_')[2]})`")
        for module in re.findall(r"`(\w+\.py)`", page):
            self.assertTrue(any(FOLDER.rglob(module)), module)
