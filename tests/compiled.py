"""
Runs the tests against the package that is installed for this Python, which has to be the compiled build:

    python tests/compiled.py [TESTS]

The tests run in a folder of their own, in which there is no package beside them, so that they import what is installed.
Where the build could compile nothing they are skipped; in CI they fail.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent

#: Beside all tests without a process: those of the rest that send tokens over real sockets, from real servers.
INTEGRATION = ("sockets", "twistd", "kill", "upstream")

#: Kills in tests/integration/test_kill.py: the same code with every entry, so fewer do.
KILLS = "5"


def targets() -> list[str]:
    """Name the modules with the tests."""
    found = [path.relative_to(TESTS) for path in sorted(TESTS.rglob("test_*.py"))]
    units = [".".join(("tests", *path.with_suffix("").parts)) for path in found if path.parts[0] != "integration"]
    return [*units, *(f"tests.integration.test_{name}" for name in INTEGRATION)]


def main(arguments: list[str]) -> int:
    """Run the tests, and give the exit status."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment.setdefault("SSESERVER_KILL_ROUNDS", KILLS)
    with tempfile.TemporaryDirectory(prefix="sseserver-compiled-") as folder:
        (Path(folder) / "tests").symlink_to(TESTS)
        asked = [sys.executable, "-c", "import sseserver; print(sseserver.__file__, sseserver.compiled)"]
        told = subprocess.run(asked, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
        if not told.strip().endswith(" True"):
            sys.stdout.write(f"skipped: {told.split()[0]} is pure Python; `pip wheel -v .` says why\n")
            return 1 if os.environ.get("CI") else 0
        command = [sys.executable, "-m", "twisted.trial", "--reporter=text", *(arguments or targets())]
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
