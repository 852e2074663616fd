"""
What a server under measurement is: how it is started, where a viewer asks it for a stream of its own, where it takes
published events. Ours, as an operator starts it (the others are in `others.py`); and requests that are not measured.

All with a run for each viewer send the same text, `word1 word2 ... word999 word0 word1 ...`, one word a token, in
events of the same size: `id: ` with 22 characters, a hyphen and a number, `data: ` with the word and a space.
"""

from __future__ import annotations

import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path

import process

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

#: Ours, in tables.
OURS = "sseserver"


class SkipError(Exception):
    """
    A server cannot be measured here; the text says why.
    """


@dataclass(frozen=True, slots=True)
class Channel:
    """
    A stream that is published into.

    Args:
        publish: The path to POST events to.
        watch: The path where a viewer GETs those that come from now on.
        create: The path to PUT first; `None`: it is there.
        json: Whether what is POSTed is JSON, `{"data": "..."}`; else it is the data alone.
    """

    publish: str
    watch: str
    create: str | None = None
    json: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """
    One server under measurement.

    Args:
        name: Its name in tables.
        command: Its command line for a port.
        post: Where a viewer POSTs to get a run of its own; `None`: any GET has one.
        environment: Variables that it wants.
        channel: A stream of it to publish into; `None`: there is none.
        idle: Where a viewer GETs heartbeats and nothing else; `None`: nowhere.
    """

    name: str
    command: Callable[[int], list[str]]
    post: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    channel: Channel | None = None
    idle: str | None = None


def words(count: int) -> str:
    """
    The first words of the text, with a space after each.
    """
    return "".join(f"word{number % 1000} " for number in range(1, count + 1))


def sseserver(interval: float, textFile: Path, options: tuple[str, ...] = ()) -> Server:
    """
    Ours, with a text of its own.

    Args:
        interval: Seconds between two tokens of a run.
        textFile: What every run sends.
        options: More options of `twistd sseserver`.

    Raises:
        SkipError: See `twistd`.
    """
    return twistd("--interval", str(interval), "--text", str(textFile), "--linger", "5", *options)


def twistd(*options: str) -> Server:
    """
    Ours, as an operator starts it.

    Args:
        options: Of `twistd sseserver`.

    Raises:
        SkipError: There is no plugin, or no `twistd` beside this Python.
    """
    program = Path(sys.executable).with_name("twistd")
    if not (ROOT / "twisted" / "plugins" / "sseserver_plugin.py").exists():
        raise SkipError("no plugin sseserver in this tree yet")
    if not program.exists():
        raise SkipError(f"no twistd beside {sys.executable}")
    start = [sys.executable, str(program), "-n", "--pidfile=", "--reactor=epoll", "sseserver"]
    # The store is named, so that the default does not decide what is measured.
    usual = ["--store", "memory", "--max-viewers", "20000"]

    def command(port: int) -> list[str]:
        return [*start, "--listen", f"tcp:{port}:interface=127.0.0.1:backlog=4096", *usual, *options]

    return Server(OURS, command, post="/streams", environment={"PYTHONPATH": str(ROOT)})


def published(folder: Path, name: str = "benchmark", options: tuple[str, ...] = ()) -> Server:
    """
    Ours, with a stream to publish into (it has to be created).

    Args:
        folder: For its text file.
        name: The stream's.
        options: More options of `twistd sseserver`.

    Raises:
        SkipError: See `sseserver`.
    """
    text = folder / "words.txt"
    text.write_text(words(10))
    path = f"/streams/{name}"
    channel = Channel(path, f"{path}?from=now", path, json=True)
    return replace(sseserver(3600, text, options), channel=channel, idle=path)


def started(server: Server, core: int | None) -> process.ServerProcess:
    """
    A process for a server, on a free port, bound to a core.
    """
    port = process.freePort()
    return process.ServerProcess(server.command(port), port, core, server.environment)


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A response.

    Args:
        headers: Its header lines.
        body: Its body.
    """

    headers: Message
    body: bytes


def ask(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """
    One request that is not measured.

    Args:
        port: The server's.
        method: The request's.
        path: The request's.
        body: JSON.
        headers: Beside those that say so.

    Raises:
        urllib.error.HTTPError: It was refused.
    """
    every = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(f"http://{process.HOST}:{port}{path}", body, every, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return Answer(response.headers, response.read())
