"""
Measurements under a paced load: own runs, fan-out, relay, first byte, idle viewers.

Each function starts a server, puts a load on it and returns its figures. One viewer, or a few, come and
go first: code and data that a server loads at its first request are not charged to its viewers.
"""

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import process
from clients import firstOf
from journal import Dechunker, Figures, Journal, judgePaced, judgeStamped, spread, stampsOf
from load import OPENING_PATIENCE, Load, Plan
from process import Meter, Process
from servers import PEERS, Installation, Makers, Server, ask, words

#: Number of descriptors that are not viewers.
SPARE = 200

#: Bytes in the first token: of words, and of the upstream's stamps.
FIRST_WORD, FIRST_STAMP = b"word1", b" 1 "

#: Requests for an answer of the upstream.
PROMPT = '{"prompt":"?"}'
COMPLETION = '{"model":"m","messages":[{"role":"user","content":"?"}],"stream":true}'
COMPLETIONS = "/v1/chat/completions"

_MESSAGE = '{"id":"m","role":"user","content":"?"}'

#: Requests for an answer of the upstream in other formats: path and body, by the name of the format.
FORMATS = {
    "openai": (COMPLETIONS, COMPLETION),
    "completions": ("/v1/completions", '{"model":"m","prompt":"?","stream":true}'),
    "responses": ("/v1/responses", '{"model":"m","input":"?","stream":true}'),
    "messages": (
        "/v1/messages",
        '{"model":"m","max_tokens":1000,"messages":[{"role":"user","content":"?"}],"stream":true}',
    ),
    "ui": ("/api/chat", '{"id":"c","messages":[{"id":"m","role":"user","parts":[{"type":"text","text":"?"}]}]}'),
    "agui": ("/agui", f'{{"threadId":"t","runId":"r","state":{{}},"tools":[],"context":[],"messages":[{_MESSAGE}]}}'),
}


@dataclass(slots=True)
class Bench:
    """The place of one question's measurements."""

    parameters: SimpleNamespace
    installations: Sequence[Installation]
    folder: Path
    core: int | None  # of the servers; `None` binds nothing
    patience: float  # seconds to wait for a quiet machine before each measurement
    pair: Path | None  # folder with the certificate, if the question is asked over TLS
    upstream: int  # port of the upstream, if there is one

    def start(self, server: Server) -> Process:
        """Return a process of a server, on a free port."""
        port = process.freePort()
        return Process(server.command(port), port, self.core, server.environment, self.folder)

    def ours(self, *makes: Callable[[Installation], Server]) -> Makers:
        """Return the servers of each installation."""
        made = [make(one) for make in makes for one in self.installations]
        return {server.name: lambda server=server: server for server in made}

    def file(self, tokens: int) -> Path:
        """Return a file with the first words of the text."""
        file = self.folder / f"{tokens}.txt"
        file.write_text(words(tokens))
        return file

    @property
    def tokens(self) -> int:
        """Number of tokens that outlasts a paced run."""
        p = self.parameters
        return int(p.rate * (p.viewers / 500 + OPENING_PATIENCE + p.seconds) * 2)


def runLoad(child: Process, plan: Plan, atSecond: Callable[[], object] = bool) -> tuple[Journal, Meter]:
    """Run the load client beside a meter."""
    meter = Meter(child)
    return Load(plan, meter.begin, meter.end, atSecond).run(), meter


def loadFigures(meter: Meter, viewers: int, judged: Figures) -> Figures:
    """Return the figures of a window in which events were delivered; `cpu` is for each of them."""
    return {**meter.figures(int(judged["events"])), "memory": meter.memory / viewers, **judged}


def measureOwnRun(bench: Bench, server: Server) -> Figures:
    """Measure a run of its own for each viewer."""
    p = bench.parameters
    with bench.start(server) as child:
        plan = Plan(child.port, post=server.post, tls=server.tls)
        Load(plan).run()
        plan = replace(plan, viewers=p.viewers, settle=1, seconds=p.seconds, rest=p.rest)
        journal, meter = runLoad(child, plan)
    return loadFigures(meter, p.viewers, judgePaced(journal, p.viewers, p.rate, words(bench.tokens)))


def _create(server: Server, port: int) -> None:
    if server.channel is not None and server.channel.create:
        kind = "application/json" if server.channel.body == "json" else "text/plain"
        ask(port, "PUT", server.channel.create, tls=server.tls, Content_Type=kind)


def measureFanOut(bench: Bench, server: Server) -> Figures:
    """Measure one published stream with many viewers; `cpu` is for each delivery."""
    p, channel = bench.parameters, server.channel
    with bench.start(server) as child:
        _create(server, child.port)
        values = [str(child.port + channel.next), channel.publish, str(p.rate), str(bench.tokens)]
        flags = [channel.body] + ["tls"] * server.tls
        with Process([sys.executable, str(PEERS / "publisher.py"), *values, *flags]) as publisher:
            plan = Plan(child.port, path=channel.watch, seconds=0.5, tls=server.tls)
            Load(plan).run()
            plan = replace(plan, viewers=p.viewers, settle=1, seconds=p.seconds, rest=p.rest)
            journal, meter = runLoad(child, plan)
            publisher.check()
    return loadFigures(meter, p.viewers, judgeStamped(journal, p.viewers, p.rate))


def upstream(bench: Bench) -> AbstractContextManager[object]:
    """Return the process of the upstream, on the load client's core; nothing if the bench has none."""
    if not bench.upstream:
        return nullcontext()
    command = [sys.executable, str(PEERS / "upstream.py"), str(bench.upstream), str(bench.parameters.rate)]
    return Process(command, bench.upstream, None if bench.core is None else process.cores()[0])


def measureRelay(bench: Bench, server: Server) -> Figures:
    """Measure the relay of an upstream's answers; then the time to the first token under the same load."""
    p = bench.parameters
    viewers = min(p.viewers, server.size or p.viewers)
    with bench.start(server) as child:
        one = Plan(
            child.port, path=COMPLETIONS, ask=server.ask, post=server.post, body=PROMPT, seconds=0.5, rest=p.rest
        )
        Load(one).run()
        plan = replace(one, viewers=viewers, connectRate=500.0, settle=1.0, seconds=p.seconds)
        journal, meter = runLoad(child, plan)
        judged = judgeStamped(journal, viewers, p.rate)
        time.sleep(3)  # until all runs that linger are over
        through, direct = list[float](), list[float]()

        def probe() -> None:
            for _ in range(p.probes // 5):
                through.append(firstOf(one, FIRST_STAMP)[1])
                direct.append(firstOf(Plan(bench.upstream, path=COMPLETIONS), FIRST_STAMP)[1])

        Load(replace(plan, seconds=6.0), atSecond=probe).run()
    first, own = median(through) * 1000, median(direct) * 1000
    return {**loadFigures(meter, viewers, judged), "first token": first, "direct": own, "added": first - own}


def measureFormat(bench: Bench, server: Server) -> Figures:
    """Measure the relay of an upstream's answers in the format that is the variant."""
    p = bench.parameters
    path, ask = FORMATS[server.variant]
    with bench.start(server) as child:
        one = Plan(child.port, path=path, ask=ask, seconds=0.5, rest=p.rest)
        Load(one).run()
        journal, meter = runLoad(child, replace(one, viewers=p.viewers, settle=1.0, seconds=p.seconds))
    return loadFigures(meter, p.viewers, judgeStamped(journal, p.viewers, p.rate, stampsOf))


def measureFirstByte(bench: Bench, server: Server) -> Figures:
    """Measure the wait of a new viewer, on an idle server and under load; `cpu` is for each event that was due."""
    p, busy = bench.parameters, []
    with bench.start(server) as child:
        plan = Plan(child.port, post=server.post)
        one = plan if server.variant else replace(plan, post=None)
        Load(plan).run()
        idle = [firstOf(one, FIRST_WORD) for _ in range(p.probes)][p.probes // 10 :]

        def probe() -> None:
            # Half of each second is left to the other viewers: a server at its limit is probed less often.
            enough = time.monotonic() + 0.5
            wanted = range(math.ceil(p.probes / p.seconds))
            busy.extend(firstOf(one, FIRST_WORD) for _ in wanted if time.monotonic() < enough)

        plan = replace(plan, viewers=p.viewers, connectRate=500.0, settle=1, seconds=p.seconds, rest=p.rest)
        journal, meter = runLoad(child, plan, probe)
    judged = judgePaced(journal, p.viewers, p.rate, words(bench.tokens))
    return {
        **meter.figures(int(p.viewers * p.rate * meter.length)),
        **spread("idle", (byte for byte, _ in idle)),
        **spread("byte", (byte for byte, _ in busy)),
        **spread("token", (token for _, token in busy)),
        "faults": judged["faults"],
    }


def measureIdle(bench: Bench, server: Server) -> Figures:
    """Measure viewers that are sent nothing but heartbeats; `cpu` is for each heartbeat."""
    p, used = bench.parameters, []
    viewers = min(p.viewers, process.raiseDescriptorLimit() - SPARE)
    with bench.start(server) as child:
        _create(server, child.port)

        def sample() -> None:
            used.append({"cpu": process.cpuSeconds(child.pid), **process.memory(child.pid)})

        plan = Plan(child.port, path=server.idle or "/", seconds=0.5, tls=server.tls)
        for _ in range(2):
            Load(plan, atEnd=sample).run()
        meter = Meter(child)
        plan = replace(plan, viewers=viewers, connectRate=2000.0, settle=2, seconds=p.seconds)
        journal = Load(plan, lambda: (sample(), meter.begin())[0], lambda: (meter.end(), sample())[0]).run()
    silent = "nchan" in server.name
    beats, faults = _heartbeats(journal, viewers, p.seconds > p.heartbeat + 1 and not silent)
    _, one, before, after = used
    figures = meter.figures(beats) | {"viewers": viewers, "faults": faults}
    figures["connects"] = viewers / (before["cpu"] - one["cpu"])
    figures["before"] = (before["anonymous"] - one["anonymous"]) / (viewers - 1)
    for name, kind in (("memory", "anonymous"), ("uss", "uss"), ("pss", "pss")):
        figures[name] = (after[kind] - one[kind]) / (viewers - 1)
    return figures if silent else {**figures, "pace": beats / (viewers * meter.length / p.heartbeat)}


def _heartbeats(journal: Journal, viewers: int, required: bool) -> tuple[int, int]:
    """Return the number of heartbeats in the window, and of faults: lost or silent viewers, and other bytes."""
    beats, without, wrong = 0, viewers, 0
    for viewer, reads in journal.readsByViewer().items():
        inWindow = b"".join(data for time, data in reads if time >= journal.begin)
        lines = (Dechunker().feed(inWindow) if viewer in journal.chunked else inWindow).split(b"\n")
        comments = sum(line.startswith(b":") for line in lines)
        beats += comments
        without -= comments > 0
        wrong += any(line and not line.startswith(b":") for line in lines)
    return beats, (without if required else 0) + wrong + len(journal.ended)
