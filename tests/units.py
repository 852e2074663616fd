"""
Run the unit tests, which are all tests outside tests/integration, under trial:

    python tests/units.py [OPTIONS] [MODULES]

Trial takes names of modules and cannot leave a folder out. Without names this file lists the modules, and runs two
processes for each processor core, since some tests wait for a disk or a program. Each has about as much work as the
others. The output of a process is shown when it ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parent

#: Seconds. Times of the longest modules, and of any other one; only their ratios matter.
LONGEST = {
    "tests.simulation.test_simulation": 24.0,
    "tests.web.access.test_oracle": 12.0,
    "tests.test_model": 10.0,
    "tests.stores.sqlite.test_power": 9.0,
    "tests.test_cycles": 9.0,
    "tests.test_cut": 7.0,
    "tests.test_cycles_runs": 6.0,
    "tests.simulation.test_planted": 4.0,
    "tests.web.test_mutations": 3.0,
    "tests.test_cycles_client": 2.6,
}
USUAL = 0.2


def unitModules() -> list[str]:
    """Return the names of the test modules outside tests/integration."""
    found = [path.relative_to(TESTS.parent) for path in sorted(TESTS.rglob("test_*.py"))]
    return [".".join(path.with_suffix("").parts) for path in found if path.parts[1] != "integration"]


def share(modules: list[str], count: int) -> list[list[str]]:
    """Deal modules, the longest first, to as many processes: each to the one with the least work so far."""
    shares: list[list[str]] = [[] for _ in range(count)]
    work = [0.0] * count
    for name in sorted(modules, key=lambda name: -LONGEST.get(name, USUAL)):
        least = work.index(min(work))
        shares[least].append(name)
        work[least] += LONGEST.get(name, USUAL)
    return shares


def runTrial(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run trial in a process of its own, with its output in one piece."""
    command = [sys.executable, "-m", "twisted.trial", "--reporter=text", *arguments]
    return subprocess.run(
        command, cwd=TESTS.parent, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def main(arguments: list[str]) -> int:
    """Run trial and return its exit status, or that of a process that failed."""
    if any(not argument.startswith("-") for argument in arguments):
        shares = [arguments]
    else:
        shares = [
            [*arguments, f"--temp-directory=_trial_temp{number}", *modules]
            for number, modules in enumerate(share(unitModules(), 2 * (os.cpu_count() or 1)))
        ]
    status = 0
    with ThreadPoolExecutor(len(shares)) as pool:
        for result in pool.map(runTrial, shares):
            sys.stdout.write(result.stdout)
            status = status or result.returncode
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
