"""
The servers that the benchmarks start: how each is called, and how a viewer asks it for a stream of its own.

All of them send the same text, `word1 word2 ... word999 word0 word1 ...`, one word a token, in events of the same size:
`id: ` with 22 characters, a hyphen and a number, `data: ` with the word and a space.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

BASELINE = "bare Twisted"
FLOOR = "floor (C)"
OURS = "sseserver"


class SkipError(Exception):
    """
    A server cannot be measured here; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Server:
    """
    One server under measurement.

    Args:
        name: Its name in tables.
        command: Its command line for a port.
        post: Where a viewer POSTs to get a run of its own; `None`: any GET has one.
        environment: Variables that it wants.
    """

    name: str
    command: Callable[[int], list[str]]
    post: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


def words(count: int) -> str:
    """
    The first words of the text, with a space after each.
    """
    return "".join(f"word{number % 1000} " for number in range(1, count + 1))


def bareTwisted(rate: float) -> Server:
    """
    The baseline, see `peers/bare_twisted.py`.
    """
    script = str(HERE / "peers" / "bare_twisted.py")
    return Server(BASELINE, lambda port: [sys.executable, script, "--port", str(port), "--rate", str(rate)])


def floor(rate: float, folder: Path) -> Server:
    """
    The floor, see `peers/floor.c`; it is built into `folder`.

    Raises:
        SkipError: No C compiler, or it fails.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise SkipError("no C compiler (cc)")
    program = str(folder / "floor")
    source = str(HERE / "peers" / "floor.c")
    built = subprocess.run([compiler, "-O2", "-o", program, source], capture_output=True, text=True, check=False)
    if built.returncode:
        raise SkipError(f"cc failed: {built.stderr.strip()}")
    return Server(FLOOR, lambda port: [program, str(port), str(rate)])


def sseserver(interval: float, textFile: Path, options: tuple[str, ...] = ()) -> Server:
    """
    Ours, as an operator starts it.

    Args:
        interval: Seconds between two tokens of a run.
        textFile: What every run sends.
        options: More options of `twistd sseserver`.

    Raises:
        SkipError: There is no plugin, or no `twistd` beside this Python.
    """
    twistd = Path(sys.executable).with_name("twistd")
    if not (ROOT / "twisted" / "plugins" / "sseserver_plugin.py").exists():
        raise SkipError("no plugin sseserver in this tree yet")
    if not twistd.exists():
        raise SkipError(f"no twistd beside {sys.executable}")
    start = [sys.executable, str(twistd), "-n", "--pidfile=", "--reactor=epoll", "sseserver"]
    pace = ["--interval", str(interval), "--text", str(textFile), "--max-viewers", "20000", "--linger", "5"]

    def command(port: int) -> list[str]:
        return [*start, "--listen", f"tcp:{port}:interface=127.0.0.1:backlog=4096", *pace, *options]

    return Server(OURS, command, post="/streams", environment={"PYTHONPATH": str(ROOT)})
