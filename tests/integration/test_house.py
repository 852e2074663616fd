"""
Rules of the house that need a process of their own: imports in a fresh interpreter, and the tests that each runner
collects.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.house import PACKAGE, ROOT, modulesOf

# Seconds. Longest time for a process.
PATIENCE = 300

# Imports each module in a child process, so that no module depends on an import of another one. The first name is that
# of the package: Python imports it before any of its modules, so that those it imports itself are never the first.
# Foreign packages that most modules need are imported once, before.
IMPORT_EACH = """
import importlib, os, sys, tempfile
sys.path.insert(0, os.getcwd())
import asyncio, json, sqlite3
import twisted.application.service, twisted.internet.endpoints, twisted.plugin, twisted.web.client, twisted.web.server
# What one child has compiled serves the next.
compiled = tempfile.TemporaryDirectory()
sys.pycache_prefix, sys.dont_write_bytecode = compiled.name, False
def tryInChild(name):
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        importlib.import_module(name)
        assert "twisted.internet.reactor" not in sys.modules, "it installs a reactor"
    except BaseException as problem:
        print(f"{name}: {type(problem).__name__}: {problem}", flush=True)
        os._exit(1)
    os._exit(0)
package, *modules = sys.argv[1:]
fine = tryInChild(package)
if fine:
    importlib.import_module(package)
for name in modules:
    if name not in sys.modules:
        fine &= tryInChild(name)
compiled.cleanup()
sys.exit(not fine)
"""

# Imports what a server without options needs, where the packages of the extras are missing.
WITHOUT_EXTRAS = """
import sys
sys.modules.update(dict.fromkeys(["hiredis", "jwt", "prometheus_client"]))
import sseserver, sseserver.tap, sseserver.keys, sseserver.links
"""

# Prints the ID of each test case that trial would run.
TRIAL_COLLECTS = """
import os, sys
sys.path.insert(0, os.getcwd())
from twisted.trial.runner import TestLoader
def cases(suite):
    try:
        parts = iter(suite)
    except TypeError:
        yield suite.id()
    else:
        for part in parts:
            yield from cases(part)
for case in cases(TestLoader().loadByName("tests", recurse=True)):
    print(case)
"""


def run(*command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder and wait for its end."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        # Warnings only as the caller asks for, and no bytecode of temporary trees.
        env={**os.environ, "PYTHONWARNINGS": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def noisyImports(root: Path) -> list[str]:
    """Find modules that cannot be imported alone, with every warning an error, or that install a reactor."""
    names = [f"{PACKAGE}.{name}" for name in modulesOf(root) if name]
    imported = run("-W", "error", "-c", IMPORT_EACH, PACKAGE, *names, folder=root)
    lines = imported.stdout.splitlines()
    return lines if imported.returncode == bool(lines) else [*lines, imported.stderr]


def trialCollects(root: Path) -> list[str]:
    """Return the IDs of the test cases that trial finds below `tests`."""
    return sorted(run("-c", TRIAL_COLLECTS, folder=root).stdout.splitlines())


def pytestCollects(root: Path) -> list[str]:
    """
    Return the IDs of the test cases that pytest finds below `tests`, in trial's notation and without plain functions.
    """
    options = ("-q", "--collect-only", "-o", "addopts=", "-p", "no:cacheprovider", f"--rootdir={root}")
    collected = run("-m", "pytest", *options, "tests", folder=root).stdout
    found = re.findall(r"^(\S+)\.py::(\w+(?:::\w+)+)$", collected, re.MULTILINE)
    return sorted(f"{path.replace('/', '.')}.{names.replace('::', '.')}" for path, names in found)


class HouseProcessTests(SynchronousTestCase):
    """The rules, on the real tree."""

    def test_withoutExtras(self) -> None:
        """A server without options needs no package of an extra."""
        done = run("-c", WITHOUT_EXTRAS, folder=ROOT)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_importsAreQuietAndAlone(self) -> None:
        """Each module can be imported first, raises no warning, and installs no reactor."""
        self.assertEqual(noisyImports(ROOT), [])

    def test_helpIsQuiet(self) -> None:
        """`twistd sseserver --help` prints the options and raises no warning."""
        script = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
        told = run("-W", "error", "-c", script, PACKAGE, "--help")
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        self.assertIn("--listen", told.stdout)

    def test_bothRunnersCollectTheSame(self) -> None:
        """Trial and pytest find the same test cases: neither skips one silently."""
        byTrial = trialCollects(ROOT)
        self.assertIn(self.id(), byTrial)
        self.assertEqual(byTrial, pytestCollects(ROOT))


class BadHouseProcessTests(SynchronousTestCase):
    """The rules, on small trees that break them."""

    def tree(self, **files: str) -> Path:
        """Write a small project; `a__b` is `a/b.py`."""
        root = Path(self.mktemp()).resolve()
        for name, text in files.items():
            path = root / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / "__init__.py").touch()
            path.write_text(text, "utf-8")
        return root

    def test_noisyImport(self) -> None:
        """A module that warns, one that needs another one imported first, and one that installs a reactor are found."""
        root = self.tree(
            sseserver__quiet="import sys\nsys.first = True\n",
            sseserver__warns="import warnings\nwarnings.warn('old', DeprecationWarning)\n",
            sseserver__leans="import sys\nsys.first\n",
            sseserver__reacts="from twisted.internet import reactor\n",
        )
        self.assertEqual(
            noisyImports(root),
            [
                "sseserver.leans: AttributeError: module 'sys' has no attribute 'first'",
                "sseserver.reacts: AssertionError: it installs a reactor",
                "sseserver.warns: DeprecationWarning: old",
            ],
        )

    def test_differentCollections(self) -> None:
        """
        A test that only one runner finds is reported: a class that is no `TestCase`, a file that cannot be imported.
        Plain functions are not.
        """
        root = self.tree(
            tests__test_a=A_CASE,
            tests__deep__test_b=A_CASE,
            tests__test_c="def test_plain(): pass\n",
            tests__test_d="class TestUnseen:\n    def test_a(self): pass\n",
            tests__test_e="import nothing_of_this_name\n",
        )
        byTrial, byPytest = set(trialCollects(root)), set(pytestCollects(root))
        self.assertEqual(byTrial & byPytest, {"tests.deep.test_b.Seen.test_a", "tests.test_a.Seen.test_a"})
        self.assertEqual(byPytest - byTrial, {"tests.test_d.TestUnseen.test_a"})
        self.assertEqual(["test_e" in name for name in byTrial - byPytest], [True])


A_CASE = """
from twisted.trial.unittest import TestCase
class Seen(TestCase):
    def test_a(self): pass
"""
