"""
Runner: runs seeds, each twice, and tells how to replay what failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from tests.simulation.known import isKnown
from tests.simulation.play import Outcome, play

#: Runs a seed once, without some of its acts.
Play = Callable[[int, frozenset[int]], Outcome]

#: Records of a history that are shown with a broken promise.
_SHOWN = 40


def check(
    seed: int, twice: bool = True, strict: bool = False, without: frozenset[int] = frozenset(), play: Play = play
) -> Outcome:
    """
    Run a seed.

    Args:
        seed: The seed.
        twice: Whether it runs twice, to show that it is deterministic.
        strict: Whether known faults count, too.
        without: Numbers of the acts that are left out.
        play: Runs it.

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


def shorten(outcome: Outcome, play: Play = play) -> Outcome:
    """
    Leave out every act of a seed that the first broken promise does not need.

    Args:
        outcome: A run that has broken a promise.
        play: Runs a seed.

    Returns:
        The run with the fewest acts in which the same rule is broken first.
    """
    rule = outcome.violations[0].rule
    for act in sorted({*range(1, outcome.acts + 1)} - outcome.without):
        shorter = play(outcome.seed, outcome.without | {act})
        if shorter.violations and shorter.violations[0].rule == rule:
            outcome = shorter
    return outcome


def describe(outcome: Outcome, play: Play = play) -> str:
    """
    Describe the broken promises of a seed, a short history that leads to the first, and how to replay it.

    Args:
        outcome: A run of the seed.
        play: Has run it.
    """
    if not outcome.violations:
        return f"seed {outcome.seed} breaks no promise"
    outcome = shorten(outcome, play)
    module = play.__module__.rpartition(".")[0]
    without = sorted(outcome.without)
    time = outcome.violations[0].time
    first, records = f"{time:.6f} oracle", enumerate(outcome.records)
    # A promise that is judged at the end has no record of its own, and a time in hundredths of seconds.
    ends = (n for n, record in records if record.startswith(first) or float(record.partition(" ")[0]) > time + 0.01)
    end = next(ends, len(outcome.records))
    return "\n".join(
        [
            f"Seed {outcome.seed} breaks {len(outcome.violations)} promises:",
            *map(str, outcome.violations[:5]),
            f"The {min(end, _SHOWN)} records before the first:",
            *outcome.records[max(0, end - _SHOWN) : end],
            " ".join([f"Replay: python -m {module}", str(outcome.seed), *map("--without={}".format, without)]),
        ]
    )


def main(arguments: list[str] | None = None, play: Play = play) -> None:
    """
    Run the command line.

    Args:
        arguments: Its arguments.
        play: Runs a seed.
    """
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
    checkOne = partial(check, twice=not options.once, strict=options.strict, play=play)
    for seed in options.seeds:
        outcome = checkOne(seed, without=frozenset(options.without))
        sys.stdout.write("\n".join(outcome.records) + "\n")
        failed += report([outcome])
    start = time.perf_counter()
    for seed in range(options.first, options.first + options.count):
        failed += report([checkOne(seed)])
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
