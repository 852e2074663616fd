"""
The peers, the baselines and the floor: how each is started, as its users would start it, or why it cannot be here.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nginx
import secure
from servers import HERE, Channel, Server, SkipError

PEERS = HERE / "peers"

BASELINE = "bare Twisted"
FLOOR = "floor (C)"
UVICORN = "uvicorn"
STARLETTE = "sse-starlette"
AIOHTTP = "aiohttp-sse"
TORNADO = "tornado"
NODE = "node"
NCHAN = "nginx, nchan"
WEB = "twisted.web"

Makers = dict[str, Callable[[], Server]]


@dataclass(frozen=True, slots=True)
class Work:
    """
    What every peer does, see `peers/work.py`.

    Args:
        rate: Tokens each second of a stream; 0: as fast as it goes.
        count: Tokens until a stream ends; 0: never.
        heartbeat: Seconds from one comment to the next.
    """

    rate: float = 20.0
    count: int = 0
    heartbeat: float = 15.0

    def server(self, name: str, command: Callable[[int], list[str]]) -> Server:
        """
        A peer that does this.
        """
        environment = {"RATE": str(self.rate), "COUNT": str(self.count), "HEARTBEAT": str(self.heartbeat)}
        return Server(name, command, None, environment, Channel("/publish", "/watch"), "/idle")


def script(name: str) -> str:
    """
    The path of a script of ours.
    """
    return str(PEERS / name)


def need(*modules: str) -> None:
    """
    Make sure that packages are there for the Python that runs this.

    Raises:
        SkipError: One is not.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise SkipError(f"no {', '.join(missing)} here (pip install 'sseserver[benchmark]')")


def python(work: Work, name: str, file: str, *modules: str) -> Server:
    """
    A peer that is a script, and what it imports.
    """
    need(*modules)
    return work.server(name, lambda port: [sys.executable, script(file), str(port)])


def uvicorn(work: Work, name: str, application: str, *modules: str, pair: secure.Pair | None = None) -> Server:
    """
    An ASGI application under uvicorn, as its documentation has it for speed; with a `pair` over TLS.
    """
    need("uvicorn", "uvloop", "httptools", *modules)
    start = [sys.executable, "-m", "uvicorn", "--app-dir", str(PEERS), "--loop", "uvloop", "--http", "httptools"]
    quiet = ["--no-access-log", "--log-level", "warning", "--backlog", "4096", "--timeout-graceful-shutdown", "1"]
    files = ["--ssl-keyfile", str(pair.key), "--ssl-certfile", str(pair.certificate)] if pair else []
    server = work.server(name, lambda port: [*start, *quiet, *files, "--port", str(port), application])
    return replace(server, tls=pair is not None)


def node(work: Work) -> Server:
    """
    Node's own `http`.
    """
    program = shutil.which("node")
    if program is None:
        raise SkipError("not installed (apt-get install nodejs)")
    return work.server(NODE, lambda port: [program, script("events.js"), str(port)])


def frameworks(work: Work) -> Makers:
    """
    Every peer that does all of a work, and the baseline.
    """
    return {
        BASELINE: lambda: python(work, BASELINE, "bare_twisted.py"),
        UVICORN: lambda: uvicorn(work, UVICORN, "bare_asgi:application"),
        STARLETTE: lambda: uvicorn(work, STARLETTE, "starlette_events:application", "sse_starlette"),
        AIOHTTP: lambda: python(work, AIOHTTP, "aiohttp_events.py", "aiohttp_sse", "uvloop"),
        TORNADO: lambda: python(work, TORNADO, "tornado_events.py", "tornado"),
        NODE: lambda: node(work),
    }


def secured(work: Work, pair: secure.Pair) -> Makers:
    """
    Those that do it over TLS.
    """
    return {UVICORN: lambda: uvicorn(work, UVICORN, "bare_asgi:application", pair=pair)}


def floor(work: Work, folder: Path) -> Server:
    """
    The floor, see `peers/floor.c`; it is built into `folder`.

    Raises:
        SkipError: No C compiler, or it fails.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise SkipError("no C compiler (cc)")
    program = str(folder / "floor")
    built = subprocess.run(
        [compiler, "-O2", "-o", program, script("floor.c")], capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise SkipError(f"cc failed: {built.stderr.strip()}")
    return Server(FLOOR, lambda port: [program, str(port), str(work.rate), str(work.count)])


def nchan(folder: Path) -> Server:
    """
    nginx with nchan, as Debian has them; its files are in `folder`.

    Raises:
        SkipError: They are not installed.
    """
    program = nginx.program("nginx libnginx-mod-nchan", nginx.NCHAN_MODULE)
    locations = """
        location = /publish {
            nchan_publisher;
            nchan_channel_id one;
            nchan_message_buffer_length 1000;
        }
        location = /events {
            nchan_subscriber eventsource;
            nchan_channel_id one;
            nchan_subscriber_first_message newest;
        }"""
    return Server(
        NCHAN,
        lambda port: nginx.command(program, folder, port, locations, nginx.NCHAN_MODULE),
        channel=Channel("/publish", "/events"),
        idle="/events",
    )


def plainWrite(file: Path, web: bool = False) -> Server:
    """
    The baselines of catching up, see `peers/plain_write.py`.

    Args:
        file: What is sent.
        web: Whether `twisted.web` sends it.
    """
    options = ["--file", str(file), *(["--web"] if web else [])]
    start = [sys.executable, script("plain_write.py"), *options]
    return Server(WEB if web else BASELINE, lambda port: [*start, "--port", str(port)])
