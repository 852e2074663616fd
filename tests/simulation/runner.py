"""
Runner: runs seeds, each twice, and tells how to replay what failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import replace

from tests.simulation.known import isKnown
from tests.simulation.play import Outcome, play

#: Records of a history that are shown with a broken promise.
_SHOWN = 40


def check(seed: int, twice: bool = True, strict: bool = False, without: frozenset[int] = frozenset()) -> Outcome:
    """
    Run a seed.

    Args:
        seed: The seed.
        twice: Whether it runs twice, to show that it is deterministic.
        strict: Whether known faults count, too.
        without: Numbers of the acts that are left out.

    Raises:
        AssertionError: The second run differs from the first.
    """
    outcome = play(seed, without)
    if twice:
        again = play(seed, without)
        if again.digest != outcome.digest:
            raise AssertionError(f"seed {seed} is not deterministic: {findDifference(outcome, again)}")
    if strict:
        return outcome
    return replace(outcome, violations=[one for one in outcome.violations if not isKnown(one)])


def findDifference(one: Outcome, other: Outcome) -> str:
    """Describe the first record in which two runs differ."""
    for first, second in zip(one.records, other.records, strict=False):
        if first != second:
            return f"\n  {first}\n  {second}"
    return f"{len(one.records)} records and {len(other.records)}"


def shorten(outcome: Outcome) -> Outcome:
    """
    Leave out every act of a seed that the first broken promise does not need.

    Args:
        outcome: A run that has broken a promise.

    Returns:
        The run with the fewest acts in which the same rule is broken first.
    """
    rule = outcome.violations[0].rule
    for act in sorted({*range(1, outcome.acts + 1)} - outcome.without):
        shorter = play(outcome.seed, outcome.without | {act})
        if shorter.violations and shorter.violations[0].rule == rule:
            outcome = shorter
    return outcome


def describe(outcome: Outcome) -> str:
    """Describe the broken promises of a seed, a short history that leads to the first, and how to replay it."""
    if not outcome.violations:
        return f"seed {outcome.seed} breaks no promise"
    outcome = shorten(outcome)
    without = sorted(outcome.without)
    first = f"{outcome.violations[0].time:.6f} oracle"
    end = next((n for n, record in enumerate(outcome.records) if record.startswith(first)), len(outcome.records))
    return "\n".join(
        [
            f"Seed {outcome.seed} breaks {len(outcome.violations)} promises:",
            *map(str, outcome.violations[:5]),
            f"The {min(end, _SHOWN)} records before the first:",
            *outcome.records[max(0, end - _SHOWN) : end],
            " ".join(["Replay: python -m tests.simulation", str(outcome.seed), *map("--without={}".format, without)]),
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, help="seeds to replay, with their whole history")
    parser.add_argument("--count", type=int, default=0, help="run so many seeds, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--once", action="store_true", help="run each seed only once")
    parser.add_argument("--strict", action="store_true", help="let known faults count, too")
    parser.add_argument("--stop", action="store_true", help="stop at the first seed that breaks a promise")
    parser.add_argument("--without", type=int, action="append", default=[], help="leave out this act of the seeds")
    options = parser.parse_args(arguments)
    failed = 0
    for seed in options.seeds:
        outcome = check(seed, not options.once, options.strict, frozenset(options.without))
        sys.stdout.write("\n".join(outcome.records) + "\n")
        failed += report([outcome])
    start = time.perf_counter()
    for seed in range(options.first, options.first + options.count):
        failed += report([check(seed, not options.once, options.strict)])
        if failed and options.stop:
            break
    if options.count:
        sys.stdout.write(f"{options.count} seeds, {failed} failed, {time.perf_counter() - start:.1f} s\n")
    sys.exit(failed > 0)


def report(outcomes: Iterable[Outcome]) -> int:
    """Print the broken promises, and return the number of seeds that broke one."""
    failed = 0
    for outcome in outcomes:
        if outcome.violations:
            failed += 1
            sys.stdout.write(f"seed {outcome.seed}: {outcome.violations[0]}\n")
            sys.stdout.flush()
    return failed
