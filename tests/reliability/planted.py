"""
Planted bugs: does the run notice when the Redis store is broken?

`python -m tests.reliability.planted` copies the tree, breaks the copy in one way after the other, and plays seeds until
one breaks a promise. `python -m tests.reliability.planted WORD` plants only the bugs whose names contain the word.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.planted import ROOT, Bug

#: Number. Seeds in which each bug must be found.
SEEDS = 8

#: Seconds. Time of the nemesis in each seed.
SEED_TIME = 40


@dataclass(frozen=True, slots=True)
class Plant:
    """
    One way to break the store.

    Attributes:
        name: The fault.
        changes: The texts that are replaced.
    """

    name: str
    changes: tuple[Bug, ...]

    def plant(self, root: Path) -> None:
        """Change a copy of the tree."""
        for change in self.changes:
            change.plant(root)


def _change(file: str, old: str, new: str) -> Bug:
    return Bug(file, f"stores/redis/{file}.py", old, new)


_JOIN = "        stream.track(Tracking.JOINING, self.seconds())\n"
_FOLLOW = "self._client.follow(stream.place.tail)"

PLANTS = (
    Plant("IDs of Redis", (_change("script", "(first + i - 1) .. '-0', 'kind'", "'*', 'kind'"),)),
    Plant("no epoch check", (_change("script", "return redis.pcall('GET', key) == generation\n", "return true\n"),)),
    Plant(
        "no fencing",
        (
            _change(
                "scripts",
                "  if s.was == 'open' and s.owner ~= node then return {'owner', s.last} end\n"
                "  if s.epoch ~= epoch then return {'missing', 0} end\n"
                "  if s.was ~= 'open' then return {'ended', s.last} end\n",
                "",
            ),
        ),
    ),
    # Without its check for holes: that would repair most of what is missed.
    Plant(
        "subscribe after reading",
        (
            _change(
                "follower",
                f"{_JOIN}        {_FOLLOW}\n",
                f"{_JOIN}        self.read(stream).addCallback(lambda _: {_FOLLOW})\n",
            ),
            _change(
                "follower",
                "entries.epoch != stream.epoch or entries.first > streamLog.last + 1:\n            self.read",
                "entries.epoch != stream.epoch:\n            self.read",
            ),
        ),
    ),
)


def find(plant: Plant) -> str:
    """
    Play seeds on a broken copy of the tree.

    Args:
        plant: The bug.

    Returns:
        The seed that has found it, and the kinds of the promises that it breaks; nothing if none has.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in ("sseserver", "tests", "twisted"):
            shutil.copytree(ROOT / name, Path(folder, name), ignore=shutil.ignore_patterns("__pycache__"))
        plant.plant(Path(folder))
        size = ("--seconds", str(SEED_TIME), "--viewers", "60", "--node", "0")
        command = [sys.executable, "-m", "tests.reliability", *size, "--journal", str(Path(folder, "journal"))]
        environment = {**os.environ, "PYTHONPATH": folder}
        for seed in range(SEEDS):
            played = subprocess.run(
                [*command, "--seed", str(seed)],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            kinds = re.findall("broken promises: (.*)", played.stdout)
            if not kinds:
                # The run itself has failed: that finds nothing.
                print(f"{plant.name}: seed {seed} failed\n{played.stderr[-1000:]}", flush=True)  # noqa: T201
            elif played.returncode:
                return f"seed {seed}: {kinds[-1]}"
    return ""


def main(words: Sequence[str]) -> int:
    """Plant the bugs whose names contain a word, or all; return how many were not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.planted")
    parser.add_argument("word", nargs="?", default="")
    word = parser.parse_args(words).word
    missed = 0
    for plant in PLANTS:
        if word in plant.name:
            began = time.monotonic()
            found = find(plant)
            missed += not found
            print(f"{plant.name}: {found or 'NOT FOUND'} ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
