"""
The run in Jepsen's manner: see docs/reliability.md.

`SSESERVER_RELIABILITY` is the number of seconds; the default is a short run.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.redisservers import findMissing
from tests.reliability.checker import report
from tests.reliability.play import Plan, makeSeed, play

pytestmark = pytest.mark.skipif(findMissing() is not None, reason=str(findMissing()))

#: Seconds. Time of the nemesis; 0 for the short run.
SECONDS = float(os.environ.get("SSESERVER_RELIABILITY", "0"))

#: The short run: a seed whose first faults are of many kinds.
SHORT = Plan(seed=1, seconds=12.0, viewers=24, publishers=3, starters=3, node=0)


def test_run(tmp_path: Path) -> None:
    """While connections, servers, Redis and its data break, no viewer loses anything that is promised."""
    plan = Plan(makeSeed(), SECONDS) if SECONDS else SHORT
    path = tmp_path / f"{plan.seed}.jsonl"
    checker = play(plan, path)
    # The journal of a seed that breaks something is kept by pytest.
    assert not checker.problems, f"seed {plan.seed}, {path}\n{report(checker)}"
    path.unlink()
