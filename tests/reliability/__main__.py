"""
`python -m tests.reliability --seed N --seconds S`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.reliability.checker import report
from tests.reliability.play import Plan, play


def main() -> int:
    """Play one seed after another; return how many have broken a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="number of seeds")
    parser.add_argument("--seconds", type=float, default=120.0, help="time of the nemesis in each seed")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--node", type=int, default=20, help="viewers in Node")
    parser.add_argument("--journal", type=Path, default=Path("journal"), help="begin of the journals' names")
    parser.add_argument("--keep", action="store_true", help="keep the journals of seeds that break nothing, too")
    options = parser.parse_args()
    broken = 0
    for seed in range(options.seed, options.seed + options.count):
        path = options.journal.with_name(f"{options.journal.name}-{seed}.jsonl")
        began = time.monotonic()
        checker = play(Plan(seed, options.seconds, options.viewers, node=options.node), path)
        print(f"seed {seed}, {time.monotonic() - began:.0f} s\n{report(checker)}", flush=True)  # noqa: T201
        broken += bool(checker.problems)
        if not checker.problems and not options.keep:
            path.unlink()
    return broken


if __name__ == "__main__":
    sys.exit(main())
