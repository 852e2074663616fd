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
import http.client
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.house import PACKAGE, ROOT, compiledModules
from tests.integration.servers import freePort

# Seconds. Longest time for a package index, and for a server that starts or reads its signals.
INSTALL_PATIENCE = 600
SERVER_PATIENCE = 120

PLUGIN = "twisted/plugins/sseserver_plugin.py"
# The wheel also has a file for each compiled module.
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
COMPILED = {f"sseserver/{name.replace('.', '/')}{SUFFIX}" for name in compiledModules(ROOT)}
ASSETS = {f"sseserver/apis/page/assets/{name}" for name in ("index.html", "app.js", "app.css", "icon.svg")}


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
    run(sys.executable, "-m", "build", *parts, "--outdir", dist, source, folder=work)
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
    pip(folder / "bin", "install", "--no-compile", build().wheel)
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


def readWhenReady(server: subprocess.Popen[bytes], port: int, accept: str) -> tuple[str, str]:
    """
    Request `/` from a server that is just starting, and read the whole response.

    Returns:
        The content type and the body.
    """
    deadline = time.monotonic() + SERVER_PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SERVER_PATIENCE)
        try:
            connection.request("GET", "/", headers={"Accept": accept})
            response = connection.getresponse()
            return response.getheader("Content-Type", ""), response.read().decode("utf-8")
        except ConnectionRefusedError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


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
        reports a compiled build.
        """
        programs = self.install(self.built.wheel)
        self.assertListed(programs)
        port, log = freePort(), self.folder / "output"
        options = ("--listen", f"tcp:{port}:interface=127.0.0.1", "--interval", "0")
        with log.open("w") as output:
            command = (programs / "twistd", "-n", "--pidfile=", PACKAGE, *options, "--drain-wait=0")
            server = subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output)
        try:
            contentType, stream = readWhenReady(server, port, "text/event-stream")
            _, page = readWhenReady(server, port, "text/html")
            server.terminate()
            status = server.wait(timeout=SERVER_PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise AssertionError(log.read_text("utf-8")) from problem
        finally:
            server.kill()
            server.wait()
        self.assertEqual(contentType, "text/event-stream")
        self.assertRegex(stream, r"\ndata: \w")
        self.assertRegex(stream, r"event: done\n(?:.+\n)*\n\Z")
        self.assertIn("<html", page)
        self.assertEqual(status, 0)
        self.assertNotIn("Traceback", log.read_text("utf-8"))
        needsCompiler()
        self.assertRegex(self.version(programs), ", compiled$")

    def test_editableInstallIsListed(self) -> None:
        """
        After `pip install -e .` `twistd` lists the plugin, too, and runs the edited files instead of compiled ones.
        """
        programs = self.install("--editable", self.built.source)
        self.assertListed(programs)
        self.assertRegex(self.version(programs), ", pure Python$")
