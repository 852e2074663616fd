"""
Run the unit tests, which are all tests outside tests/integration, under trial:

    python tests/units.py [OPTIONS] [MODULES]

Trial takes names of modules and cannot leave a folder out. Without names this file lists the modules, and runs one
process for each processor core. The output of a process is shown when the process ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def unitModules() -> list[str]:
    """Return the names of the test modules outside tests/integration."""
    found = [path.relative_to(TESTS.parent) for path in sorted(TESTS.rglob("test_*.py"))]
    return [".".join(path.with_suffix("").parts) for path in found if path.parts[1] != "integration"]


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
        modules, count = unitModules(), os.cpu_count() or 1
        # Neighbors in different processes: the modules of one package take about the same time.
        shares = [
            [*arguments, f"--temp-directory=_trial_temp{number}", *modules[number::count]] for number in range(count)
        ]
    status = 0
    with ThreadPoolExecutor(len(shares)) as pool:
        for result in pool.map(runTrial, shares):
            sys.stdout.write(result.stdout)
            status = status or result.returncode
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
