"""
The optional compiled build: Cython compiles the modules that every token passes through.

Each of them has a `.pxd` beside it that makes its classes C structures. A class that is one names its
interfaces with `classImplements` after its body, because Cython takes no decorators there. If anything
is missing for the build, the result is the pure package, and one line says why. The metadata are in
setup.cfg, except for those with links to the repository: a release has its address in
$SSESERVER_REPOSITORY.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

PACKAGE = "sseserver"

# The modules with a `.pxd`; tests/test_house.py checks that both lists agree.
COMPILED = (
    "command.reactortime",
    "delivery.connection",
    "delivery.document",
    "delivery.head",
    "delivery.producer",
    "delivery.readings",
    "delivery.response",
    "delivery.stall",
    "formats.completions",
    "formats.entries",
    "formats.events",
    "formats.html",
    "formats.openai",
    "formats.parts",
    "formats.places",
    "formats.rendering",
    "formats.text",
    "formats.translatedlog",
    "formats.translation",
    "interfaces.reading",
    "jsontext",
    "protocols.agui.run",
    "protocols.answerparts",
    "protocols.chatcompletions.textframe",
    "protocols.messages.translation",
    "protocols.uimessages.message",
    "protocols.responses.output",
    "protocols.responses.outputwriter",
    "protocols.responses.translation",
    "service.linger",
    "service.run",
    "service.runqueue",
    "service.runturns",
    "service.viewers",
    "sources.text",
    "speedups.body",
    "speedups.sendbuffer",
    "speedups.tls",
    "speedups.tlsbody",
    "steps",
    "stores.grouping",
    "stores.groups",
    "stores.persistent",
    "stores.sqlite.journal",
    "stores.sqlite.rows",
    "streams.account",
    "streams.buffer",
    "streams.entries",
    "streams.followed",
    "streams.keeper",
    "streams.log",
    "streams.segments",
    "streams.terminal",
    "timing.nextturn",
    "timing.ticker",
    "timing.turnend",
    "web.viewing",
    "wire.block",
)

# Modules that stay Python, because compiled modules have functions of the `.pxd` in their place.
INLINED = (
    "speedups.sending",
    "wire.frames",
)

DIRECTIVES = {
    "language_level": 3,
    # The types are in the `.pxd`. Annotations are for mypy: an `int` is allowed where they say `float`.
    "annotation_typing": False,
    # An attribute of `None` raises AttributeError, as in Python; without this it would crash the process.
    "nonecheck": True,
}


def obstacle() -> str | None:
    """Find what prevents a compiled build, as far as it shows before the build; return the reason, or `None`."""
    if os.environ.get("SSESERVER_PURE", "0") not in {"", "0"}:
        return "SSESERVER_PURE is set"
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} has a compiler of its own"
    try:
        import Cython.Build  # noqa: F401, PLC0415  (optional)
    except ImportError:
        return "there is no Cython"
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "there is no Python.h, which is in a package such as python3-dev"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    return None if shutil.which(compiler) else f"there is no C compiler {compiler!r}"


def copySources(folder: Path) -> None:
    """Copy the modules to compile, in their packages, to the folder in which they are translated."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in COMPILED:
        source = Path(PACKAGE, *name.split(".")).with_suffix(".py")
        target = folder / source
        target.parent.mkdir(parents=True, exist_ok=True)
        # An empty one is enough to make it a package.
        (target.parent / "__init__.py").touch()
        shutil.copy(source, target)
        shutil.copy(source.with_suffix(".pxd"), target.with_suffix(".pxd"))
    for name in INLINED:
        source = Path(PACKAGE, *name.split(".")).with_suffix(".pxd")
        shutil.copy(source, folder / source)


def translate(extensions: list[Extension], folder: Path) -> None:
    """Translate copies of the sources to C."""
    from Cython.Build import cythonize  # noqa: PLC0415  (optional)

    copySources(folder)
    # Inside the folder, so that tracebacks name files relative to the package, where Python finds them.
    with contextlib.chdir(folder):
        translated = cythonize(extensions, compiler_directives=DIRECTIVES, force=True, quiet=True)
    for extension, made in zip(extensions, translated, strict=True):
        extension.sources = [str(folder / source) for source in made.sources]


def extensions() -> list[Extension]:
    """Make the extension modules; an optimization in `CFLAGS`, such as `-O1`, takes the place of ours."""
    optimization = [] if "-O" in os.environ.get("CFLAGS", "") else ["-O3"]
    sources = {name: f"{PACKAGE}/{name.replace('.', '/')}.py" for name in COMPILED}
    return [
        Extension(f"{PACKAGE}.{name}", [source], extra_compile_args=[*optimization, "-g0", "-fno-plt"])
        for name, source in sources.items()
    ]


def say(problem: object) -> None:
    """Print why the package is pure; `pip install -v` shows it."""
    sys.stderr.write(f"sseserver: pure Python, since {problem}\n")


class Build(build):
    """The command `build`, which prints why nothing is compiled."""

    def run(self) -> None:
        """See `build.run`."""
        if OBSTACLE:
            say(OBSTACLE)
        super().run()


class BuildExtensions(build_ext):
    """The command `build_ext`. It compiles all modules or none, because they use each other's structures."""

    def run(self) -> None:
        """Compile, except for an editable install, which must run the sources that are edited."""
        if self.editable_mode or self.inplace:
            self.extensions = []
            return
        self.clear()
        try:
            translate(self.extensions, Path(self.build_temp, "cython").resolve())
            self.parallel = self.parallel or os.cpu_count()
            super().run()
        except Exception as problem:
            self.clear()
            self.extensions = []
            say(f"it does not compile: {(str(problem).strip() or repr(problem)).splitlines()[-1]}")

    def clear(self) -> None:
        """Remove extension modules of an earlier or a failed build, which would be packed."""
        for file in Path(self.build_lib, PACKAGE).rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"):
            file.unlink()


def linked(repository: str) -> dict[str, object]:
    """Return the metadata that have links: the page of the package, and its links if the address is known."""
    root = Path(__file__).resolve().parent
    readme = (root / "README.md").read_text("utf-8")
    if not repository:
        return {"long_description": readme}
    release = runpy.run_path(str(root / ".ci" / "release.py"))
    version = release["findVersion"](root)
    files = f"{repository}/blob/v{version}"
    urls = {
        "Documentation": f"{files}/docs/index.md",
        "Changelog": f"{files}/CHANGELOG.md",
        "Source": repository,
        "Issues": f"{repository}/issues",
    }
    page = release["makeAbsolute"](readme, repository, version)
    return {"long_description": page, "url": repository, "project_urls": urls}


OBSTACLE = obstacle()

setup(
    ext_modules=[] if OBSTACLE else extensions(),
    cmdclass={"build": Build, "build_ext": BuildExtensions},
    **linked(os.environ.get("SSESERVER_REPOSITORY", "").rstrip("/")),
)
