"""
Measurements without a pace: short streams, publishing, storms, catching up, the store, programs, memory.
"""

import json
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from os import environ
from pathlib import Path
from statistics import fmean, linear_regression, median
from urllib.parse import urlsplit

import process
from clients import Crowd, Publishers, Returning, Visitors
from journal import Dechunker, Figures, Journal, dataOf, spread
from load import CLOSING, Clients, Load, LoadError, Plan, uncollected
from paced import SPARE, Bench
from process import Meter, Process
from servers import PEERS, VIEWED, Server, ask, words

#: Seconds of work before the window of clients that repeat it; until a finite stream must have been read.
WARM, LONGEST = 0.5, 120.0

#: Tokens in one POST, which may have 1 MiB; readings by one viewer in turn, since one takes milliseconds.
LIST, TURNS = 20_000, 10

#: Events in each stream before a storm; number of last event IDs that the viewers return with.
EVENTS, BACK = 100, 10

DATA = "x" * 40  # of a published event, as long as a stamp and a number

#: Program that writes so many bytes, in pieces of this size, of lines of that length.
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


def _measureRepeated(meter: Meter, clients: Clients, seconds: float) -> Figures:
    """Measure clients that repeat their work: pieces of it per second, and their times."""
    with uncollected():
        clients.takeUntil(time.monotonic() + WARM)
        clients.done.clear()
        meter.begin()
        clients.takeUntil(time.monotonic() + seconds)
        meter.end()
    firsts, lasts = zip(*clients.done, strict=True)
    return {"per second": len(clients.done) / meter.length, **spread("first", firsts), **spread("last", lasts)}


def measureShort(bench: Bench, server: Server) -> Figures:
    """Measure short streams, connections included; `cpu` is for each stream."""
    p = bench.parameters
    with bench.start(server) as child:
        meter = Meter(child)
        with closing(Visitors(Plan(child.port, p.at_once, post=server.post, headers=CLOSING))) as visitors:
            figures = _measureRepeated(meter, visitors, p.seconds)
    return {**meter.figures(len(visitors.done)), **figures, "faults": visitors.faults(words(p.count))}


def measurePublish(bench: Bench, server: Server) -> Figures:
    """Measure publishing without a pause; `cpu` is for each event."""
    p, channel, count = bench.parameters, server.channel, server.size or 1
    assert channel is not None
    event = {"data": DATA}
    body = json.dumps([event] * count if count > 1 else event) if channel.body == "json" else DATA
    with bench.start(server) as child:
        publishers = Publishers(child.port, server.key)
        rights = {"Authorization": f"Bearer {server.key}"} if server.key else {}
        for number in range(p.publishers):
            path = f"/streams/{number}" if channel.create else channel.publish
            if channel.create:
                ask(child.port, "PUT", path, **rights)
            if server.variant == VIEWED:
                publishers.watch(path)
            publishers.add(path, body)
        meter = Meter(child)
        with closing(publishers):
            figures = _measureRepeated(meter, publishers, p.seconds)
            posts, publishers.going = len(publishers.done), False
            # Viewers stay until the connections are closed.
            publishers.takeUntil(time.monotonic() + (1 if server.variant == VIEWED else 10))
        faults = publishers.refused
        for path, answers in publishers.counts.items() if channel.create else ():
            # Number of events that were answered for, less those in the stream.
            faults += abs(answers * count - json.loads(ask(child.port, "GET", path, **rights)[1])["last"])
    return {**meter.figures(posts * count), **figures, "events": figures["per second"] * count, "faults": faults}


def measureStorm(bench: Bench, server: Server) -> Figures:
    """Measure the return of all viewers at once, each with its last event ID; `cpu` is for each viewer."""
    p = bench.parameters
    viewers, missed = min(p.viewers, process.raiseDescriptorLimit() - SPARE), EVENTS + p.missed
    with bench.start(server) as child:
        paths = [f"/streams/{number}" for number in range(p.streams)]
        epochs = {path: json.loads(ask(child.port, "PUT", path)[1])["epoch"] for path in paths}

        def publish(first: int, last: int) -> None:
            body = json.dumps([{"data": f"event {number}"} for number in range(first, last + 1)]).encode()
            for path in paths:
                ask(child.port, "POST", path, body)

        def gather(resume: bool, until: int) -> Crowd:
            crowd = Crowd(child.port)
            for number in range(viewers):
                path = paths[number % len(paths)]
                after = EVENTS - number // len(paths) % BACK if resume else 0
                crowd.come(Returning(path, epochs[path], after, until))
            crowd.wait()
            return crowd

        publish(1, EVENTS)
        gather(False, EVENTS).close()
        publish(EVENTS + 1, missed)
        meter = Meter(child)
        with uncollected():
            meter.begin()
            crowd = gather(True, missed)
            meter.end()
        figures = meter.figures(viewers) | spread("back", (viewer.end - viewer.begin for viewer in crowd.viewers))
        crowd.expect(missed + 1)
        begin = time.monotonic()
        publish(missed + 1, missed + 1)
        crowd.wait()
        figures["live"] = time.monotonic() - begin
        crowd.close()
    figures |= {"viewers": viewers, "seconds": meter.length, "per second": viewers / meter.length}
    return {**figures, "again": crowd.again, "faults": sum(not viewer.isComplete() for viewer in crowd.viewers)}


def _publishTokens(port: int, path: str, tokens: int) -> None:
    """Create a stream of the first words of the text, and end it."""
    ask(port, "PUT", path)
    texts = [{"token": f"{word} "} for word in words(tokens).split(" ")[:-1]]
    for start in range(0, tokens, LIST):
        ask(port, "POST", path, json.dumps(texts[start : start + LIST]).encode())
    ask(port, "POST", path, b"[]", Stream_Closed="true")


def _readAll(child: Process, plan: Plan) -> tuple[Journal, Meter]:
    """Let viewers that connect at once read streams to their ends; their requests are measured, too."""
    meter = Meter(child)
    meter.begin()
    journal = Load(replace(plan, headers=CLOSING, connectRate=1e6, seconds=LONGEST)).run()
    meter.end()
    return journal, meter


def saveBody(bench: Bench) -> Path:
    """Return a file with the event stream that the first installation sends; the baselines send the same bytes."""
    file = bench.folder / "body"
    with bench.start(bench.installations[0].server()) as child:
        _publishTokens(child.port, "/streams/kept", bench.parameters.tokens)
        journal, _ = _readAll(child, Plan(child.port, path="/streams/kept"))
    (reads,) = journal.readsByViewer().values()
    file.write_bytes(Dechunker().feed(b"".join(data for _, data in reads)))
    return file


def measureCatchUp(bench: Bench, server: Server) -> Figures:
    """Measure a long stream that is kept, read by `server.size` new viewers at once; speeds are of the bodies."""
    text, path = words(bench.parameters.tokens), "/streams/kept" if server.python else "/"
    with bench.start(server) as child:
        if server.python:
            _publishTokens(child.port, "/streams/warm", 1)
            _publishTokens(child.port, path, bench.parameters.tokens)
        _readAll(child, Plan(child.port, path="/streams/warm" if server.python else path))
        process.waitForQuiet(bench.patience)
        turns = [_readOnce(child, path, server.size, text) for _ in range(TURNS if server.size == 1 else 1)]
    figures = {name: median(turn[name] for turn in turns) for name in turns[0]}
    return {**figures, "faults": max(turn["faults"] for turn in turns)}


def _readOnce(child: Process, path: str, viewers: int, text: str) -> Figures:
    """Return the figures of one reading by some viewers at once."""
    journal, meter = _readAll(child, Plan(child.port, viewers, path))
    size, chunks, wrong, times, right = 0, 0, 0, list[tuple[float, float]](), set[bytes]()
    for viewer, reads in journal.readsByViewer().items():
        body, dechunker, asked = b"".join(data for _, data in reads), Dechunker(), journal.asked[viewer]
        body = dechunker.feed(body) if viewer in journal.chunked else body
        if body in right or b"".join(dataOf(body)) == text.encode():
            right.add(body)
        wrong += body not in right
        size, chunks = size + len(body), max(chunks, dechunker.chunks)
        times.append((reads[0][0] - asked, reads[-1][0] - asked))
    seconds = journal.reads[-1][0] - min(journal.asked.values())
    speeds = {"MB/s": size / seconds / 1e6, "MB per CPU s": size / max(meter.cpu, 1e-9) / 1e6}
    firsts, lasts = zip(*times, strict=True)
    figures = meter.figures(viewers) | spread("first", firsts) | spread("last", lasts) | speeds
    return {**figures, "writes": chunks, "faults": wrong}


def measureStore(bench: Bench, server: Server) -> Figures:
    """Measure the SQLite store by itself, see `peers/fill_store.py`; `cpu` is for each entry."""
    p = bench.parameters
    command = [server.python, str(PEERS / "fill_store.py"), str(bench.folder)]
    command += map(str, (p.rate, p.streams, p.seconds))
    env = {**environ, **server.environment}
    ended = subprocess.run(command, env=env, cwd=bench.folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise process.ServerError(ended.stderr[-2000:])
    printed = json.loads(ended.stdout)
    return {**spread("lag", printed.pop("lags")), **printed}


def writerCommand(bench: Bench, line: int) -> list[str]:
    """Return the command of a program that writes lines of a length."""
    p = bench.parameters
    return [sys.executable, "-S", "-E", "-c", WRITER, str(int(p.megabytes * 1e6)), str(p.write), str(line)]


def measureProgram(bench: Bench, server: Server) -> Figures:
    """Measure the output of a program on its way to one viewer, and the same program's pipe without a server."""
    size, line = int(bench.parameters.megabytes * 1e6), server.size
    begin = time.monotonic()
    with subprocess.Popen(writerCommand(bench, line), stdout=subprocess.PIPE, bufsize=0) as child:
        while child.stdout.read(64 * 1024):
            pass
    pipe = time.monotonic() - begin
    with bench.start(server) as child:
        _readAll(child, Plan(child.port, post=server.post))
        folder, before = Path(f"/proc/{child.pid}"), process.memory(child.pid)["rss"]
        (folder / "clear_refs").write_text("5")  # resets the highest RSS, see proc(5)
        journal, meter = _readAll(child, Plan(child.port, post=server.post))
        status = dict(one.split(":", 1) for one in (folder / "status").read_text().splitlines())
        grown = int(status["VmHWM"].split()[0]) * 1024 - before
    seconds = journal.reads[-1][0] - min(journal.asked.values())
    (events,) = journal.eventsByViewer()
    gaps = sum(event.type == b"gap" for event in events)
    text = b"".join(event.data for event in events if not event.type)
    wrong = text != ((b"x" * (line - 1) + b"\n") * (size // line + 1))[:size]
    speeds = {
        "MB/s": size / seconds / 1e6,
        "MB per CPU s": size / max(meter.cpu, 1e-9) / 1e6,
        "pipe MB/s": size / pipe / 1e6,
    }
    rest = {"ratio": pipe / seconds, "memory": grown / (1 << 20), "faults": gaps + wrong}
    return {**meter.figures(size), **speeds, **rest}


def measureMemory(bench: Bench, server: Server) -> Figures:
    """Measure one part of the memory: `server.variant` names it."""
    parts = {"own runs": _ownRuns, "long streams": _longStreams}
    with bench.start(server) as child:
        return parts[server.variant](bench, child)


def _ownRuns(bench: Bench, child: Process) -> Figures:
    """
    Return the memory of a paced run for each viewer: a line through memory and tokens, read each second.

    Its slope is the memory of a token; its intercept, less the memory before, divided by the viewers, is
    the memory of a viewer, its connection, its stream and its run before the first token.
    """
    p, samples = bench.parameters, list[tuple[float, int]]()
    Load(Plan(child.port, post="/streams")).run()
    before = process.memory(child.pid)["anonymous"]

    def sample() -> None:
        samples.append((time.monotonic(), process.memory(child.pid)["anonymous"]))

    plan = Plan(child.port, p.viewers, post="/streams", connectRate=500.0, settle=1, seconds=p.seconds)
    journal = Load(plan, atSecond=sample).run()
    # A viewer has as many tokens as the number of its last event says: tokens are joined.
    arrivals = [[(event.time, event.number) for event in viewer] for viewer in journal.eventsByViewer()]
    tokens = [
        sum(max((number for time, number in viewer if time <= moment), default=0) for viewer in arrivals)
        for moment, _ in samples
    ]
    line = linear_regression(tokens, [used for _, used in samples])
    data = len(words(bench.tokens)) / bench.tokens
    return {"viewer": (line.intercept - before) / p.viewers, "token": line.slope, "above": line.slope - data}


def _longStreams(bench: Bench, child: Process) -> Figures:
    """
    Return the memory of a token in long streams that are kept, read to their ends one after the other.

    The growth from the first to the last stream counts: the first pays for all that is built once.
    """
    used, tokens = list[int](), bench.parameters.tokens
    for _ in range(bench.parameters.streams):
        path = urlsplit(ask(child.port, "POST", "/streams", b"{}")[0]["Location"]).path
        journal, _ = _readAll(child, Plan(child.port, path=path))
        (events,) = journal.eventsByViewer()
        headers, text = ask(child.port, "GET", path, Accept="text/plain")
        last = max(event.number for event in events if not event.type)
        if last != tokens or headers["Stream-Gap"] or text.decode() != words(tokens):
            raise LoadError(f"{last} of {tokens} tokens came; trimmed: {headers['Stream-Gap']}")
        time.sleep(0.5)
        used.append(process.memory(child.pid)["anonymous"])
    token = fmean(after - before for before, after in pairwise(used)) / tokens
    return {"token": token, "above": token - len(words(tokens)) / tokens}
