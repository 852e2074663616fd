"""
Planted bugs: each breaks a promise that tests/test_promise.py tests, and a test must find it.

`python tests/planted.py` copies the tree, plants one bug after the other in a copy, and runs the test
that must fail. `python tests/planted.py WORD` plants only the bugs whose names contain the word. With
`--all`, all of tests/test_promise.py and tests/test_cut.py may find them.
tests/integration/test_planted.py plants the likeliest bugs in each run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROMISE = "tests/test_promise.py"
CUT = "tests/test_cut.py"


@dataclass(frozen=True)
class Bug:
    """
    One way to break the package.

    Attributes:
        name: Name of the bug.
        file: Path of the module, below the package.
        old: Text that occurs once in the module. `{between}` stands for any text, which stays.
        new: Text that replaces it.
        test: The test that must fail.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


BUGS = (
    Bug(
        "resume with >= for >",
        "streams/log.py",
        '            raise GapError("trimmed", start, start - number)\n        return number\n',
        '            raise GapError("trimmed", start, start - number)\n        return max(start, number - 1)\n',
        "ResumeTests::test_goesOnBehindTheLastID",
    ),
    Bug(
        "follow after reading instead of before",
        "delivery/producer.py",
        "        self._rendering = self.streamLog.follow(self, self.form)\n{between}        self.wake()\n",
        "        self._rendering = self.streamLog.findRendering(self.form)\n{between}        self.wake()\n"
        "        self._rendering = self.streamLog.follow(self, self.form)\n",
        "ResumeTests::test_writtenWhileTheViewerBegins",
    ),
    Bug(
        "an event without an ID",
        "formats/events.py",
        'return writeBlock(data, type, b"%b-%d" % (self._epoch, number))',
        "return writeBlock(data, type)",
        "ResumeTests::test_everyEventHasItsID",
    ),
    Bug(
        "an ID that is not checked against its epoch",
        "streams/log.py",
        "if number > (self.last if epoch == self.epoch else min(self.last, self.earlier.get(epoch, -1))):",
        "if number > self.last:",
        "GapTests::test_foreignEpoch",
    ),
    Bug(
        "str.splitlines() for data",
        "wire/block.py",
        '    if b"\\r" in data:\n        data = data.replace(b"\\r\\n", b"\\n").replace(b"\\r", b"\\n")\n',
        '    data = "\\n".join(data.decode("utf-8").splitlines()).encode("utf-8")\n',
        "ResumeTests::test_onlyTheThreeLineEnds",
    ),
    Bug(
        "a joined event with the first ID",
        "formats/rendering.py",
        "self.addPiece(last, text, index, parts)",
        "self.addPiece(first, text, index, parts)",
        "ResumeTests::test_joinedEventHasTheLastID",
    ),
    Bug(
        "a gap with the ID of what follows",
        "formats/rendering.py",
        '(epoch.encode("ascii"), gap.cursor))',
        '(epoch.encode("ascii"), gap.cursor + 1))',
        "GapTests::test_itsOwnID",
    ),
    Bug(
        "the terminal twice",
        "delivery/producer.py",
        '                    self.finish("complete")\n',
        "                    self._write(self._rendering.read(cursor - 1, READ_BYTES, False).data)\n"
        '                    self.finish("complete")\n',
        "ResumeTests::test_terminalOnce",
    ),
    Bug(
        "a refused publish that stays",
        "streams/log.py",
        "        self.account.used -= self.buffer.cut(self.last)\n",
        "",
        "PublishTests::test_refusedIsNotThere",
    ),
    Bug(
        "an idempotency key that is not looked up",
        "stores/publishing.py",
        "use = streamLog.keys.get(key)",
        "use = None",
        "PublishTests::test_sameKeySameAnswer",
    ),
)


def plant(bug: Bug, tree: Path) -> None:
    """
    Break a copy of the tree.

    Raises:
        RuntimeError: The module has the text never, or more than once: this file must follow the package.
    """
    path = tree / "sseserver" / bug.file
    source = path.read_text("utf-8")
    old, new = bug.old, bug.new
    if "{between}" in old:
        # The text between two places stays.
        before, after = old.split("{between}")
        begin = source.index(before) + len(before)
        between = source[begin : source.index(after, begin)]
        old, new = old.replace("{between}", between), new.replace("{between}", between)
    if source.count(old) != 1:
        raise RuntimeError(f"{bug.name}: {bug.file} has this {source.count(old)} times:\n{old}")
    path.write_text(source.replace(old, new), "utf-8")


def runTests(tree: Path, *targets: str) -> tuple[bool, float, str]:
    """
    Run tests in a tree.

    Returns:
        Whether they pass, the seconds that it took, and the output of pytest.

    Raises:
        RuntimeError: pytest could not run them.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), "CI": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *targets]
    start = time.monotonic()
    result = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    if result.returncode not in {0, 1}:
        raise RuntimeError(f"{' '.join(command)} could not run:\n{result.stdout}{result.stderr}")
    return result.returncode == 0, time.monotonic() - start, result.stdout


def copyTree(target: Path) -> None:
    """Copy the files that the tests need."""
    for folder in ("sseserver", "tests"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.cfg"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, target / file)


def main(arguments: list[str]) -> int:
    """Plant the bugs and print the test that found each. The exit status is 1 if one was not found."""
    words = [argument for argument in arguments if not argument.startswith("-")]
    bugs = [bug for bug in BUGS if all(word in bug.name for word in words)]
    everything = (PROMISE, CUT)
    with tempfile.TemporaryDirectory(prefix="sseserver-planted-") as folder:
        sound = Path(folder) / "sound"
        copyTree(sound)
        passed, seconds, printed = runTests(sound, *sorted({f"{PROMISE}::{bug.test}" for bug in bugs}))
        say(f"{'passes' if passed else 'FAILS'}  {seconds:4.1f} s  the tree as it is")
        if not passed:
            say(printed)
            return 1
        missed = 0
        for number, bug in enumerate(bugs):
            tree = Path(folder) / str(number)
            copyTree(tree)
            plant(bug, tree)
            targets = everything if "--all" in arguments else (f"{PROMISE}::{bug.test}",)
            passed, seconds, printed = runTests(tree, *targets)
            missed += passed
            found = [line.split(" ")[1] for line in printed.splitlines() if line.startswith(("FAILED", "ERROR"))]
            say(f"{'MISSED' if passed else 'found'}   {seconds:4.1f} s  {bug.name}: {', '.join(found) or bug.test}")
    return 1 if missed else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
