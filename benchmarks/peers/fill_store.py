"""
Fills an SQLite store at its interface, in this process, and prints the figures as JSON.

    python benchmarks/peers/fill_store.py FOLDER RATE STREAMS SECONDS

A loop of 1 ms appends tokens of 7 bytes to all streams in turn, as many as are due. Then the store is
stopped, opened again, and every stream is read back and compared.
"""

import itertools
import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from twisted.internet import task
from twisted.internet.defer import gatherResults

from sseserver.stores.sqlite import SQLiteStore

#: Bytes. A window from which nothing is trimmed.
WINDOW = 1 << 30

#: Kind of the entries: `Kind.TOKEN`, which is in another module in versions before 2026-11-29.
TOKEN = 0

#: Number of entries for each one that is timed.
SAMPLE = 10


def fsyncMilliseconds(path: Path) -> float:
    """Return the median time of an `fsync` of 1 MiB."""
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(9):
            file.write(os.urandom(1 << 20))
            begin = time.monotonic()
            os.fsync(file.fileno())
            times.append(time.monotonic() - begin)
    return median(times) * 1000


def entriesOf(streamLog: Any) -> list[bytes]:
    """Return the data of all entries; a log of versions before 2026-11-29 has them itself."""
    return getattr(streamLog, "buffer", streamLog).entries


def stored(streamLog: Any) -> Any:
    """Return a Deferred that fires when all entries are stored."""
    return streamLog.awaitStored() if hasattr(streamLog, "awaitStored") else streamLog.settled()


async def fill(reactor: Any, path: str, rate: float, streams: int, seconds: float) -> tuple[dict[str, Any], Any]:
    """Append at a rate; return the figures, and the entries of each stream."""
    store = SQLiteStore(reactor, path, WINDOW)
    store.start()
    logs = await gatherResults([store.create(f"{number}", published=False) for number in range(streams)])
    begin, cpu, appended, lags = time.monotonic(), time.process_time(), 0, list[float]()
    turns = itertools.cycle(logs)

    def appendDue() -> None:
        nonlocal appended
        due = int((time.monotonic() - begin) * rate)
        for number in range(appended, due):
            streamLog = next(turns)
            streamLog.append(TOKEN, b"%7d" % (number % 10_000_000))
            if not number % SAMPLE:
                now = time.monotonic()
                stored(streamLog).addCallback(lambda _, now=now: lags.append(time.monotonic() - now))
        appended = max(appended, due)

    loop = task.LoopingCall(appendDue)
    loop.start(0.001)
    await task.deferLater(reactor, seconds)
    length, cpu = time.monotonic() - begin, time.process_time() - cpu
    visible = sum(streamLog.last for streamLog in logs)
    loop.stop()
    await gatherResults([stored(streamLog) for streamLog in logs])
    kept = {streamLog.name: entriesOf(streamLog) for streamLog in logs}
    await store.stop()
    return {"per second": visible / length, "cpu": cpu / visible * 1e6, "share": cpu / length, "lags": lags}, kept


async def readBack(reactor: Any, path: str, kept: dict[str, list[bytes]]) -> int:
    """Return the number of entries that another store does not find in the file as they were."""
    store = SQLiteStore(reactor, path, WINDOW)
    store.start()
    faults = 0
    for name, entries in kept.items():
        found = entriesOf(await store.find(name))
        # The last one says that the run was interrupted.
        faults += abs(len(found) - 1 - len(entries)) + sum(map(bytes.__ne__, found, entries))
    await store.stop()
    return faults


async def main(reactor: Any, folder: str, rate: str, streams: str, seconds: str) -> None:
    """Measure and print."""
    fsync, path = fsyncMilliseconds(Path(folder, "fsync")), str(Path(folder, f"{os.getpid()}.db"))
    figures, kept = await fill(reactor, path, float(rate), int(streams), float(seconds))
    print(json.dumps({**figures, "fsync": fsync, "faults": await readBack(reactor, path, kept)}))


if __name__ == "__main__":
    task.react(main, sys.argv[1:])
