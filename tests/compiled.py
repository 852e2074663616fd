"""
Run the tests against the installed package, which must be the compiled build:

    python tests/compiled.py [OPTIONS OF PYTEST]

The tests run in a scratch folder without a package beside them, so that they import the installed one. Those that see
no difference (tests/conftest.py) are left out. Where the build could compile nothing only the tests of the packages
run; in CI that is an error. Those tests take the wheel that tox has built and installed, whose path is in
`TOX_PACKAGE`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent

#: The only tests where the installed package is not the compiled build.
PACKAGING = "tests/integration/test_packaging.py"


def main(arguments: list[str]) -> int:
    """Run the tests and return the exit status."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment.setdefault("SSESERVER_BUILD_TESTS", "1")
    if wheel := environment.get("TOX_PACKAGE"):
        environment["SSESERVER_WHEEL"] = wheel
    with tempfile.TemporaryDirectory(prefix="sseserver-compiled-") as folder:
        (Path(folder) / "tests").symlink_to(TESTS)
        probe = [sys.executable, "-c", "import sseserver; print(sseserver.__file__, sseserver.compiled)"]
        output = subprocess.run(probe, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
        tests = "tests"
        if not output.strip().endswith(" True"):
            sys.stdout.write(f"skipped: {output.split()[0]} is pure Python; `pip wheel -v .` says why\n")
            if os.environ.get("CI"):
                return 1
            tests = PACKAGING
        settings = [f"--config-file={TESTS.parent / 'pyproject.toml'}", f"--rootdir={folder}", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *settings, *arguments, tests]
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
