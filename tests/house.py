"""
Rules of the house that no tool holds: structures of the compiled build, sizes of files, a test module for each module,
links of the pages outside the site.

Each rule is a function that takes the root of a tree and returns the breaches as sentences. tests/test_house.py applies
the rules. Layers are held by import-linter; imports of the reactor, docstrings and complexity by ruff; docstrings of
tests by interrogate; the mechanical part of prose by tests/prose.py.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "sseserver"

#: Lines. Largest module of the package.
MODULE = 400

#: Lines. Largest file with tests or their helpers.
TEST_FILE = 600

#: Pages outside docs/, whose links Sphinx does not check.
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "benchmarks/README.md")

#: Notes of unfinished work, spelled so that this file does not hold them itself. Ruff finds them in Python files.
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]))

#: Pages whose Python code must be part of a program in docs/examples, where tests/integration/test_examples.py runs it.
PRINTED = (
    "README.md",
    "docs/access.md",
    "docs/client.md",
    "docs/embedding.md",
    "docs/guides/celery.md",
    "docs/guides/datastar.md",
    "docs/guides/django.md",
    "docs/guides/fastapi.md",
    "docs/guides/deleting.md",
    "docs/guides/flask.md",
    "docs/guides/htmx.md",
    "docs/http-api.md",
    "docs/sources.md",
    "docs/stores.md",
    "docs/tutorial.md",
)

_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")


def modulesOf(root: Path) -> dict[str, Path]:
    """Map the names of the package's modules, without `sseserver.`, to their files; the package itself is `""`."""
    package = root / PACKAGE
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def compiledModules(root: Path) -> list[str]:
    """Return the names of the modules that setup.py compiles."""
    return _listIn(root, "COMPILED")


def inlinedModules(root: Path) -> list[str]:
    """Return the names of the modules whose functions stand a second time in their `.pxd`, as setup.py lists them."""
    return _listIn(root, "INLINED")


def _listIn(root: Path, name: str) -> list[str]:
    """Return a list of setup.py."""
    for node in ast.parse((root / "setup.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return list(ast.literal_eval(node.value))
    return []


def untrueStructures(root: Path) -> list[str]:
    """
    Compare each `.pxd` with its module, and the list in setup.py with the `.pxd` files.

    A slot that the `.pxd` lacks is an `AttributeError`, but in the compiled build only.
    """
    modules, package = modulesOf(root), root / PACKAGE
    declared = {".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.pxd")}
    inlined = inlinedModules(root)
    listed = [*compiledModules(root), *inlined]
    wrong = [f"{name}: has a .pxd, but is not in setup.py" for name in sorted(declared - set(listed))]
    wrong += [f"{name}: is in setup.py, but has no .pxd" for name in listed if name not in declared]
    for name in sorted(declared):
        if name not in modules:
            wrong.append(f"{name}: has a .pxd and no module")
        else:
            path = modules[name]
            compare = _compareFunctions if name in inlined else _compareStructures
            wrong += [f"{name}: {problem}" for problem in compare(path, path.with_suffix(".pxd"))]
    return wrong


@dataclasses.dataclass
class Structure:
    """
    A class of a module, or its structure in the `.pxd`.

    Attributes:
        base: Name of the base class; `""` for none.
        fields: The slots; without `__slots__`, the attributes that `__init__` sets.
        methods: The methods; in a `.pxd`, those that C code can call.
    """

    base: str = ""
    fields: set[str] = dataclasses.field(default_factory=set)
    methods: set[str] = dataclasses.field(default_factory=set)


_STRUCTURE = re.compile(r"cdef class (\w+)(?:\(([\w.]+)\))?:")
_METHOD = re.compile(r" *cp?def (?:inline )?(?:[\w.]+ )?(\w+)\(.*\).*")
_FIELD = re.compile(r"    cdef (public )?(?!public )[\w.]+ (\w+)")
# A constant of the module, which the compiler looks up as a number of C, is none of a class.
_NO_DECLARATION = re.compile(
    r"(?: *#.*| *@cython\..*|from [\w.]+ cimport .*|cimport cython|    pass"
    r"|cdef (?:Py_ssize_t|double|int) _[A-Z_]+)?"
)


_FUNCTION = re.compile(r"^cdef inline [\w.]+ ([a-z]\w*)\((.*)\)", re.MULTILINE)


def _compareFunctions(path: Path, pxd: Path) -> list[str]:
    """Compare the functions of a module, and their arguments, with those of its `.pxd`."""
    functions = {
        node.name: [argument.arg for argument in node.args.args]
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    inlined = {
        name: [argument.split()[-1] for argument in arguments.split(",")]
        for name, arguments in _FUNCTION.findall(pxd.read_text("utf-8"))
    }
    names = sorted(name for name in {**functions, **inlined} if functions.get(name) != inlined.get(name))
    return [f"{name}() is not the same in the .pxd" for name in names]


def _compareStructures(path: Path, pxd: Path) -> list[str]:
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
    """Parse a `.pxd`, and return its structures and breaches. Functions stand under the name `""`."""
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
                wrong.append(f"{match[2]}: names without underscore are public, and no others")
        elif not _NO_DECLARATION.fullmatch(line):
            wrong.append(f"not understood: {line.strip()}")
    return structures, wrong


def _classesIn(tree: ast.Module) -> dict[str, Structure]:
    """Return the classes of a module, and under the name `""` its functions."""
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
    """Return the attributes of `self` that a method sets."""
    return {
        node.attr
        for node in ast.walk(function or ast.Module([], []))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self"
    }


def unfinishedAssets(root: Path) -> list[str]:
    """Find notes of unfinished work in the files of the page; ruff finds them in Python files."""
    return [
        f"{path.relative_to(root)}:{number} {line.strip()}"
        for path in sorted((root / PACKAGE).rglob("*"))
        if path.suffix in {".html", ".js", ".css"}
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1)
        if UNFINISHED.search(line)
    ]


def longFiles(root: Path) -> list[str]:
    """Find modules and test files with too many lines."""
    return [
        f"{path.relative_to(root)} has {lines} lines, more than {limit}"
        for folder, limit in ((PACKAGE, MODULE), ("tests", TEST_FILE))
        for path in sorted((root / folder).rglob("*.py"))
        if (lines := path.read_text("utf-8").count("\n")) > limit
    ]


def untestedModules(root: Path) -> list[str]:
    """
    Find modules without a test module of their own.

    `sseserver/streams/log.py` has `tests/streams/test_log.py`, several files whose names begin like that
    (`test_log_reading.py`), or a file in that folder whose docstring names `sseserver.streams.log`. Programs
    (`__main__`), `__init__` files, and modules with values and contracts only need none.
    """
    wrong = []
    for name, path in modulesOf(root).items():
        package, _, module = name.rpartition(".")
        if _hasCode(ast.parse(path.read_text("utf-8"))) and path.name not in {"__init__.py", "__main__.py"}:
            folder = root / "tests" / package.replace(".", "/")
            found = list(folder.glob("test_*.py"))
            if not (_findNamed(found, module) or any(_tests(one, f"{PACKAGE}.{name}") for one in found)):
                wrong.append(f"{name} has no {folder.relative_to(root)}/test_{module}.py")
    return wrong


def _findNamed(found: list[Path], module: str) -> list[Path]:
    """Return the files that have the tests of a module by their own names."""
    return [path for path in found if re.fullmatch(rf"test_{module}(_\w+)?", path.stem)]


def _tests(path: Path, name: str) -> bool:
    """Tell whether a file has the tests of a module by its docstring."""
    return f"`{name}`" in (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")


def _hasCode(tree: ast.Module) -> bool:
    """Tell whether a module has functions, or classes with methods other than contracts."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and not _isContract(node)]
    return any(isinstance(node, functions) for body in [tree.body, *bodies] for node in body)


def _isContract(node: ast.ClassDef) -> bool:
    """Tell whether a class is a protocol, or an interface, which may extend others."""
    bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
    return any(re.fullmatch("Protocol|Interface|I[A-Z][a-z]+.*", base) for base in bases)


def brokenLinks(root: Path) -> list[str]:
    """Find relative links to missing files in the pages outside docs/; Sphinx checks the links inside."""
    return [
        f"{name} links to {target}"
        for name in PAGES
        if (root / name).exists()
        for target in _LINK.findall((root / name).read_text("utf-8"))
        if not ((root / name).parent / target).exists()
    ]


def unrunExamples(root: Path) -> list[str]:
    """Find Python code in pages that is not part of a program in docs/examples, line by line."""
    programs = [path.read_text("utf-8") for path in (root / "docs" / "examples").rglob("*.py")]
    return [
        f"{name} prints code that no example holds: {code.splitlines()[0]}"
        for name in PRINTED
        if (root / name).exists()
        for code in re.findall(r"^```python\n(.*?)^```$", (root / name).read_text("utf-8"), re.MULTILINE | re.DOTALL)
        if not any(f"\n{code}" in f"\n{program}" for program in programs)
    ]


def untrueArchitecture(root: Path) -> list[str]:
    """
    Compare docs/architecture.md with the code.

    Each module and package directly in the package has its row in the table, and the layers are those of import-linter.
    A link such as ``[`Run.write`][run]``, with ``[run]: ../sseserver/service/run.py`` at the end of the page, names a
    function, a class or a member of a class that the module defines.
    """
    page = (root / "docs" / "architecture.md").read_text("utf-8")
    modules = dict(re.findall(r"^\[(\w+)\]: \.\./(.+\.py)$", page, re.MULTILINE))
    wrong = []
    for name, label in re.findall(r"\[`([\w.]+)`\]\[(\w+)\]", page):
        module = root / modules.get(label, label)
        if not module.is_file():
            wrong.append(f"{modules.get(label, label)} is missing")
        elif name not in _namesIn(ast.parse(module.read_text("utf-8"))):
            wrong.append(f"{modules[label]} does not define {name}")
    rooms = {path.name + "/" * path.is_dir() for path in (root / PACKAGE).glob("[a-z]*") if path.suffix in {"", ".py"}}
    wrong += [
        f"{room} has no row" for room in sorted(rooms - set(re.findall(r"^\| `([\w./]+)` \|", page, re.MULTILINE)))
    ]
    settings = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [layer.replace(f"{PACKAGE}.", "") for layer in settings["layers"]]
    return wrong if "\n".join(["```", *layers, "```"]) in page else [*wrong, "the layers are others"]


def _namesIn(tree: ast.Module) -> set[str]:
    """Return the names of the functions, classes and methods that a module defines."""
    defined = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in tree.body if isinstance(node, defined)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{member.name}" for member in node.body if isinstance(member, defined)}
    return names
