"""
Packages of npm, for the tests in which foreign programs read our streams.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
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
    shared = os.environ.get("SSESERVER_SHARED_FOLDER")
    if shared is None:
        return installNode(folder, *packages) or folder
    modules = _share(Path(shared), packages)
    if isinstance(modules, str):
        return modules
    (folder / "node_modules").symlink_to(modules)
    return folder


def _share(base: Path, packages: tuple[str, ...]) -> Path | str:
    """
    Install packages for all processes of the tests, unless one of them has done that.

    Args:
        base: The folder of these processes.
        packages: The packages.

    Returns:
        The folder of the packages, or the reason for a failure.
    """
    folder = base / f"npm-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            (folder / "package.json").write_text('{"private": true, "type": "module"}', "ascii")
            failure = installNode(folder, *packages)
            if failure:
                return failure
            (folder / "node_modules").mkdir(exist_ok=True)
            (folder / "complete").touch()
    return folder / "node_modules"


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
