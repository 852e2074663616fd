"""
Packages of npm, for the tests in which programs of other people read our streams.
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
    """Say that these tests need something that is not here: a failure in CI, elsewhere a test less."""
    return AssertionError(reason) if os.environ.get("CI") else SkipTest(reason)


def nodeFolder(script: str, *packages: str) -> Path:
    """
    Install packages, once, beside a script.

    Args:
        script: What C{main.js} is.
        packages: With their versions, so that an update of theirs is no failure of ours.

    Returns:
        The folder, in which `node main.js` runs.
    """
    folder = _install(script, packages)
    if isinstance(folder, str):
        raise missing(folder)
    return folder


@lru_cache(None)
def _install(script: str, packages: tuple[str, ...]) -> Path | str:
    """Give the folder, or say why there is none."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    folder = Path(tempfile.mkdtemp(prefix="sseserver-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "package.json").write_text('{"private": true, "type": "module"}', "ascii")
    (folder / "main.js").write_text(script, "ascii")
    command = ["npm", "install", "--no-audit", "--no-fund", *packages]
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return "npm install took too long"
    return folder if result.returncode == 0 else f"npm install failed: {result.stderr[-1000:]}"
