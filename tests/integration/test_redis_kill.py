"""
Kills: `kill -9` of a server that shares its streams, and of the Redis itself, at random moments and at full work.

`SSESERVER_LONG=1` gives the rounds their full numbers.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.alive import LONG
from tests.redisservers import findMissing
from tests.reliability.checker import report
from tests.reliability.play import Plan, makeSeed, play

pytestmark = pytest.mark.skipif(findMissing() is not None, reason=str(findMissing()))


@pytest.mark.parametrize(
    ("victim", "sync", "rounds"), [("server", "everysec", 100), ("redis", "always", 20), ("redis", "everysec", 20)]
)
def test_kills(tmp_path: Path, victim: str, sync: str, rounds: int) -> None:
    """
    Viewers, publishers and runs survive each kill.

    A Redis that writes its file `always` loses nothing that was answered or seen. One that does so `everysec` loses at
    most the last seconds, which viewers are told. A server loses its own runs only: they end `interrupted`.
    """
    seed = makeSeed()
    rounds = rounds if LONG else 2
    plan = Plan(seed, 1.0, viewers=20, publishers=3, starters=3, node=0, sync=sync, kills=(victim, rounds))
    path = tmp_path / f"{seed}.jsonl"
    checker = play(plan, path)
    assert not checker.problems, f"seed {seed}, {path}\n{report(checker)}"
    assert checker.counts["fault"] == rounds
    assert checker.counts["publishes"] >= rounds
