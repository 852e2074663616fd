"""
The question: what does sseserver keep in memory, for each viewer and for each token?

    python benchmarks/memory.py [--viewers 1000] [--rate 20] [--seconds 20] [--tokens 50000] [--streams 5] [--json FILE]

Three parts, each with a new server process. "Memory" is the anonymous memory of the process, from
`/proc/PID/smaps_rollup` (see `process.Memory` why not its USS). So what Python's allocator holds but does not use is
counted, and what the kernel holds for the sockets is not.

1. *A viewer*: all of one stream, a run that has at most one token within the measurement (`--interval 3600`).
   Memory with all viewers less memory with one, divided by the others. As there are no tokens, this is what a viewer
   costs besides what its stream keeps.
2. *A run of its own for each viewer*, paced. Memory and the tokens delivered so far are read each second; a straight
   line is laid through them. Its slope is what a token keeps, in a stream that is being watched; its intercept, less
   the memory before, divided by the viewers, is what a viewer, its connection, its stream and its run cost before the
   first token.
3. *Long streams*: runs as fast as one viewer takes them (`--interval 0`), one after the other, each of `--tokens`
   tokens, all kept after their end. The growth from the first to the last, by the tokens between, is what a token
   keeps in a long stream. (The first is left out: it pays for what is built once.) Ends with an error when a stream
   was trimmed: then `--tokens` must be lower.

A token's own data are subtracted in the lines "above its data": the bytes of its UTF-8 text.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean, linear_regression
from urllib.parse import urlsplit

import process
import rounds
import servers
from journal import Arrival, byViewer
from load import EVENT_STREAM, OPENING_PATIENCE, Load, Plan


class PartError(Exception):
    """
    A part did not do what it measures.
    """


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One line of the result.

    Args:
        name: What was measured.
        bytes: How much.
    """

    name: str
    bytes: float


def started(server: servers.Server) -> process.ServerProcess:
    """
    A process for a server. It stays on the core of this one: nothing here depends on the time.
    """
    return servers.started(server, None)


def warm(port: int) -> None:
    """
    One viewer with a run of its own, for what the server loads or builds at its first request.
    """
    Load(Plan(port, 1, post="/streams", settle=0, seconds=0.3)).run()


def newRun(port: int) -> str:
    """
    Start a run, and return the path of its stream.
    """
    return urlsplit(servers.ask(port, "POST", "/streams", b"{}").headers["Location"]).path


def quietViewers(folder: Path, options: argparse.Namespace) -> list[Figure]:
    """
    Part 1: viewers of one stream in which nothing happens.
    """
    used: list[int] = []
    with started(servers.sseserver(3600, textFile(folder, 100))) as server:
        warm(server.port)
        path = newRun(server.port)
        for viewers in (1, options.viewers):
            plan = Plan(server.port, viewers, path, seconds=1)
            Load(plan, atEnd=lambda: used.append(server.memory().anonymous)).run()
    return [Figure("a viewer of a quiet stream", (used[1] - used[0]) / (options.viewers - 1))]


def textFile(folder: Path, tokens: int) -> Path:
    """
    A file with so many tokens.
    """
    file = folder / f"{tokens}.txt"
    file.write_text(servers.words(tokens))
    return file


def tokensUntil(viewers: Iterable[Sequence[Arrival]], moments: Sequence[float]) -> list[int]:
    """
    Tokens of all viewers that had come at each of some moments.
    """
    counts = [0] * len(moments)
    for events in viewers:
        for before, event in pairwise([Arrival(0, 0, b"", b""), *events]):
            for index, moment in enumerate(moments):
                counts[index] += max(0, event.number - before.number) if event.time <= moment else 0
    return counts


def ownRuns(folder: Path, options: argparse.Namespace) -> list[Figure]:
    """
    Part 2: a paced run for each viewer, a line through memory and tokens.
    """
    moments: list[float] = []
    used: list[float] = []
    tokens = int(options.rate * (options.viewers / 500 + options.seconds + OPENING_PATIENCE))
    with started(servers.sseserver(1 / options.rate, textFile(folder, tokens))) as server:
        warm(server.port)
        before = server.memory().anonymous

        def sample() -> None:
            moments.append(time.monotonic())
            used.append(server.memory().anonymous)

        plan = Plan(server.port, options.viewers, post="/streams", seconds=options.seconds)
        journal = Load(plan, atSecond=sample).run()
    line = linear_regression(tokensUntil(byViewer(journal), moments), used)
    data = len(servers.words(tokens)) / tokens
    return [
        Figure("a viewer with a run of its own, before the first token", (line.intercept - before) / options.viewers),
        Figure("a token of a paced run", line.slope),
        Figure("a token of a paced run, above its data", line.slope - data),
    ]


def longStreams(folder: Path, options: argparse.Namespace) -> list[Figure]:
    """
    Part 3: long streams, one after the other, all kept.
    """
    used: list[int] = []
    with started(servers.sseserver(0, textFile(folder, options.tokens))) as server:
        for _ in range(options.streams):
            wholeStream(server.port, options.tokens)
            time.sleep(0.5)
            used.append(server.memory().anonymous)
    token = fmean(after - before for before, after in pairwise(used)) / options.tokens
    data = len(servers.words(options.tokens)) / options.tokens
    return [Figure("a token of a long stream", token), Figure("a token of a long stream, above its data", token - data)]


def wholeStream(port: int, tokens: int) -> None:
    """
    Let one viewer read one stream to its end, and make sure that all of it came and is kept.

    Raises:
        PartError: Something was trimmed, or the viewer did not get all tokens.
    """
    path = newRun(port)
    # `Connection: close`, so that the end of the stream is the end of the connection, and of the window.
    plan = Plan(port, 1, path, headers=(*EVENT_STREAM, "Connection: close"), settle=0, seconds=60)
    (events,) = byViewer(Load(plan).run())
    got = max(event.number for event in events if not event.type)
    kept = servers.ask(port, "GET", path, headers={"Accept": "text/plain"})
    if got != tokens or kept.headers["Stream-Gap"] or kept.body.decode() != servers.words(tokens):
        raise PartError(f"{got} of {tokens} tokens came; trimmed: {kept.headers['Stream-Gap']}")


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens each second of each stream in part 2")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of part 2")
    parser.add_argument("--tokens", type=int, default=50_000, help="tokens of each long stream")
    parser.add_argument("--streams", type=int, default=5, help="number of long streams, at least 2")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def main() -> None:
    """
    Measure all three parts, print them, write the JSON.
    """
    options = parseArguments()
    core = process.cores()[0]
    if core is not None:
        os.sched_setaffinity(0, {core})
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in (quietViewers, ownRuns, longStreams):
            figures += part(Path(folder), options)
    table = rounds.markdown(["what", "bytes"], [[figure.name, f"{figure.bytes:,.0f}"] for figure in figures])
    rounds.report(options, figures, "What sseserver keeps in memory", table)


if __name__ == "__main__":
    main()
