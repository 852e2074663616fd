"""
The run in Jepsen's manner: see docs/reliability.md.

By default it takes two minutes. With `SSESERVER_RELIABILITY` it has that number of seconds, another seed each time,
and more viewers.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.redisservers import findMissing
from tests.reliability.checker import report
from tests.reliability.play import Plan, makeSeed, play

pytestmark = pytest.mark.skipif(findMissing() is not None, reason=str(findMissing()))

#: Seconds. Time of the nemesis; 0 for the usual run.
SECONDS = float(os.environ.get("SSESERVER_RELIABILITY", "0"))

#: The run of the test command, beside other tests: fewer viewers than of a run of its own.
USUAL = Plan(seed=1, seconds=120.0, viewers=60, publishers=4, starters=4, node=6)


def test_run(tmp_path: Path) -> None:
    """While connections, servers, Redis and its data break, no viewer loses anything that is promised."""
    plan = Plan(makeSeed(), SECONDS) if SECONDS else USUAL
    path = tmp_path / f"{plan.seed}.jsonl"
    checker = play(plan, path)
    # The journal of a seed that breaks something is kept by pytest.
    assert not checker.problems, f"seed {plan.seed}, {path}\n{report(checker)}"
    path.unlink()
