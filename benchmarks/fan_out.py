"""
The question: what does one published stream with many viewers cost?

    python benchmarks/fan_out.py [--viewers 1000] [--rate 20] [--seconds 8] [--rounds 3] [--only NAME] [--json FILE]
    python benchmarks/fan_out.py --viewers 10000 --rate 2                                  # how it grows
    python benchmarks/fan_out.py --tls                                                     # uvicorn and sseserver only

One stream, 1,000 viewers, 20 events a second, each published by a POST (`publisher.py`, a process of its own beside the
load client). Measured in turn, round after round, with a new server process each time: the peers, bare Twisted (the
baseline: one `Request.write` for each viewer), nginx with nchan, sseserver (`PUT /streams/NAME`, events as JSON, memory
store).

The columns of the table are explained in `rounds.py`; the CPU time is divided by the deliveries: one event that came to
one viewer. The publishing is in it, 1/1,000 of a POST a delivery. Lag is the time from just before the event was
published to the end of the read that brought it to the viewer, over all viewers: so it has the POST in it, the viewers
served before, and the load client's own time for a read (about 8 µs each, 1,000 of them at once). Faults are numbers
missing or twice among the events of a viewer, gaps, and streams that ended.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import others
import process
import rounds
import secure
import servers
from journal import judgeStamped
from load import OPENING_PATIENCE, Load, Plan


def publisher(port: int, server: servers.Server, rate: float, seconds: float) -> process.ChildProcess:
    """
    A process that publishes into a server's channel, for so many seconds at most.
    """
    channel = server.channel
    assert channel is not None
    script = str(servers.HERE / "publisher.py")
    options = ["--port", str(port), "--path", channel.publish, "--rate", str(rate), "--seconds", str(seconds)]
    flags = [*(["--json"] if channel.json else []), *(["--tls"] if server.tls else [])]
    return process.ChildProcess([sys.executable, script, *options, *flags])


def measure(server: servers.Server, round: int, options: argparse.Namespace, core: int | None) -> rounds.Run:
    """
    Start a server, publish, measure it, end it.
    """
    channel = server.channel
    assert channel is not None
    longest = options.viewers / 500 + OPENING_PATIENCE + options.seconds
    with servers.started(server, core) as child:
        if channel.create:
            servers.ask(child.port, "PUT", channel.create, tls=server.tls)
        with publisher(child.port, server, options.rate, longest) as source:
            plan = Plan(child.port, 1, channel.watch, settle=0, seconds=0.5, tls=server.tls)
            # One viewer first: what the server loads or builds at its first request is not the viewers'.
            Load(plan).run()
            plan = replace(plan, viewers=options.viewers, connectRate=rounds.connectRate(options.viewers))
            plan = replace(plan, settle=1, seconds=options.seconds, rest=options.rest)
            meter = rounds.Meter(child)
            journal = Load(plan, meter.begin, meter.end).run()
            source.check()
    outcome = judgeStamped(journal, plan.viewers, options.rate)
    return meter.run(server.name, round, outcome, plan.viewers, journal.end - journal.begin)


def makers(options: argparse.Namespace, folder: Path) -> others.Makers:
    """
    All that can be asked; `folder` is for their files.
    """
    pair = secure.makePair(folder) if options.tls else None
    ours: others.Makers = {servers.OURS: lambda: servers.published(folder, pair=pair)}
    if pair:
        return others.secured(others.Work(), pair) | ours
    return others.frameworks(others.Work()) | {others.NCHAN: lambda: others.nchan(folder)} | ours


def measureAll(options: argparse.Namespace) -> list[rounds.Run]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = rounds.choose(makers(options, folder), options.only)
        return rounds.inTurn(
            chosen, options.rounds, options.patience, lambda server, number: measure(server, number, options, core)
        )


def parseArguments() -> argparse.Namespace:
    """
    The command line.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="events published each second")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the window")
    parser.add_argument("--tls", action="store_true", help="over TLS, those that can")
    rounds.addOptions(parser)
    rounds.addRest(parser)
    rounds.addOnly(parser)
    return parser.parse_args()


def main() -> None:
    """
    Measure, print the table, write the JSON.
    """
    options = parseArguments()
    runs = measureAll(options)
    over = ", over TLS" if options.tls else ""
    title = f"{options.viewers:,} viewers, {options.rate:g} events/s{over}, {options.rounds} x {options.seconds:g} s"
    rounds.report(options, runs, title, rounds.table(runs, [others.NCHAN, others.UVICORN, others.BASELINE]))


if __name__ == "__main__":
    main()
