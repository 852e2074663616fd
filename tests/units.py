"""
Run the unit tests, which are all tests outside tests/integration, under trial:

    python tests/units.py [OPTIONS] [MODULES]

Trial takes names of modules and cannot leave a folder out. Without names this file lists the modules.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def unitModules() -> list[str]:
    """Return the names of the test modules outside tests/integration."""
    found = [path.relative_to(TESTS.parent) for path in sorted(TESTS.rglob("test_*.py"))]
    return [".".join(path.with_suffix("").parts) for path in found if path.parts[1] != "integration"]


def main(arguments: list[str]) -> int:
    """Run trial and return its exit status."""
    modules = [] if any(not argument.startswith("-") for argument in arguments) else unitModules()
    command = [sys.executable, "-m", "twisted.trial", "--reporter=text", *arguments, *modules]
    return subprocess.run(command, cwd=TESTS.parent, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
