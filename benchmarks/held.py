"""
Measurement of the viewers that one process holds: a multitude without events, and lively ones among them.
"""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import process
from journal import Figures, Journal, checkViewer, paceLags, readEvents, spread
from load import Load, Plan
from paced import SPARE, Bench
from process import Meter
from servers import Server, ask, words

#: Viewers from one source address: Linux has 28,232 ports for clients.
PER_ADDRESS = 20_000

#: Viewers that connect in a second.
CONNECT_RATE = 2500.0


def measureHeld(bench: Bench, server: Server) -> Figures:
    """Measure the memory of the process, the lateness of heartbeats, and the lag of the lively viewers."""
    p, channel = bench.parameters, server.channel
    assert channel is not None and channel.create is not None
    process.raiseDescriptorLimit(p.viewers + SPARE)
    lively, path = "/?format=events", channel.watch
    paths = tuple(lively if number < p.lively else path for number in range(p.viewers))
    with bench.start(server) as child:
        ask(child.port, "PUT", channel.create)
        plan = Plan(child.port, path=path, seconds=0.5)
        Load(plan).run()
        meter = Meter(child)
        plan = replace(plan, viewers=p.viewers, paths=paths, addresses=-(-p.viewers // PER_ADDRESS))
        plan = replace(plan, connectRate=CONNECT_RATE, settle=5, seconds=p.seconds, rest=p.rest)
        journal = Load(plan, meter.begin, meter.end).run()
        whole = process.memory(child.pid)["anonymous"]
    judged = _judge(journal, p.lively, p.heartbeat, words(bench.tokens))
    figures = meter.figures(1) | {"viewers": p.viewers, "MiB": whole / 2**20, "memory": meter.memory / p.viewers}
    return figures | judged


def _judge(journal: Journal, lively: int, heartbeat: float, text: str) -> Figures:
    """Return the lags of the lively viewers, the lateness of the heartbeats of the others, and the faults."""
    lags, late, faults = list[float](), list[float](), Counter[str]()
    for viewer, reads in journal.readsByViewer().items():
        if viewer < lively:
            events = readEvents(reads, viewer in journal.chunked)
            checkViewer(events, text.encode(), faults)
            lags += paceLags(journal.inWindow(events), 1.0)
        else:
            beats = [moment for moment, _ in reads if moment >= journal.begin]
            late += [second - first - heartbeat for first, second in pairwise(beats)]
            faults["silent"] += len(beats) < (journal.end - journal.begin) // heartbeat
    return {**spread("lag", lags), **spread("late", late), "faults": faults.total() + len(journal.ended)}
