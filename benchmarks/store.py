"""
The question: how many entries a second does the SQLite store take, and how long until one is visible?

    python benchmarks/store.py [--rate 60000] [--streams 500] [--seconds 10] [--rounds 3] [--folder .] [--json FILE]

At the store's interface, in this process: a loop of 1 ms appends tokens of 7 bytes to all streams in turn, as many as
are due: somewhat more a second than the 50,000 that are the goal, since no store takes more than it is offered. The
store writes them in its thread (`synchronous=NORMAL`, WAL). Then the store is stopped, opened anew, and
every stream read back and compared.

Printed for each round:

* entries/s: entries visible at the end of the window / its length. Below `--rate` the store (or the loop that feeds it)
  cannot keep up;
* lag: milliseconds from `append()` until the store has the entry (`settled()` fires), of every tenth entry;
* CPU: CPU time of the process, feeding included, for an entry, in microseconds; and its share of one core;
* fsync: milliseconds that an `fsync` of 1 MiB takes in this folder at the median, before the round. A checkpoint makes
  two, and what is appended meanwhile waits: on a busy disk the highest lags say more about the disk;
* faults: entries that were not there, or were others, when the file was read again.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import process
import rounds
from journal import spread
from twisted.internet import task
from twisted.internet.defer import gatherResults

from sseserver.interfaces import IStreamLog
from sseserver.stores.sqlite import SQLiteStore
from sseserver.values import Kind

WINDOW = 1 << 30  # nothing is trimmed
SAMPLE = 10  # every so many entries one is timed


def fsyncTime(folder: Path) -> float:
    """Milliseconds that an `fsync` of 1 MiB takes."""
    times = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(9):
            file.write(os.urandom(1 << 20))
            begin = time.monotonic()
            os.fsync(file.fileno())
            times.append(time.monotonic() - begin)
    return round(median(times) * 1000, 1)


class Feed:
    """
    Appends to all streams in turn, at a rate.

    Args:
        logs: The streams.
        rate: Entries a second.

    Attributes:
        appended: How many so far.
        lags: Seconds until a sample of them was visible.
    """

    def __init__(self, logs: list[IStreamLog], rate: float) -> None:
        self.appended = 0
        self.lags: list[float] = []
        self._turns = itertools.cycle(logs)
        self._rate = rate
        self._begin = time.monotonic()

    def turn(self) -> None:
        """Append what is due."""
        due = int((time.monotonic() - self._begin) * self._rate)
        for number in range(self.appended, due):
            streamLog = next(self._turns)
            streamLog.append(Kind.TOKEN, b"%7d" % (number % 10_000_000))
            if not number % SAMPLE:
                streamLog.settled().addCallback(self._visible, time.monotonic())
        self.appended = max(self.appended, due)

    def _visible(self, result: None, appended: float) -> None:
        self.lags.append(time.monotonic() - appended)


@dataclass(frozen=True, slots=True)
class Filled:
    """
    One round; see above.
    """

    rate: int
    lag: dict[str, float]
    cpu: float
    share: float
    fsync: float
    faults: int


async def measure(reactor: Any, folder: Path, options: argparse.Namespace) -> Filled:
    """One round on a new file."""
    fsync, path = fsyncTime(folder), str(folder / "streams.db")
    store = SQLiteStore(reactor, path, WINDOW)
    store.start()
    logs = await gatherResults([store.create(f"{number}", published=False) for number in range(options.streams)])
    begin, cpu = time.monotonic(), time.process_time()
    feed = Feed(logs, options.rate)
    loop = task.LoopingCall(feed.turn)
    loop.start(0.001)
    await task.deferLater(reactor, options.seconds)
    seconds, cpu = time.monotonic() - begin, time.process_time() - cpu
    visible = sum(streamLog.last for streamLog in logs)
    loop.stop()
    # Before anything else takes time here.
    await gatherResults([streamLog.settled() for streamLog in logs])
    kept = {streamLog.name: streamLog.buffer.entries for streamLog in logs}
    await store.stop()
    return Filled(
        rate=round(visible / seconds),
        lag=spread(feed.lags),
        cpu=round(cpu / visible * 1e6, 1),
        share=round(cpu / seconds, 2),
        fsync=fsync,
        faults=await readBack(reactor, path, kept),
    )


def table(results: list[Filled]) -> str:
    """The table, in Markdown, a line for each round."""
    head = [
        "round",
        "entries/s",
        "lag p50 ms",
        "p99",
        "p99.9",
        "max",
        "µs of CPU an entry",
        "share",
        "fsync ms",
        "faults",
    ]
    rows = [
        [
            str(number),
            f"{one.rate:,}",
            *(f"{value:.1f}" for value in one.lag.values()),
            f"{one.cpu:.1f}",
            f"{one.share:.0%}",
            f"{one.fsync:.1f}",
            str(one.faults),
        ]
        for number, one in enumerate(results)
    ]
    return rounds.markdown(head, rows)


async def readBack(reactor: Any, path: str, kept: dict[str, list[bytes]]) -> int:
    """Count the entries that another store does not find in the file as they were."""
    store = SQLiteStore(reactor, path, WINDOW)
    store.start()
    faults = 0
    for name, entries in kept.items():
        found = (await store.find(name)).entries
        # The last one says that the run was interrupted.
        faults += abs(len(found) - 1 - len(entries)) + sum(map(bytes.__ne__, found, entries))
    await store.stop()
    return faults


async def main(reactor: Any) -> None:
    """Measure, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=60_000, help="entries a second that are offered")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the files are made: on the disk in question")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for a quiet machine")
    parser.add_argument("--json", type=Path, help="file for the results")
    options = parser.parse_args()
    results = []
    for number in range(options.rounds):
        process.waitForQuiet(options.patience)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results.append(await measure(reactor, Path(folder), options))
        print(f"round {number}: {results[-1]}", flush=True)
    title = (
        f"{options.rate:,.0f} entries a second into {options.streams} streams, {options.rounds} x {options.seconds:g} s"
    )
    rounds.report(options, results, title, table(results))


if __name__ == "__main__":
    task.react(lambda reactor: main(reactor))
