"""
Tests that hold the rules of the house (tests/house.py).

Each rule has a test on the real tree and one on a small bad one, so that none
of them can fall asleep. Those that start processes are in
tests/integration/test_house.py.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from sseserver import compiled
from tests.house import (
    PACKAGE,
    ROOT,
    compiledModules,
    hiddenNames,
    importsOf,
    modulesOf,
    reactorImports,
    speechlessTests,
    undocumented,
    unfinished,
    untrueStructures,
)


class HouseTests(SynchronousTestCase):
    """The rules, on the real tree."""

    def test_everyFloorIsInUse(self) -> None:
        """
        The walk over the tree finds the package: no rule is kept for want of
        modules.
        """
        self.assertLessEqual({"", "errors", "wire", "apis.root", "tap"}, modulesOf(ROOT).keys())

    def test_nobodyImportsTheReactor(self) -> None:
        """
        The reactor is a parameter; only functions in `tap` import it.
        """
        self.assertEqual(reactorImports(ROOT), [])

    def test_nothingIsLeftUnfinished(self) -> None:
        """
        No note of unfinished work stands in the package.
        """
        self.assertEqual(unfinished(ROOT), [])

    def test_structuresAreTrue(self) -> None:
        """
        Each `.pxd` declares the slots and methods that its module has, and
        setup.py compiles the modules with one, and no others.
        """
        self.assertEqual(untrueStructures(ROOT), [])
        self.assertIn("streams.log", compiledModules(ROOT))

    def test_allIsCompiledOrNothing(self) -> None:
        """
        What runs here is as C{sseserver.compiled} says, in each module that
        setup.py compiles.
        """
        files = [importlib.import_module(f"{PACKAGE}.{name}").__file__ for name in compiledModules(ROOT)]
        self.assertEqual({not str(file).endswith(".py") for file in files}, {compiled})

    def test_publicNamesAreDocumented(self) -> None:
        """
        Every public class, function and method of the package has a docstring,
        itself or in the interface or base class that declares it.
        """
        wrong = []
        for name in modulesOf(ROOT):
            wrong += undocumented(importlib.import_module(f"{PACKAGE}.{name}".rstrip(".")))
        self.assertEqual(wrong, [])

    def test_exportedNamesAreThere(self) -> None:
        """
        Every name in `sseserver.__all__` exists and is documented.
        """
        module = importlib.import_module(PACKAGE)
        self.assertNotEqual(module.__all__, [])
        self.assertEqual(hiddenNames(module), [])

    def test_everyTestSpeaks(self) -> None:
        """
        Every test, in the contract mixins as well, has a docstring.
        """
        self.assertEqual(speechlessTests(ROOT / "tests"), [])
        self.assertEqual(speechlessTests(ROOT / PACKAGE), [])

    def test_pluginFolderIsANamespace(self) -> None:
        """
        No `__init__.py` stands below `twisted/`: on install it would overwrite
        Twisted's own, on uninstall take it away.
        """
        self.assertEqual([path.name for path in (ROOT / "twisted").rglob("__init__.py")], [])

    def test_pluginIsLight(self) -> None:
        """
        The plugin's file imports nothing of the package: each `twistd` reads
        it, whatever it is to start.
        """
        plugin = ROOT / "twisted" / "plugins" / "sseserver_plugin.py"
        targets = [imported.target for imported in importsOf("plugin", plugin)]
        self.assertNotEqual(targets, [])
        self.assertEqual([target for target in targets if target.partition(".")[0] == PACKAGE], [])

    def test_ciRunsTheCommandOfTheReadme(self) -> None:
        """
        What CI runs at its end is the test command that README.md tells.
        """
        command = (ROOT / ".ci" / "run").read_text("utf-8").rstrip().rpartition("\n")[2]
        self.assertIn("tox", command)
        self.assertIn(command, (ROOT / "README.md").read_text("utf-8"))


class BadHouseTests(SynchronousTestCase):
    """The rules, on small trees that break them."""

    def tree(self, **files: str) -> Path:
        """
        Write a small package; `web__root` is `web/root.py`, `init` the package
        itself.
        """
        root = Path(self.mktemp()).resolve()
        for name, text in files.items():
            path = root / PACKAGE / ("__init__.py" if name == "init" else name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return root

    def assertWrong(self, wrong: list[str], *starts: str) -> None:
        """Check that there is one sentence for each start, in order."""
        self.assertEqual([line[: len(start)] for line, start in zip(wrong, starts, strict=False)], list(starts))
        self.assertEqual(len(wrong), len(starts), wrong)

    def test_reactorImport(self) -> None:
        """
        The reactor is found in each way of writing it, and in functions that
        are not those of `tap`.
        """
        root = self.tree(
            tap="from twisted.internet import reactor\ndef make():\n    from twisted.internet import reactor\n",
            client="def f():\n    from twisted.internet import reactor\n",
            ticker="import twisted.internet.reactor\nfrom twisted.internet.reactor import callLater\n",
            http="from twisted.internet import reactors, task\n",
        )
        self.assertWrong(
            reactorImports(root),
            "client:2 imports",
            "tap:1 imports",
            "ticker:1 imports",
            "ticker:2 imports",
        )

    def test_untrueStructure(self) -> None:
        """
        A slot without its field is found, and so is a field, a method, a
        function or a class that the module does not have, another base, a
        line that the rule cannot read, and a list that is not that of the
        `.pxd` files.
        """
        root = self.tree(
            wire="class A(B):\n    __slots__ = ('_a', 'b')\n    def m(self): pass\n"
            "class C:\n    def __init__(self):\n        self.d = self.e = 1\n"
        )
        (root / "setup.py").write_text("COMPILED = ('wire', 'errors')\n", "utf-8")
        pxd = root / PACKAGE / "wire.pxd"
        good = [
            "cdef class A(B):",
            "    cdef object _a",
            "    cdef public Py_ssize_t b",
            "    cpdef m(self)",
            "cdef class C:",
            "    cdef public int d",
            "    cdef public e",
        ]
        pxd.write_text("\n".join(good[:-1]) + "\n    cdef public int e\n", "utf-8")
        missing = "errors: is in setup.py"
        self.assertWrong(untrueStructures(root), missing)
        pxd.write_text("\n".join([*good, "    cpdef n(self)", "cdef bytes f(x)", "cdef class D:", "    pass"]), "utf-8")
        self.assertWrong(
            untrueStructures(root),
            missing,
            "wire: not understood: cdef public e",
            "wire: .f() is in the .pxd alone",
            "wire: C.e is not in the .pxd",
            "wire: C.n() is in the .pxd alone",
            "wire: there is no class D",
        )
        (root / PACKAGE / "tap.pxd").touch()
        pxd.write_text("cdef class A:\n    cdef object b\n    cdef object x\n", "utf-8")
        self.assertWrong(
            untrueStructures(root),
            "tap: has a .pxd, but is not in setup.py",
            missing,
            "tap: has a .pxd and no module",
            "wire: b: public is what has no underscore",
            "wire: x: public is what has no underscore",
            "wire: A derives from B, in the .pxd from nothing",
            "wire: A._a is not in the .pxd",
            "wire: A.x is in the .pxd alone",
        )

    def test_unfinished(self) -> None:
        """
        Notes of unfinished work are found, in the page's files as well.
        """
        root = self.tree(wire="# TO" + "DO: later\n")
        (root / PACKAGE / "app.js").write_text("\n// FIX" + "ME\n", "utf-8")
        self.assertWrong(unfinished(root), "sseserver/app.js:2", "sseserver/wire.py:1")

    def test_speechlessTest(self) -> None:
        """
        Tests without a docstring are found, methods and functions, but not
        what a test defines inside.
        """
        root = self.tree(
            test_a="class A:\n    def test_it(self):\n        def test(): pass\n    def helper(self): pass\n",
            test_b="async def test_b(): pass\ndef test_c():\n    'Says it.'\n    def test_inner(): pass\n",
        )
        self.assertWrong(speechlessTests(root / PACKAGE), "test_a.py:2 A.test_it", "test_b.py:1 test_b")

    def test_undocumented(self) -> None:
        """
        Public names without a docstring are found, whatever kind they are;
        private, inherited and promised ones are not.
        """
        module = ModuleType("bad")
        exec(compile(UNDOCUMENTED, "bad", "exec", dont_inherit=True), vars(module))
        inC = ["C", "C.Inner", "C.cached", "C.made", "C.own", "C.size", "C.sole"]
        rest = ["D", "IBad", "IBad.also", "IBad.promised", "f"]
        self.assertEqual(undocumented(module), [f"bad.{name}" for name in inC + rest])

    def test_hiddenName(self) -> None:
        """
        A name in `__all__` that is not there, or not documented, is found.
        """
        module = ModuleType("bad")
        exec("__all__ = ['a', 'b', 'c']\nb = 'a constant'\ndef c(): pass\n", vars(module))
        self.assertEqual(hiddenNames(module), ["a: not there", "c: no docstring"])


UNDOCUMENTED = """
import dataclasses, functools
from zope.interface import Interface, implementer

class IBad(Interface):
    def promised(): pass
    def also(): pass
    def good():
        "Does it."

class Base:
    "A base."
    def inherited(self): "Declared here."
    def _private(self): pass

@implementer(IBad)
class C(Base):
    def promised(self): pass
    def also(self): pass
    def good(self): pass
    def inherited(self): pass
    def own(self): pass
    def said(self): "Says it."
    @property
    def size(self): return 1
    @functools.cached_property
    def cached(self): return 1
    @classmethod
    def made(cls): pass
    @staticmethod
    def sole(): pass
    class Inner: pass
    def __repr__(self): return ""

@dataclasses.dataclass
class D:
    field: int

def f(): pass
def g(): "Says it."
def _h(): pass
"""
