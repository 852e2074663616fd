"""
Run the unit tests, which are all tests outside tests/integration, under trial:

    python tests/units.py [--coverage] [OPTIONS] [MODULES]

Trial takes names of modules and cannot leave a folder out. Without names this file lists the modules, and runs more
processes than there are processor cores, since some tests wait for a disk or a program. Each has about as much work as
the others. The output of a process is shown when it ends, and that of one with failures after all others.

With `--coverage` each process leaves a file `.coverage.…` for `coverage combine`.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parent

#: Seconds. Times of the longest modules, and of any other one, on a machine that does nothing else; only their ratios
#: matter.
LONGEST = {
    "tests.stores.redis.test_store": 45.0,
    "tests.stores.redis.test_foreign": 25.0,
    "tests.stores.redis.test_faults": 10.5,
    "tests.stores.redis.test_sentinel": 10.0,
    "tests.stores.redis.test_takeover": 8.5,
    "tests.test_cut": 8.5,
    "tests.simulation.test_planted": 6.5,
    "tests.sources.test_process": 6.5,
    "tests.stores.redis.test_connections": 6.5,
    "tests.service.test_restarts": 5.0,
    "tests.stores.redis.test_reliability": 4.0,
    "tests.web.test_mutations": 4.0,
    "tests.stores.redis.test_sharing": 3.5,
    "tests.stores.sqlite.test_power": 3.5,
    "tests.apis.native.test_publishing": 2.5,
    "tests.formats.test_rendering": 2.5,
    "tests.sources.test_process_end": 2.5,
    "tests.stores.redis.test_processes": 2.5,
    "tests.protocols.test_jsonsteps": 2.0,
    "tests.web.test_heads": 2.0,
    "tests.formats.test_places": 2.0,
    "tests.stores.redis.test_cluster": 2.0,
    "tests.test_recording": 2.0,
    "tests.wire.test_decoder_properties": 2.0,
    "tests.simulation.redis.test_planted": 1.5,
    "tests.streams.test_buffer": 1.5,
    "tests.formats.test_translation": 1.5,
}
USUAL = 0.1

#: Modules that take the same lines thousands of times. Coverage makes them three to ten times as slow, so they run
#: without it; each of their lines is measured in another test.
REPEATING = (
    "tests.simulation.",
    "tests.stores.sqlite.test_power",
    "tests.test_cut",
    "tests.test_model",
    "tests.web.access.test_oracle",
    "tests.web.test_mutations",
    "tests.wire.test_decoder_properties",
)

#: Seconds. Times of each test of modules that are too long for one process.
SPLIT = {
    "tests.simulation.redis.test_simulation": 7.0,
    "tests.simulation.test_simulation": 5.0,
    "tests.test_model": 10.0,
}


def findUnits() -> dict[str, float]:
    """Return the names of the test modules outside tests/integration, or of their tests, with their times."""
    units: dict[str, float] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        name = ".".join(path.relative_to(TESTS.parent).with_suffix("").parts)
        if name in SPLIT:
            units |= dict.fromkeys([f"{name}.{test}" for test in findTests(path)], SPLIT[name])
        elif not name.startswith("tests.integration."):
            units[name] = LONGEST.get(name, USUAL)
    return units


def findTests(path: Path) -> list[str]:
    """Return the names of the tests in a file, such as `RunTests.test_ended`."""
    classes = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        f"{one.name}.{node.name}"
        for one in classes
        for node in one.body
        if isinstance(node, functions) and node.name.startswith("test_")
    ]


def share(units: dict[str, float], count: int) -> list[list[str]]:
    """Deal tests, the longest first, to as many processes: each to the one with the least work so far."""
    shares: list[list[str]] = [[] for _ in range(count)]
    work = [0.0] * count
    for name in sorted(units, key=lambda name: -units[name]):
        least = work.index(min(work))
        shares[least].append(name)
        work[least] += units[name]
    return shares


def runTrials(names: list[str], options: list[str], coverage: bool) -> subprocess.CompletedProcess[str]:
    """Run trial in processes of their own: with coverage, if asked for, and again without it for `REPEATING`."""
    measured = [name for name in names if coverage and not name.startswith(REPEATING)]
    others = [name for name in names if name not in measured]
    results = [runTrial([*options, *some], measure) for some, measure in ((measured, True), (others, False)) if some]
    return subprocess.CompletedProcess(
        names, max(result.returncode for result in results), "".join(result.stdout for result in results)
    )


def runTrial(arguments: list[str], coverage: bool) -> subprocess.CompletedProcess[str]:
    """Run trial in a process of its own, with its output in one piece."""
    measuring = ["-m", "coverage", "run", "--parallel-mode"] if coverage else []
    command = [sys.executable, *measuring, "-m", "twisted.trial", "--reporter=text", *arguments]
    return subprocess.run(
        command, cwd=TESTS.parent, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def main(arguments: list[str]) -> int:
    """Run trial and return its exit status, or that of a process that failed."""
    options = [argument for argument in arguments if argument.startswith("-") and argument != "--coverage"]
    names = [argument for argument in arguments if not argument.startswith("-")]
    shares = [names] if names else share(findUnits(), (os.cpu_count() or 1) * 2)
    with ThreadPoolExecutor(len(shares)) as pool:
        running = [
            pool.submit(runTrials, some, [*options, f"--temp-directory=_trial_temp{number}"], "--coverage" in arguments)
            for number, some in enumerate(shares)
        ]
    results = sorted((one.result() for one in running), key=lambda result: result.returncode != 0)
    for result in results:
        sys.stdout.write(result.stdout)
    return results[-1].returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
