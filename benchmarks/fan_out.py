"""
The question: what does one published stream with many viewers cost?

    python benchmarks/fan_out.py [--viewers 1000] [--rate 20] [--seconds 8] [--rounds 3] [--only NAME] [--json FILE]

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
from pathlib import Path

import others
import process
import rounds
import servers
from journal import judgeStamped
from load import OPENING_PATIENCE, Load, Plan


def publisher(port: int, channel: servers.Channel, rate: float, seconds: float) -> process.ChildProcess:
    """
    A process that publishes into a server's channel, for so many seconds at most.
    """
    script = str(servers.HERE / "publisher.py")
    options = ["--port", str(port), "--path", channel.publish, "--rate", str(rate), "--seconds", str(seconds)]
    return process.ChildProcess([sys.executable, script, *options, *(["--json"] if channel.json else [])])


def measure(server: servers.Server, round: int, options: argparse.Namespace, core: int | None) -> rounds.Run:
    """
    Start a server, publish, measure it, end it.
    """
    channel = server.channel
    assert channel is not None
    longest = options.viewers / 500 + OPENING_PATIENCE + options.seconds
    with servers.started(server, core) as child:
        if channel.create:
            servers.ask(child.port, "PUT", channel.create)
        with publisher(child.port, channel, options.rate, longest) as source:
            # One viewer first: what the server loads or builds at its first request is not the viewers'.
            Load(Plan(child.port, 1, channel.watch, settle=0, seconds=0.5)).run()
            plan = Plan(child.port, options.viewers, channel.watch, seconds=options.seconds, rest=options.rest)
            meter = rounds.Meter(child)
            journal = Load(plan, meter.begin, meter.end).run()
            source.check()
    outcome = judgeStamped(journal, plan.viewers, options.rate)
    return meter.run(server.name, round, outcome, plan.viewers, journal.end - journal.begin)


def measureAll(options: argparse.Namespace) -> list[rounds.Run]:
    """
    All rounds.
    """
    core = rounds.pin(options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        makers: others.Makers = {
            **others.frameworks(others.Work()),
            others.NCHAN: lambda: others.nchan(folder),
            servers.OURS: lambda: servers.published(folder),
        }
        chosen = rounds.choose(makers, options.only)
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
    print(f"\n{options.viewers} viewers, {options.rate:g} events/s, {options.rounds} x {options.seconds:g} s\n")
    print(rounds.table(runs, [others.NCHAN, others.UVICORN, others.BASELINE]))
    rounds.write(options, runs)


if __name__ == "__main__":
    main()
