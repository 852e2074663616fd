"""
The question: how fast does a viewer get a long stream that is kept?

    python benchmarks/catch_up.py [--tokens 100000] [--viewers 500] [--rounds 3] [--json FILE]

A stream of 100,000 tokens of 6 to 8 bytes is published (lists of tokens, memory store) and ended. Then it is read from
the start by one new viewer, 10 times in turn, and after that by 500 that come at once. The same bytes are sent in the
same round by bare Twisted (the baseline: a protocol that answers with the whole response in one `transport.write`), and
by a `twisted.web` resource that returns them: the difference of these two is what HTTP requests cost. New server
processes in each round. The text of every viewer is compared with what was published.

Printed, as medians of the rounds:

* writes (the worst viewer of all rounds): chunks of the chunked coding, of which each write of the server makes one;
* MB/s: bytes of the bodies / time from the first request to the last byte; and its ratio to the baseline's in the same
  round. With many viewers the load client has a share in it, which is the same for both;
* MB per CPU second: bytes of the bodies / CPU time of the server; and its ratio. In this the client has no share;
* first byte: from a viewer's request to the read that brought the first bytes of the body, p50 and the latest;
* last byte: from a viewer's request to its end, p50 and the latest;
* faults (the worst round): viewers that did not get the text.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import others
import process
import rounds
import servers
from journal import Dechunker, Journal, parseEvent, readsByViewer, spread
from load import EVENT_STREAM, Load, Plan

AT_ONCE = 1e6  # connections opened each second: all of them before anything is read
LONGEST = 60.0  # seconds until all viewers must have all
LIST = 20_000  # tokens in one POST, which may have 1 MiB
TURNS = 10  # readings by one viewer, one after the other: one alone takes milliseconds, and the first runs cold


@dataclass(frozen=True, slots=True)
class Reading:
    """
    One server in one round, read by some viewers at once.

    Args:
        server: Its name.
        round: The round, from 0.
        viewers: How many.
        bytes: Of all bodies.
        writes: Writes of the viewer that got most.
        seconds: From the first request to the last byte.
        cpu: CPU time of the server in seconds.
        waited: Time in which the server was ready but had no core / `seconds`.
        first: Milliseconds until the first byte: p50, p99, p99.9, max.
        last: Milliseconds until the end.
        wrong: Viewers that did not get the text.
    """

    server: str
    round: int
    viewers: int
    bytes: int
    writes: int
    seconds: float
    cpu: float
    waited: float
    first: dict[str, float]
    last: dict[str, float]
    wrong: int


@dataclass(frozen=True, slots=True)
class Body:
    """
    What one viewer got.

    Args:
        content: The body without its coding.
        writes: Chunks; 0 when it is not chunked.
        begin: When the first bytes came, monotonic.
        end: When the connection ended, monotonic.
    """

    content: bytes
    writes: int
    begin: float
    end: float


def bodies(journal: Journal) -> dict[int, Body]:
    """
    What each viewer got.
    """
    result = {}
    for viewer, reads in readsByViewer(journal).items():
        content, dechunker = b"".join(data for _, data in reads), Dechunker()
        if viewer in journal.chunked:
            content = dechunker.feed(content)
        result[viewer] = Body(content, dechunker.chunks, reads[0][0], reads[-1][0])
    return result


def textOf(body: bytes) -> str:
    """
    The text that an event stream's events of the default type have.
    """
    events = [parseEvent(0, block) for block in body.split(b"\n\n")]
    return b"".join(event.data for event in events if event is not None and not event.type).decode()


def read(child: process.ServerProcess, path: str, viewers: int) -> tuple[Journal, float, float]:
    """
    Let viewers read a stream to its end.

    Returns:
        What came, CPU time of the server, and how long it was ready but had no core, in seconds.
    """
    cpu, waited = child.cpuSeconds(), child.waitedSeconds()
    # `Connection: close`, so that the end of the stream is the end of the connection, and of the window.
    headers = (*EVENT_STREAM, "Connection: close")
    plan = Plan(child.port, viewers, path, headers=headers, connectRate=AT_ONCE, settle=0, seconds=LONGEST)
    journal = Load(plan).run()
    return journal, child.cpuSeconds() - cpu, child.waitedSeconds() - waited


def measure(
    name: str, round: int, child: process.ServerProcess, path: str, viewers: int, text: str
) -> tuple[Reading, bytes]:
    """
    One reading, and the body that one of the viewers got.
    """
    journal, cpu, waited = read(child, path, viewers)
    got = bodies(journal)
    begin, end = min(journal.asked.values()), max(body.end for body in got.values())
    contents = {body.content for body in got.values()}
    right = {content for content in contents if textOf(content) == text}
    reading = Reading(
        server=name,
        round=round,
        viewers=viewers,
        bytes=sum(len(body.content) for body in got.values()),
        writes=max(body.writes for body in got.values()),
        seconds=end - begin,
        cpu=cpu,
        waited=waited / (end - begin),
        first=spread(body.begin - journal.asked[viewer] for viewer, body in got.items()),
        last=spread(body.end - journal.asked[viewer] for viewer, body in got.items()),
        wrong=viewers - sum(body.content in right for body in got.values()),
    )
    print(describe(reading), flush=True)
    return reading, next(iter(contents))


def describe(reading: Reading) -> str:
    """
    One line on one reading.
    """
    return (
        f"round {reading.round} {reading.server:12} {reading.viewers:4} viewers: {reading.bytes / 1e6:.1f} MB in "
        f"{reading.seconds:.4f} s, server {reading.cpu:.4f} s (without a core {reading.waited:.0%})"
    )


def publish(port: int, path: str, tokens: list[str]) -> None:
    """
    Make a stream of these tokens, and end it.
    """
    servers.ask(port, "PUT", path)
    for start in range(0, len(tokens), LIST):
        body = json.dumps([{"token": token} for token in tokens[start : start + LIST]])
        servers.ask(port, "POST", path, body.encode())
    servers.ask(port, "POST", path, b"[]", {"Stream-Closed": "true"})


def oneRound(number: int, options: argparse.Namespace, core: int | None, folder: Path) -> list[Reading]:
    """
    All servers, read by one viewer, then by many.
    """
    tokens = servers.words(options.tokens).split(" ")[:-1]
    text, readings = servers.words(options.tokens), []
    ours, file = servers.published(folder), folder / "body"
    with servers.started(ours, core) as child:
        # What the server loads or builds at its first request is not the viewers'.
        publish(child.port, "/streams/warm", ["word "])
        read(child, "/streams/warm", 1)
        publish(child.port, "/streams/kept", [f"{token} " for token in tokens])
        process.waitForQuiet(options.patience)
        for viewers in (1,) * TURNS + (options.viewers,):
            reading, body = measure(servers.OURS, number, child, "/streams/kept", viewers, text)
            readings.append(reading)
    file.write_bytes(body)
    for peer in (others.plainWrite(file), others.plainWrite(file, web=True)):
        with servers.started(peer, core) as child:
            read(child, "/", 1)
            process.waitForQuiet(options.patience)
            readings += [
                measure(peer.name, number, child, "/", viewers, text)[0]
                for viewers in (1,) * TURNS + (options.viewers,)
            ]
    return readings


def row(readings: list[Reading], name: str, viewers: int) -> list[str]:
    """
    One line of the table.
    """
    own = [reading for reading in readings if (reading.server, reading.viewers) == (name, viewers)]
    base = [reading for reading in readings if (reading.server, reading.viewers) == (others.BASELINE, viewers)]

    def against(value: Callable[[Reading], float]) -> list[str]:
        ratios = [value(reading) / value(other) for reading, other in zip(own, base, strict=True)]
        return [f"{median(value(reading) for reading in own):.0f}", f"{median(ratios):.2f}"]

    return [
        f"{name}, {viewers} viewer{'s' * (viewers > 1)}",
        str(max(reading.writes for reading in own) or "-"),
        *against(lambda reading: reading.bytes / reading.seconds / 1e6),
        *against(lambda reading: reading.bytes / reading.cpu / 1e6),
        *(f"{median(reading.first[part] for reading in own):.1f}" for part in ("p50", "max")),
        *(f"{median(reading.last[part] for reading in own):.1f}" for part in ("p50", "max")),
        str(max(reading.wrong for reading in own)),
        f"{max(reading.waited for reading in own):.0%}",
    ]


def table(readings: list[Reading]) -> str:
    """
    The table, in Markdown.
    """
    speed = ["MB/s", "ratio", "MB per CPU s", "ratio"]
    times = ["first byte p50 ms", "max", "last byte p50 ms", "max"]
    kinds = dict.fromkeys(
        (reading.viewers, reading.server) for reading in sorted(readings, key=lambda one: one.viewers)
    )
    return rounds.markdown(
        ["server", "writes", *speed, *times, "faults", "no core"],
        [row(readings, name, viewers) for viewers, name in kinds],
    )


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--viewers", type=int, default=500, help="viewers that come at once, at least 2")
    rounds.addOptions(parser)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    core = rounds.pin(options)
    readings: list[Reading] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            readings += oneRound(number, options, core, Path(folder))
    rounds.report(options, readings, f"{options.tokens:,} tokens, {options.rounds} rounds", table(readings))


if __name__ == "__main__":
    main()
