"""
Tests of the rules in tests/house.py: each on the real tree, and on a small tree that breaks it.

Rules that need a process of their own are in tests/integration/test_house.py.
"""

from __future__ import annotations

import ast
import importlib
from configparser import ConfigParser
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver import compiled
from tests.house import (
    PACKAGE,
    ROOT,
    brokenLinks,
    compiledModules,
    longFiles,
    modulesOf,
    unfinishedAssets,
    unrunExamples,
    untestedModules,
    untrueArchitecture,
    untrueStructures,
)


class HouseTests(SynchronousTestCase):
    """The rules, on the real tree."""

    def test_modules(self) -> None:
        """The walk over the tree finds the package: no rule holds for want of modules."""
        self.assertLessEqual({"", "errors", "wire", "apis.root", "tap"}, modulesOf(ROOT).keys())

    def test_packages(self) -> None:
        """setup.cfg lists every package. A wheel without one of them cannot be imported."""
        metadata = ConfigParser()
        metadata.read(ROOT / "setup.cfg", "utf-8")
        inits = [name for name, path in modulesOf(ROOT).items() if path.name == "__init__.py"]
        packages = {f"{PACKAGE}.{name}".rstrip(".") for name in inits}
        listed = metadata["options"]["packages"].split()
        self.assertEqual(sorted(listed), sorted({*packages, "twisted.plugins"}))

    def test_data(self) -> None:
        """setup.cfg lists every file that is no module. Without its `.pxd` a module of an sdist cannot be compiled."""
        metadata = ConfigParser()
        metadata.read(ROOT / "setup.cfg", "utf-8")
        folder = ROOT / PACKAGE
        listed = {path for form in metadata["options.package_data"][PACKAGE].split() for path in folder.glob(form)}
        kinds = (".pxd", ".html", ".js", ".css", ".svg", ".typed")
        self.assertEqual({path for path in folder.rglob("*") if path.suffix in kinds} - listed, set())

    def test_nothingIsLeftUnfinished(self) -> None:
        """The files of the page hold no note of unfinished work."""
        self.assertEqual(unfinishedAssets(ROOT), [])

    def test_structuresAreTrue(self) -> None:
        """Each `.pxd` declares the slots and methods of its module, and setup.py lists the modules with a `.pxd`."""
        self.assertEqual(untrueStructures(ROOT), [])
        self.assertIn("streams.log", compiledModules(ROOT))

    def test_allIsCompiledOrNothing(self) -> None:
        """Every module that setup.py lists is compiled here, or none, as `sseserver.compiled` says."""
        files = [importlib.import_module(f"{PACKAGE}.{name}").__file__ for name in compiledModules(ROOT)]
        self.assertEqual({not str(file).endswith(".py") for file in files}, {compiled})

    def test_sizes(self) -> None:
        """No module has more than 400 lines, and no file with tests more than 600."""
        self.assertEqual(longFiles(ROOT), [])

    def test_everyModuleIsTested(self) -> None:
        """Every module has its test module."""
        self.assertEqual(untestedModules(ROOT), [])

    def test_links(self) -> None:
        """Relative links in the pages outside docs/ lead to files."""
        self.assertEqual(brokenLinks(ROOT), [])

    def test_examples(self) -> None:
        """Python code in the pages for newcomers is part of a program that the tests run."""
        self.assertEqual(unrunExamples(ROOT), [])

    def test_architecture(self) -> None:
        """Every function that docs/architecture.md names is defined in the module that the page links to."""
        self.assertEqual(untrueArchitecture(ROOT), [])

    def test_pluginFolderIsANamespace(self) -> None:
        """
        No `__init__.py` stands below `twisted/`.

        An installation would overwrite Twisted's own file with it, and an uninstallation would remove that.
        """
        self.assertEqual([path.name for path in (ROOT / "twisted").rglob("__init__.py")], [])

    def test_pluginIsLight(self) -> None:
        """The plugin's file imports nothing of the package, since every `twistd` reads it."""
        plugin = ast.parse((ROOT / "twisted" / "plugins" / "sseserver_plugin.py").read_text("utf-8"))
        modules = [str(node.module) for node in ast.walk(plugin) if isinstance(node, ast.ImportFrom)]
        modules += [alias.name for node in ast.walk(plugin) if isinstance(node, ast.Import) for alias in node.names]
        self.assertNotEqual(modules, [])
        self.assertEqual([module for module in modules if module.partition(".")[0] == PACKAGE], [])

    def test_ciRunsTheCommandOfTheReadme(self) -> None:
        """The last line of .ci/run is the test command in README.md."""
        command = (ROOT / ".ci" / "run").read_text("utf-8").rstrip().rpartition("\n")[2]
        self.assertIn("tox", command)
        self.assertIn(f"\n{command}\n", (ROOT / "README.md").read_text("utf-8"))


class BadHouseTests(SynchronousTestCase):
    """The rules, on small trees that break them."""

    def tree(self, **files: str) -> Path:
        """Write a small package; `web__root` is `web/root.py`, `init` the package itself."""
        root = Path(self.mktemp()).resolve()
        for name, text in files.items():
            path = root / PACKAGE / ("__init__.py" if name == "init" else name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        return root

    def assertWrong(self, wrong: list[str], *starts: str) -> None:
        """Check for one sentence for each start, in order."""
        self.assertEqual([line[: len(start)] for line, start in zip(wrong, starts, strict=False)], list(starts))
        self.assertEqual(len(wrong), len(starts), wrong)

    def test_untrueStructure(self) -> None:
        """
        Every difference between a `.pxd` and its module is found, and between the `.pxd` files and setup.py.

        Differences are a slot without its field, a field, method, function or class that the module lacks, another
        base, and a line that the rule cannot read.
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
            "wire: b: names without underscore",
            "wire: x: names without underscore",
            "wire: A derives from B, in the .pxd from nothing",
            "wire: A._a is not in the .pxd",
            "wire: A.x is in the .pxd alone",
        )

    def test_untrueFunctions(self) -> None:
        """A module that compiled modules inline has the same functions in its `.pxd`, with the same arguments."""
        root = self.tree(wire="def f(a, b): pass\ndef g(a): pass\ndef h(): pass\n")
        (root / "setup.py").write_text("COMPILED = ()\nINLINED = ('wire',)\n", "utf-8")
        functions = ["cdef inline bytes f(bytes a, Py_ssize_t b):", "cdef inline bint g(object b) except -1:"]
        (root / PACKAGE / "wire.pxd").write_text("\n".join(functions) + "\n", "utf-8")
        self.assertWrong(untrueStructures(root), "wire: g() is not the same", "wire: h() is not the same")

    def test_unfinished(self) -> None:
        """Notes of unfinished work are found in the page's files."""
        root = self.tree(wire="")
        (root / PACKAGE / "app.js").write_text("\n// FIX" + "ME\n", "utf-8")
        self.assertWrong(unfinishedAssets(root), "sseserver/app.js:2")

    def test_longFile(self) -> None:
        """Modules over 400 lines and test files over 600 are found."""
        root = self.tree(good="\n" * 400, long="\n" * 401)
        (root / "tests").mkdir()
        (root / "tests" / "good.py").write_text("\n" * 600, "utf-8")
        (root / "tests" / "test_long.py").write_text("\n" * 601, "utf-8")
        self.assertWrong(longFiles(root), "sseserver/long.py has 401 lines", "tests/test_long.py has 601 lines")

    def test_untestedModule(self) -> None:
        """A module with functions and no test module in the same place is found."""
        code = "def f(): pass\n"
        root = self.tree(
            init=code, web__site=code, web__page=code, web__head=code, web__values="A = 1\n", wire=code, __main__=code
        )
        contract = "class IThing(Interface):\n    def do(): pass\n"
        (root / PACKAGE / "interfaces.py").write_text(contract, "utf-8")
        (root / "tests" / "web").mkdir(parents=True)
        for name in ("test_wire.py", "web/test_site_closing.py", "test_page.py"):
            (root / "tests" / name).touch()
        (root / "tests" / "web" / "test_other.py").write_text('"""Tests of `sseserver.web.head`."""\n', "utf-8")
        self.assertWrong(untestedModules(root), "web.page has no tests/web/test_page.py")

    def test_brokenLink(self) -> None:
        """A relative link to a missing file is found; links to sites, headings and files are not."""
        root = self.tree(wire="")
        page = "[a](https://example.org/) [b](#b) [c](sseserver/wire.py#c) [d](gone.md#d)"
        (root / "README.md").write_text(page, "utf-8")
        self.assertWrong(brokenLinks(root), "README.md links to gone.md")

    def test_unrunExample(self) -> None:
        """Code in a page is found unless it is a whole piece of a program, with the same lines in the same order."""
        root = self.tree(wire="")
        (root / "docs" / "examples").mkdir(parents=True)
        (root / "docs" / "examples" / "a.py").write_text("import a\n\na.f()\na.g()\n", "utf-8")
        page = "```python\na.f()\na.g()\n```\n\n```sh\na\n```\n\n```python\nimport a\na.f()\n```\n"
        (root / "README.md").write_text(page, "utf-8")
        self.assertWrong(unrunExamples(root), "README.md prints code that no example holds: import a")

    def test_untrueArchitecture(self) -> None:
        """A function that its module does not define is found, a missing module or row, and another list of layers."""
        root = self.tree(wire="class A:\n    async def m(self): pass\ndef f(): pass\n")
        (root / "docs").mkdir()
        links = [f"[`{name}`][wire]" for name in ("A", "A.m", "f", "m", "A.n")]
        layers = '[[tool.importlinter.contracts]]\nlayers = ["sseserver.tap | sseserver.web", "sseserver.wire"]\n'
        (root / "pyproject.toml").write_text(layers, "utf-8")
        labels = ["[wire]: ../sseserver/wire.py", "[gone]: ../sseserver/gone.py", "```", "tap | web", "wire", "```"]
        page = "\n".join([*links, "[`f`][gone]", "[`f`][nowhere]", "[text][gone]", "", *labels])
        (root / "docs" / "architecture.md").write_text(page, "utf-8")
        self.assertWrong(
            untrueArchitecture(root),
            "sseserver/wire.py does not define m",
            "sseserver/wire.py does not define A.n",
            "sseserver/gone.py is missing",
            "nowhere is missing",
            "wire.py has no row",
        )
        (root / "docs" / "architecture.md").write_text("| `wire.py` | text |\n```\nwire\ntap | web\n```\n", "utf-8")
        self.assertWrong(untrueArchitecture(root), "the layers are others")
