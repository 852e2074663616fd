"""
The rules of the house: how the package is cut into rooms and floors (see
docs/architecture.md), and how small and how well described its parts are.

Each rule is a function from a folder, or a module, to a list of sentences that
say what is wrong; empty is good. tests/test_house.py applies them.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from zope.interface import implementedBy
from zope.interface.interface import InterfaceClass

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "sseserver"


# The reactor is a parameter, everywhere; the command line is where it comes from.
REACTOR_IN_FUNCTIONS_OF = {"client.__main__", "tap"}


# Spelled so that this file does not hold them itself.
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]))


@dataclasses.dataclass(frozen=True)
class Import:
    """
    One imported name.

    Attributes:
        target: What is imported, with dots, absolute; `package.name` for
            `from package import name`, whatever `name` is.
        line: Where.
        inFunction: Whether it happens only when a function runs.
    """

    target: str
    line: int
    inFunction: bool


class ImportFinder(ast.NodeVisitor):
    """Collects the imports of a module, those for type checkers as well."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.found: list[Import] = []
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parents = self.package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
        for alias in node.names:
            self._add(f"{base}.{alias.name}", node)

    def _add(self, target: str, node: ast.stmt) -> None:
        self.found.append(Import(target, node.lineno, self._depth > 0))


def modulesOf(root: Path) -> dict[str, Path]:
    """
    Find the modules of the package: name below `sseserver.` (`""` is the
    package itself) to file.
    """
    package = root / PACKAGE
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def importsOf(name: str, path: Path) -> list[Import]:
    """Read the imports of one module of the package."""
    full = f"{PACKAGE}.{name}".rstrip(".")
    finder = ImportFinder(full if path.name == "__init__.py" else full.rpartition(".")[0])
    finder.visit(ast.parse(path.read_text("utf-8")))
    return finder.found


def reactorImports(root: Path) -> list[str]:
    """Nobody imports the reactor but functions of the command line."""
    return [
        f"{name}:{imported.line} imports the reactor"
        for name, path in modulesOf(root).items()
        for imported in importsOf(name, path)
        if (imported.target + ".").startswith("twisted.internet.reactor.")
        and not (imported.inFunction and name in REACTOR_IN_FUNCTIONS_OF)
    ]


def compiledModules(root: Path) -> list[str]:
    """Read from setup.py the names of the modules that are compiled."""
    for node in ast.parse((root / "setup.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPILED":
            return list(ast.literal_eval(node.value))
    return []


def untrueStructures(root: Path) -> list[str]:
    """
    What a `.pxd` declares is what its module has, and only what is compiled has one.

    A slot that the `.pxd` lacks is an C{AttributeError}, but in the compiled build alone.
    """
    modules, package = modulesOf(root), root / PACKAGE
    declared = {".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.pxd")}
    listed = compiledModules(root)
    wrong = [f"{name}: has a .pxd, but is not in setup.py" for name in sorted(declared - set(listed))]
    wrong += [f"{name}: is in setup.py, but has no .pxd" for name in listed if name not in declared]
    for name in sorted(declared):
        if name not in modules:
            wrong.append(f"{name}: has a .pxd and no module")
        else:
            path = modules[name]
            wrong += [f"{name}: {problem}" for problem in _compared(path, path.with_suffix(".pxd"))]
    return wrong


@dataclasses.dataclass
class Structure:
    """
    A class of a module, or its structure in the `.pxd`.

    Attributes:
        base: What it derives from; `""` for nothing.
        fields: Its slots; without C{__slots__}, what C{__init__} sets.
        methods: Its methods. In the `.pxd`, those that can be called as C functions.
    """

    base: str = ""
    fields: set[str] = dataclasses.field(default_factory=set)
    methods: set[str] = dataclasses.field(default_factory=set)


_STRUCTURE = re.compile(r"cdef class (\w+)(?:\(([\w.]+)\))?:")
_METHOD = re.compile(r" *cp?def (?:inline )?(?:[\w.]+ )?(\w+)\(.*\).*")
_FIELD = re.compile(r"    cdef (public )?(?!public )[\w.]+ (\w+)")
_NO_DECLARATION = re.compile(r"(?: *#.*| *@cython\..*|from [\w.]+ cimport .*|cimport cython|    pass)?")


def _compared(path: Path, pxd: Path) -> list[str]:
    """Compare one module with its `.pxd`."""
    classes = _classesIn(ast.parse(path.read_text("utf-8")))
    structures, wrong = _structuresIn(pxd.read_text("utf-8"))
    for name, structure in structures.items():
        cls = classes.get(name)
        if cls is None:
            wrong.append(f"there is no class {name}")
            continue
        if cls.base != structure.base:
            wrong.append(f"{name} derives from {cls.base or 'nothing'}, in the .pxd from {structure.base or 'nothing'}")
        wrong += [f"{name}.{field} is not in the .pxd" for field in sorted(cls.fields - structure.fields)]
        wrong += [f"{name}.{field} is in the .pxd alone" for field in sorted(structure.fields - cls.fields)]
        wrong += [f"{name}.{method}() is in the .pxd alone" for method in sorted(structure.methods - cls.methods)]
    return wrong


def _structuresIn(text: str) -> tuple[dict[str, Structure], list[str]]:
    """Read a `.pxd`: its structures, and what is wrong with it by itself. Functions stand below the name C{""}."""
    structures: dict[str, Structure] = {}
    wrong = []
    current = structures.setdefault("", Structure())
    for line in text.split("\n"):
        current = current if line.startswith((" ", "#", "@")) or not line else structures[""]
        if match := _STRUCTURE.fullmatch(line):
            current = structures[match[1]] = Structure(match[2] or "")
        elif match := _METHOD.fullmatch(line):
            current.methods.add(match[1])
        elif match := _FIELD.fullmatch(line):
            current.fields.add(match[2])
            if bool(match[1]) == match[2].startswith("_"):
                wrong.append(f"{match[2]}: public is what has no underscore")
        elif not _NO_DECLARATION.fullmatch(line):
            wrong.append(f"not understood: {line.strip()}")
    return structures, wrong


def _classesIn(tree: ast.Module) -> dict[str, Structure]:
    """Read a module: its classes, and below the name C{""} its functions."""
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    classes = {"": Structure(methods=functions)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}
            slots = [
                set(ast.literal_eval(part.value))
                for part in node.body
                if isinstance(part, ast.Assign) and ast.unparse(part.targets[0]) == "__slots__"
            ]
            fields = slots[0] if slots else _attributesSetBy(methods.get("__init__"))
            classes[node.name] = Structure(", ".join(map(ast.unparse, node.bases)), fields, set(methods))
    return classes


def _attributesSetBy(function: ast.FunctionDef | None) -> set[str]:
    """Find the attributes of C{self} that a method sets."""
    return {
        node.attr
        for node in ast.walk(function or ast.Module([], []))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


def unfinished(root: Path) -> list[str]:
    """What is still to be done is an issue, not a word in the code; assets count as well."""
    return [
        f"{path.relative_to(root)}:{number} {line.strip()}"
        for path in sorted((root / PACKAGE).rglob("*"))
        if path.suffix in {".py", ".html", ".js", ".css"}
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1)
        if UNFINISHED.search(line)
    ]


def speechlessTests(folder: Path) -> list[str]:
    """Each test says in its docstring what behaviour it wants."""
    wrong = []
    for path in sorted(folder.rglob("*.py")):
        for name, function in _testFunctions(ast.parse(path.read_text("utf-8"))):
            if not (ast.get_docstring(function) or "").strip():
                wrong.append(f"{path.relative_to(folder)}:{function.lineno} {name}")
    return wrong


def _testFunctions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Find test functions and test methods, but not what they define inside."""
    bodies = [("", tree.body)]
    bodies += [(node.name + ".", node.body) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for prefix, body in bodies:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                yield prefix + node.name, node


def undocumented(module: ModuleType) -> list[str]:
    """
    Public classes, functions and methods have docstrings.

    A method that an interface or a base class declares may go without: its
    contract stands there.
    """
    wrong = []
    for name, value in sorted(vars(module).items()):
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        full = f"{module.__name__}.{name}"
        if isinstance(value, InterfaceClass):
            wrong += _undocumentedInInterface(full, value)
        elif inspect.isclass(value):
            wrong += _undocumentedInClass(full, value)
        elif inspect.isfunction(value) and not _hasDocstring(value):
            wrong.append(full)
    return wrong


def _hasDocstring(value: object) -> bool:
    """Whether there is one that a person wrote."""
    text = (getattr(value, "__doc__", None) or "").strip()
    # Dataclasses and named tuples write `Name(field, ...)` when nobody does.
    return bool(text) and not (inspect.isclass(value) and text.startswith(value.__name__ + "("))


def _undocumentedInInterface(full: str, interface: InterfaceClass) -> list[str]:
    """Look through one interface."""
    wrong = [] if (interface.__doc__ or "").strip() else [full]
    for name, description in sorted(interface.namesAndDescriptions(all=False)):
        if not (description.getDoc() or "").strip():
            wrong.append(f"{full}.{name}")
    return wrong


def _undocumentedInClass(full: str, cls: type) -> list[str]:
    """Look through one class and the public classes in it."""
    wrong = [] if _hasDocstring(cls) and "__doc__" in vars(cls) else [full]
    declared = {name for base in cls.__mro__[1:] for name in vars(base)}
    for name, value in sorted(vars(cls).items()):
        if name.startswith("_"):
            continue
        if inspect.isclass(value) and value.__qualname__ == f"{cls.__qualname__}.{name}":
            wrong += _undocumentedInClass(f"{full}.{name}", value)
            continue
        function = _functionIn(value)
        promised = name in declared or any(name in interface for interface in implementedBy(cls))
        if function is not None and not promised and not _hasDocstring(function):
            wrong.append(f"{full}.{name}")
    return wrong


def _functionIn(value: object) -> object | None:
    """Unwrap what a class statement holds to the function that was written."""
    if isinstance(value, property):
        return value.fget
    if isinstance(value, functools.cached_property):
        return value.func
    if isinstance(value, classmethod | staticmethod):
        return value.__func__
    return value if inspect.isfunction(value) else None


def hiddenNames(module: ModuleType) -> list[str]:
    """The names in `__all__` are there and documented."""
    wrong = []
    for name in module.__all__:
        value = getattr(module, name, None)
        if value is None:
            wrong.append(f"{name}: not there")
        elif (inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, InterfaceClass)) and (
            not _hasDocstring(value)
        ):
            wrong.append(f"{name}: no docstring")
    return wrong
