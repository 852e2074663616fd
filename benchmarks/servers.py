"""
What a server under measurement is: how it is started, where a viewer asks it for a stream of its own, where it takes
published events. Ours, as an operator starts it (the others are in `others.py`); and requests that are not measured.

All with a run for each viewer send the same text, `word1 word2 ... word999 word0 word1 ...`, one word a token, in
events of the same size: `id: ` with 22 characters, a hyphen and a number, `data: ` with the word and a space.
"""

from __future__ import annotations

import importlib.util
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path

import process
import secure

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
        tls: Whether it is asked over TLS.
        ask: What a viewer POSTs to be answered with an event stream; `None`: it GETs.
        most: How many viewers it can serve on one core; `None`: as many as are asked for.
    """

    name: str
    command: Callable[[int], list[str]]
    post: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    channel: Channel | None = None
    idle: str | None = None
    tls: bool = False
    ask: str | None = None
    most: int | None = None


def words(count: int) -> str:
    """
    The first words of the text, with a space after each.
    """
    return "".join(f"word{number % 1000} " for number in range(1, count + 1))


def sseserver(
    interval: float,
    textFile: Path,
    options: tuple[str, ...] = (),
    database: Path | None = None,
    pair: secure.Pair | None = None,
) -> Server:
    """
    Ours, with a text of its own.

    Args:
        interval: Seconds between two tokens of a run.
        textFile: What every run sends.
        options: More options of `twistd sseserver`.
        database: See `twistd`.
        pair: See `twistd`.

    Raises:
        SkipError: See `twistd`.
    """
    return twistd(
        "--interval", str(interval), "--text", str(textFile), "--linger", "5", *options, database=database, pair=pair
    )


def twistd(*options: str, database: Path | None = None, pair: secure.Pair | None = None) -> Server:
    """
    Ours, as an operator starts it: what is installed for this Python. After an editable install that is the tree.

    Args:
        options: Of `twistd sseserver`.
        database: The folder in which each process has a new SQLite file; `None`: streams are kept in memory.
        pair: For TLS.

    Raises:
        SkipError: It is not installed for this Python, or there is no `twistd` beside it.
    """
    program = Path(sys.executable).with_name("twistd")
    found = importlib.util.find_spec("sseserver")
    if found is None or found.origin is None:
        raise SkipError(f"no sseserver is installed for {sys.executable}")
    if not program.exists():
        raise SkipError(f"no twistd beside {sys.executable}")
    start = [sys.executable, str(program), "-n", "--pidfile=", "--reactor=epoll", "sseserver"]
    # None of the servers here writes an access log.
    usual = ["--max-viewers", "20000", "--max-runs", "20000", "--access-log", "none"]
    kind, files = ("ssl", f":privateKey={pair.key}:certKey={pair.certificate}") if pair else ("tcp", "")

    def command(port: int) -> list[str]:
        # The store is always named, so that the default does not decide what is measured.
        store = f"sqlite:{database / f'{port}.db'}" if database else "memory"
        listen = f"{kind}:{port}:interface=127.0.0.1:backlog=4096{files}"
        return [*start, "--listen", listen, "--store", store, *usual, *options]

    name = f"{OURS}, SQLite" if database else OURS
    # The one that this Python imports, also where `PYTHONPATH` is relative: the other process runs in another folder.
    environment = {"PYTHONPATH": str(Path(found.origin).resolve().parent.parent)}
    return Server(name, command, "/streams", environment, tls=pair is not None)


def published(
    folder: Path, options: tuple[str, ...] = (), database: Path | None = None, pair: secure.Pair | None = None
) -> Server:
    """
    Ours, with a stream to publish into (it has to be created).

    Args:
        folder: For its text file.
        options: More options of `twistd sseserver`.
        database: See `twistd`.
        pair: See `twistd`.

    Raises:
        SkipError: See `sseserver`.
    """
    text = folder / "words.txt"
    text.write_text(words(10))
    path = "/streams/benchmark"
    channel = Channel(path, f"{path}?from=now", path, json=True)
    return replace(sseserver(3600, text, options, database, pair), channel=channel, idle=path)


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


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    tls: bool = False,
) -> Answer:
    """
    One request that is not measured.

    Args:
        port: The server's.
        method: The request's.
        path: The request's.
        body: JSON.
        headers: Beside those that say so.
        tls: Whether over TLS.

    Raises:
        urllib.error.HTTPError: It was refused.
    """
    every = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
    url = f"{'https' if tls else 'http'}://{process.HOST}:{port}{path}"
    request = urllib.request.Request(url, body, every, method=method)
    context = secure.clientContext() if tls else None
    with urllib.request.urlopen(request, timeout=30, context=context) as response:
        return Answer(response.headers, response.read())
