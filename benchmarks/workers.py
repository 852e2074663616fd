"""
Measurements of `--workers`: the room for viewers of one process, and of two workers.

Load client, Redis and workers share the cores of one machine. So that the workers are the limit, each of
them may use a part of a core only, by a quota of its control group. That needs root.
"""

import contextlib
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import process
from journal import Figures, judgePaced, judgeStamped
from load import Load, Plan
from paced import Bench
from process import Process
from servers import PEERS, Server, SkipError, ask, words
from shared import awaitRedis, startRedis

#: Folder of the control groups of the CPU, version 1.
GROUPS = Path("/sys/fs/cgroup/cpu")

#: Microseconds. Period of the quotas.
PERIOD = 10_000

#: Factor between two numbers of viewers while the limit is looked for, and how exact it is found.
STEP, EXACT = 1.3, 1.03

#: Share of the events that must come in time.
PACE = 0.98

#: Times that a number of viewers is measured before it counts as too many: other work of the machine, a moment long,
#: makes a measurement worse, and never better.
TRIES = 2

#: Times that a port is asked whether it is ready: any of its workers answers.
ASKED = 20

#: Measures a number of viewers: their figures.
Measure = Callable[[int], Figures]


def findWorkers(pid: int) -> list[int]:
    """Return the processes that serve clients: the children of a process, or itself if it has none."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] or [pid]


@contextlib.contextmanager
def restrain(pids: Sequence[int], share: float) -> Iterator[None]:
    """Let each process use a share of a core."""
    if not os.access(GROUPS / "cgroup.procs", os.W_OK):
        raise SkipError("needs root, and control groups of version 1")
    made = []
    try:
        for pid in pids:
            group = GROUPS / f"sseserver-{uuid.uuid4().hex}"
            group.mkdir()
            made.append(group)
            (group / "cpu.cfs_period_us").write_text(str(PERIOD))
            (group / "cpu.cfs_quota_us").write_text(str(int(PERIOD * share)))
            # Quotas are for the usual scheduling only.
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
            (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for group in made:
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    (GROUPS / "cgroup.procs").write_text(pid)
            group.rmdir()


def findRoom(measure: Measure, start: int, lag: float) -> Figures:
    """
    Return the figures of the largest number of viewers that are served in time.

    Args:
        measure: Measures a number of viewers.
        start: The first number, which must be few.
        lag: Milliseconds. Longest lag at the 99th percentile.
    """
    few, many, best = start, 0, Figures()
    while not many or many > few * EXACT:
        viewers = int((few * many) ** 0.5) if many else int(few * STEP) if best else start
        for _ in range(TRIES):
            figures = measure(viewers)
            fits = figures["lag p99"] <= lag and figures["pace"] >= PACE and not figures["faults"]
            if fits:
                break
        if fits:
            few, best = viewers, {**figures, "viewers": viewers}
        elif viewers == start:
            raise process.ServerError(f"{start} viewers are too many: {figures}")
        else:
            many = viewers
    return best


@contextlib.contextmanager
def _serve(bench: Bench, server: Server) -> Iterator[tuple[Process, list[int]]]:
    """Start a Redis and a server whose workers are restrained."""
    unbound = replace(bench, core=None)
    with startRedis(bench, server), unbound.start(server) as child:
        for _ in range(ASKED):
            awaitRedis(child.port)
        workers = findWorkers(child.pid)
        with restrain(workers, bench.parameters.share):
            yield child, workers


def _run(plan: Plan, workers: Sequence[int], judge: Callable[..., Figures]) -> Figures:
    """Run the load client; return the figures, with the CPU time of the workers for each event."""
    used: list[float] = []

    def read() -> None:
        used.append(sum(map(process.cpuSeconds, workers)))

    judged = judge(Load(plan, read, read).run())
    return {**judged, "cpu": (used[1] - used[0]) * 1e6 / max(1, judged["events"]), "workers": len(workers)}


def measureRunRoom(bench: Bench, server: Server) -> Figures:
    """Find how many runs have room, each with a viewer."""
    p = bench.parameters
    text = words(bench.tokens)
    with _serve(bench, server) as (child, workers):
        plan = Plan(child.port, path="/?format=events", settle=1, seconds=p.seconds, rest=p.rest)

        def measure(viewers: int) -> Figures:
            return _run(replace(plan, viewers=viewers), workers, lambda seen: judgePaced(seen, viewers, p.rate, text))

        return findRoom(measure, p.viewers, p.lag)


def measureFanOutRoom(bench: Bench, server: Server) -> Figures:
    """Find how many viewers of one published stream have room."""
    p, channel = bench.parameters, server.channel
    with _serve(bench, server) as (child, workers):
        ask(child.port, "PUT", channel.create)
        values = [str(child.port), channel.publish, str(p.rate), "1000000"]
        with Process([sys.executable, str(PEERS / "publisher.py"), *values, "json"]) as publisher:
            plan = Plan(child.port, path=channel.watch, settle=1, seconds=p.seconds, rest=p.rest)

            def measure(viewers: int) -> Figures:
                publisher.check()
                return _run(replace(plan, viewers=viewers), workers, lambda seen: judgeStamped(seen, viewers, p.rate))

            return findRoom(measure, p.viewers, p.lag)
