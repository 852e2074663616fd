"""
Packages of npm, for the tests in which foreign programs read our streams.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from unittest import SkipTest


def missing(reason: str) -> BaseException:
    """Skip the tests because of a missing requirement; in CI, fail."""
    return AssertionError(reason) if os.environ.get("CI") else SkipTest(reason)


def nodeFolder(script: str, *packages: str) -> Path:
    """
    Install packages beside a script, once for all tests.

    Args:
        script: Content of `main.js`.
        packages: With fixed versions, so that a new release does not fail our tests.

    Returns:
        The folder in which `node main.js` runs.
    """
    folder = _install(script, packages)
    if isinstance(folder, str):
        raise missing(folder)
    return folder


@lru_cache(None)
def _install(script: str, packages: tuple[str, ...]) -> Path | str:
    """Install the packages and return the folder, or the reason for a failure."""
    folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "package.json").write_text('{"private": true, "type": "module"}', "ascii")
    (folder / "main.js").write_text(script, "ascii")
    return installNode(folder, *packages) or folder


def installNode(folder: Path, *packages: str) -> str | None:
    """
    Install the packages that a `package.json` names, and more.

    Args:
        folder: Has the `package.json`.
        packages: With their versions.

    Returns:
        The reason for a failure, if any.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    command = ["npm", "install", "--no-audit", "--no-fund", *packages]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return "npm install took too long"
    return None if result.returncode == 0 else f"npm install failed: {result.stderr[-1000:]}"
