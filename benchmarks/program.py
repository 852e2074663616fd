"""
The question: how fast does what a program writes get to a viewer, and in how much memory?

    python benchmarks/program.py [--megabytes 100] [--write 65536] [--rounds 3] [--json FILE]

A program writes `--megabytes` of lines, `--write` bytes at a time; one viewer reads them in the format `events` as fast
as it can. In each round twice: lines of 80 bytes (each of which is a line of its own in the event stream), and lines of
8,000. Beside it the pipe alone: this process reads the same program with no server between.

After the measurement the viewer's text is compared with what the program writes.

Printed, as medians of the rounds:

* MB/s: bytes of the text / time from the request for the run to the last byte (the program's start is in it);
* pipe MB/s: the same of the pipe alone; and the ratio;
* MB per CPU second: bytes of the text / CPU time of the server;
* MiB of memory (the worst round): the server's highest RSS within the round, less that before it. One run was before,
  so what is built once is not in it;
* gaps, faults (the worst round): events `gap`; viewers whose text is another.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import process
import rounds
import servers
from journal import Dechunker, Journal, readsByViewer
from load import EVENT_STREAM, Load, Plan

MEGABYTE = 10**6
LONGEST = 120.0  # seconds until the viewer must have all

# Writes so many bytes, in pieces of this size, of lines of that length.
WRITER = """
import os, sys
left, size, length = map(int, sys.argv[1:])
line = b"x" * (length - 1) + b"\\n"
text = line * (size // length + 2)
offset = 0
while left:
    piece = text[offset : offset + min(size, left)]
    done = os.write(1, piece)
    left, offset = left - done, (offset + done) % length
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """
    One run in one round.

    Args:
        round: The round, from 0.
        line: Bytes of a line, its end included.
        bytes: Of the text.
        seconds: From the request to the last byte.
        pipe: Seconds of the pipe alone.
        cpu: CPU time of the server in seconds.
        waited: Time in which the server was ready but had no core / `seconds`.
        memory: Bytes that the server grew at most.
        gaps: Events `gap`.
        wrong: 1 when the viewer's text is another.
    """

    round: int
    line: int
    bytes: int
    seconds: float
    pipe: float
    cpu: float
    waited: float
    memory: int
    gaps: int
    wrong: int


def textOf(journal: Journal) -> tuple[bytes, int]:
    """
    The text that came to the one viewer, and how many gaps.
    """
    (reads,) = readsByViewer(journal).values()
    dechunker = Dechunker()
    body = b"".join(dechunker.feed(data) for _, data in reads)
    tokens, gaps = [], 0
    for block in body.split(b"\n\n"):
        lines = block.split(b"\n")
        gaps += b"event: gap" in lines
        if not any(line.startswith(b"event:") for line in lines):
            tokens.append(b"\n".join(line[6:] for line in lines if line.startswith(b"data: ")))
    return b"".join(tokens), gaps


def highest(pid: int) -> int:
    """
    The highest RSS of a process in bytes since it was last forgotten.
    """
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forgetHighest(pid: int) -> None:
    """
    Let the highest RSS be what it is now (`proc(5)`, `clear_refs`).
    """
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def run(port: int) -> Journal:
    """
    One viewer with a run of its own, to its end.
    """
    # `Connection: close`, so that the end of the stream is the end of the connection, and of the window.
    headers = (*EVENT_STREAM, "Connection: close")
    return Load(Plan(port, 1, post="/streams", headers=headers, connectRate=1e6, settle=0, seconds=LONGEST)).run()


def pipeAlone(command: list[str]) -> float:
    """
    How long this process takes to read what the program writes, in seconds.
    """
    begin = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdout is not None
        while child.stdout.read(64 * 1024):
            pass
    return time.monotonic() - begin


def measure(number: int, line: int, options: argparse.Namespace, core: int | None) -> Reading:
    """
    One reading.
    """
    size = int(options.megabytes * MEGABYTE)
    command = [sys.executable, "-S", "-E", "-c", WRITER, str(size), str(options.write), str(line)]
    process.waitForQuiet(options.patience)
    pipe = pipeAlone(command)
    with servers.started(servers.twistd("--exec", shlex.join(command)), core) as child:
        # What the server loads or builds at its first run.
        run(child.port)
        before, cpu, waited = child.memory().rss, child.cpuSeconds(), child.waitedSeconds()
        forgetHighest(child.pid)
        journal = run(child.port)
        begin, end = min(journal.asked.values()), journal.reads[-1][0]
        cpu, waited = child.cpuSeconds() - cpu, child.waitedSeconds() - waited
        grown = highest(child.pid) - before
    text, gaps = textOf(journal)
    expected = ((b"x" * (line - 1) + b"\n") * (size // line + 1))[:size]
    reading = Reading(
        round=number,
        line=line,
        bytes=size,
        seconds=end - begin,
        pipe=pipe,
        cpu=cpu,
        waited=waited / (end - begin),
        memory=grown,
        gaps=gaps,
        wrong=int(text != expected),
    )
    print(describe(reading), flush=True)
    return reading


def describe(reading: Reading) -> str:
    """
    One line on one reading.
    """
    return (
        f"round {reading.round} lines of {reading.line}: {reading.bytes / MEGABYTE:.0f} MB in {reading.seconds:.2f} s, "
        f"server {reading.cpu:.2f} s (without a core {reading.waited:.0%}), {reading.gaps} gaps, wrong: {reading.wrong}"
    )


def row(readings: list[Reading], line: int) -> list[str]:
    """
    One line of the table.
    """
    own = [reading for reading in readings if reading.line == line]
    return [
        f"lines of {line:,} bytes",
        f"{median(one.bytes / one.seconds for one in own) / MEGABYTE:.0f}",
        f"{median(one.bytes / one.pipe for one in own) / MEGABYTE:.0f}",
        f"{median(one.pipe / one.seconds for one in own):.2f}",
        f"{median(one.bytes / one.cpu for one in own) / MEGABYTE:.0f}",
        f"{max(one.memory for one in own) / (1 << 20):.1f}",
        str(max(one.gaps for one in own)),
        str(max(one.wrong for one in own)),
        f"{max(one.waited for one in own):.0%}",
    ]


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--write", type=int, default=64 * 1024, help="bytes that the program writes at once")
    rounds.addOptions(parser)
    options = parser.parse_args()
    core = rounds.pin(options)
    lengths = (80, 8000)
    readings = [measure(number, line, options, core) for number in range(options.rounds) for line in lengths]
    head = ["program", "MB/s", "pipe MB/s", "ratio", "MB per CPU s", "MiB of memory", "gaps", "faults", "no core"]
    table = rounds.markdown(head, [row(readings, line) for line in lengths])
    rounds.report(options, readings, f"{options.megabytes:g} MB, {options.rounds} rounds", table)


if __name__ == "__main__":
    main()
