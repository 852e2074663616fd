"""
The package, built from the tree and installed into a fresh environment, serves.

Wrong packaging does not show in the tree itself: a package missing in setup.cfg, an asset left behind, a plugin that
`twistd` does not find. The tests therefore copy the tree, build it and install it as a user would. They ask PyPI for
the dependencies; without it they are skipped, and fail in CI. If `SSESERVER_WHEEL` names a wheel that was built from a
source distribution of the tree, as tox does, it is not built a second time: that takes a minute.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from sseserver.apis.page.page import ASSETS as PAGE_ASSETS
from tests.house import PACKAGE, ROOT, compiledModules

#: Seconds. Longest time for a package index.
INSTALL_PATIENCE = 600

#: Address of the repository in the packages of these tests.
REPOSITORY = "https://code.example/team/sseserver"

PLUGIN = "twisted/plugins/sseserver_plugin.py"
# The wheel also has a file for each compiled module.
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
COMPILED = {f"sseserver/{name.replace('.', '/')}{SUFFIX}" for name in compiledModules(ROOT)}
ASSETS = {f"sseserver/apis/page/assets/{name}" for name in ("index.html", *PAGE_ASSETS)}
ASSETS |= {f"sseserver/apis/admin/assets/{name}" for name in ("index.html", "app.js", "raw.js", "app.css")}


@dataclass(frozen=True)
class Built:
    """
    Results of the build.

    Attributes:
        source: The copy of the tree.
        sdist: The source distribution.
        wheel: The wheel, built from the source distribution.
    """

    source: Path
    sdist: Path
    wheel: Path


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """
    Run a program to its end, in a folder and with these variables.

    Returns:
        Its output, with standard error.

    Raises:
        AssertionError: It failed.
    """
    cleared = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SSESERVER_"))}
    environment = cleared | variables
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_PATIENCE,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def needs(reason: str, *command: str | Path) -> None:
    """Skip the test if a command does not work; in CI, fail."""
    try:
        run(*command, folder=ROOT)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as problem:
        if os.environ.get("CI"):
            raise
        raise SkipTest(f"{reason}: {str(problem).strip().splitlines()[-1]}") from problem


def needsCompiler() -> None:
    """Skip the test if nothing can be compiled here; in CI, fail."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC"))[0]
    needs("no C compiler", compiler, "--version")
    needs("no Python.h", sys.executable, "-c", "import sysconfig; open(sysconfig.get_path('include') + '/Python.h')")


@functools.cache
def build() -> Built:
    """Build once for all tests, from a copy of the tree, which stays clean."""
    needs("no git checkout", "git", "ls-files", "-co", "--error-unmatch", "setup.cfg")
    work = Path(tempfile.mkdtemp(prefix="sseserver-packaging-"))
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    needs("no package index", sys.executable, "-m", "pip", "download", "--no-deps", "-qd", work / "asked", "setuptools")
    source, dist = work / "source", work / "dist"
    # Tracked files and new ones, without those that git ignores.
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=ROOT)
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, source / name)
    given = os.environ.get("SSESERVER_WHEEL")
    parts = ("--sdist",) if given else ()
    command = (sys.executable, "-m", "build", *parts, "--outdir", dist, source)
    run(*command, folder=work, SSESERVER_REPOSITORY=REPOSITORY)
    return Built(source, next(dist.glob("*.tar.gz")), Path(given) if given else next(dist.glob("*.whl")))


def buildWheel(source: Path, folder: Path, **variables: str) -> tuple[Path, str]:
    """
    Build another wheel into a folder, with these variables.

    Returns:
        The wheel, and the output of the build.
    """
    said = run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, source, folder=source, **variables)
    return next(folder.glob("*.whl")), said


def namesIn(wheel: Path) -> set[str]:
    """Return the names of the files that a wheel installs."""
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if not re.match(rf"{PACKAGE}-[^/]+\.dist-info/", name)}


@functools.cache
def environment() -> Path:
    """
    Make a fresh environment with the dependencies of the wheel; each test installs the package itself in its own way.

    Returns:
        The folder with the programs.
    """
    folder = build().source.parent / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder.parent)
    # Compiling all bytecode would take longer than compiling the imported modules.
    # No dependency needs a compiler.
    pip(folder / "bin", "install", "--no-compile", "--only-binary", ":all:", build().wheel)
    pip(folder / "bin", "uninstall", "--yes", PACKAGE)
    return folder / "bin"


def pip(programs: Path, action: str, *options: str | Path) -> None:
    """Run our pip on an environment, which therefore needs none of its own."""
    run(sys.executable, "-m", "pip", "--python", programs / "python", action, "--quiet", *options, folder=programs)


def filesBelow(folder: Path, *names: str) -> set[str]:
    """Return the files in some parts of a folder, relative to the folder."""
    return {
        path.relative_to(folder).as_posix()
        for name in names
        for path in (folder / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


class PackagingTests(SynchronousTestCase):
    """The way from the tree to an installed server."""

    def setUp(self) -> None:
        """Build once, and make a folder to start programs in."""
        self.built = build()
        self.folder = Path(tempfile.mkdtemp(prefix="sseserver-installed-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def install(self, *what: str | Path) -> Path:
        """
        Install the package until the end of the test.

        Returns:
            The folder with the programs.
        """
        programs = environment()
        pip(programs, "install", "--no-deps", *what)
        self.addCleanup(pip, programs, "uninstall", "--yes", PACKAGE)
        return programs

    def assertListed(self, programs: Path) -> None:
        """Check that `twistd` lists the plugin and prints its options."""
        self.assertRegex(run(programs / "twistd", "--help", folder=self.folder), rf"(?m)^ +{PACKAGE} ")
        self.assertIn("--listen", run(programs / "twistd", PACKAGE, "--help", folder=self.folder))

    def version(self, programs: Path) -> str:
        """Return the output of `--version`."""
        return run(programs / "twistd", PACKAGE, "--version", folder=self.folder).strip()

    def test_wheelHoldsThePackage(self) -> None:
        """The wheel has every file of the package, the plugin and the compiled modules, and nothing else."""
        names = namesIn(self.built.wheel)
        self.assertLessEqual(ASSETS | {"sseserver/py.typed", "sseserver/tap.py", "sseserver/speedups/body.pxd"}, names)
        needsCompiler()
        self.assertEqual(names, filesBelow(self.built.source, PACKAGE) | {PLUGIN} | COMPILED)

    def assertPure(self, wheel: Path, said: str, why: str) -> None:
        """Check that a wheel has no compiled module, and that its build says so in one line."""
        self.assertEqual(namesIn(wheel), filesBelow(self.built.source, PACKAGE) | {PLUGIN})
        [line] = re.findall(r"(?m)^sseserver: pure Python, since (.*)$", said)
        self.assertIn(why, line)

    def test_pureWheel(self) -> None:
        """`SSESERVER_PURE=1` builds a wheel without compiled modules, and so does a machine without a compiler."""
        for variable, value, why in (
            ("SSESERVER_PURE", "1", "SSESERVER_PURE is set"),
            ("CC", "/nowhere/cc", "there is no C compiler '/nowhere/cc'"),
        ):
            with self.subTest(why):
                wheel, said = buildWheel(self.built.source, self.folder / variable, **{variable: value})
                self.assertTrue(wheel.name.endswith("-py3-none-any.whl"), wheel.name)
                self.assertPure(wheel, said, why)

    def test_whatDoesNotCompile(self) -> None:
        """If one module does not compile, none is compiled."""
        needsCompiler()
        source = self.folder / "source"
        shutil.copytree(self.built.source, source)
        with (source / PACKAGE / "timing" / "ticker.pxd").open("a", encoding="utf-8") as file:
            file.write("cdef class NotThere(Nothing):\n    pass\n")
        self.assertPure(*buildWheel(source, self.folder / "wheel"), "it does not compile: ")

    def test_sdistHoldsTheTests(self) -> None:
        """The source distribution has everything that the tests need."""
        with tarfile.open(self.built.sdist) as sdist:
            names = {name.partition("/")[2] for name in sdist.getnames()}
        parts = filesBelow(self.built.source, PACKAGE, "tests", "docs", "benchmarks", ".ci", ".github")
        self.assertEqual(parts - names, set())
        self.assertLessEqual(
            {PLUGIN, "tox.ini", "setup.cfg", "pyproject.toml", "README.md", "CONTRIBUTING.md", "LICENSE", "setup.py"},
            names,
        )

    def test_installedWheelServes(self) -> None:
        """
        Installed from the wheel, `twistd` lists the plugin, streams the text, serves the page, ends at SIGTERM, and
        reports a compiled build. Nothing but the environment is on the path: no compiler.
        """
        programs = self.install(self.built.wheel)
        self.assertListed(programs)
        without = {"PATH": str(programs), "CC": "/nowhere/cc"}
        script = ROOT / ".ci" / "installed.py"
        self.assertIn("serves", run(programs / "python", script, folder=self.folder, **without))
        needsCompiler()
        self.assertRegex(self.version(programs), ", compiled$")
        run(programs / "python", script, "--compiled", folder=self.folder, **without)

    def test_indexTakesThePackages(self) -> None:
        """An index takes both packages. With the address of the repository its page has no relative link."""
        needs("no twine", sys.executable, "-m", "twine", "--version")
        run(sys.executable, "-m", "twine", "check", "--strict", self.built.sdist, self.built.wheel, folder=self.folder)
        with tarfile.open(self.built.sdist) as sdist:
            opened = sdist.extractfile(
                next(name for name in sdist.getnames() if name.count("/") == 1 and name.endswith("/PKG-INFO"))
            )
            assert opened is not None
            page = message_from_bytes(opened.read())
        urls = dict(value.split(", ") for value in page.get_all("Project-URL"))
        self.assertEqual(urls["Source"], REPOSITORY)
        self.assertEqual(urls["Changelog"], f"{REPOSITORY}/blob/v{page['Version']}/CHANGELOG.md")
        targets = re.findall(r"\]\(([^)]*)\)", page.get_payload())
        self.assertIn(f"{REPOSITORY}/raw/v{page['Version']}/docs/page.png", targets)
        self.assertEqual([target for target in targets if not target.startswith("https://")], [])

    def test_wheelsForAnIndex(self) -> None:
        """cibuildwheel builds a wheel for each supported Python, on Linux and macOS."""
        needs("no cibuildwheel", sys.executable, "-c", "import cibuildwheel")
        versions = re.findall(r"Python :: 3\.(\d+)$", (ROOT / "setup.cfg").read_text("utf-8"), re.MULTILINE)
        for platform, arch, name in (("linux", "x86_64", "manylinux"), ("macos", "arm64", "macosx")):
            command = ("-m", "cibuildwheel", "--platform", platform, "--archs", arch, "--print-build-identifiers", ROOT)
            printed = run(sys.executable, *command, folder=self.folder).split()
            self.assertEqual(printed, [f"cp3{version}-{name}_{arch}" for version in versions])

    def test_editableInstallIsListed(self) -> None:
        """
        After `pip install -e .` `twistd` lists the plugin, too, and runs the edited files instead of compiled ones.
        """
        programs = self.install("--editable", self.built.source)
        self.assertListed(programs)
        self.assertRegex(self.version(programs), ", pure Python$")
