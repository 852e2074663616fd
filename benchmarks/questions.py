"""
The questions of `questions.toml`, with the servers that each is asked of; and the goals.

To add a question, add a section to that table, and to `paced.py` or `bulk.py` a function that measures it.
"""

import shlex
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple, Self

import bulk
import continued as continuing
import held
import paced
import process
import servers
import shared
import turns
import workers
from journal import Figures
from paced import Bench
from servers import HERE, Installation, Makers, Server, Work

#: Modules with the functions that measure.
_MODULES = (paced, bulk, continuing, held, turns, shared, workers)


#: Variants of the questions about workers.
ONE, TWO = "one process", "two workers"

#: Variant of a question about publishing, in which publishers need a key.
GUARDED = "memory, API keys"


class Column(NamedTuple):
    """One column of a table: its head, the name of the figure, its format, and how the rounds become one number."""

    title: str
    figure: str
    form: str
    pick: Callable[[list[float]], float]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `head: figure [format]`."""
        head, _, rest = text.partition(": ")
        figure, _, form = rest.partition(" [")
        return cls(head.lstrip("!"), figure, f"{{:{form.rstrip(']') or '.1f'}}}", max if head[0] == "!" else median)


@dataclass(frozen=True, slots=True)
class Question:
    """One section of the table, see there."""

    name: str
    text: str
    title: str
    measure: Callable[[Bench, Server], Figures]
    servers: Callable[[Bench], Makers]
    columns: Sequence[Column]
    parameters: dict[str, float]
    rounds: int
    compared: Sequence[str]
    panel: str
    quick: dict[str, float] = field(default_factory=dict)
    baselines: Sequence[str] = ()
    divided: Sequence[str] = ("cpu",)
    only: Sequence[str] = ()
    disk: bool = False
    tls: bool = False

    @classmethod
    def make(cls, name: str, table: dict[str, Any]) -> Self:
        """Return the question of a section, with functions for their names."""
        row = {"name": name, "panel": "", **table[name]}
        if "measure" in row:
            row["measure"] = next(vars(one)[row["measure"]] for one in _MODULES if row["measure"] in vars(one))
        if "servers" in row:
            row["servers"] = globals()[row["servers"]]
        if "columns" in row:
            row["columns"] = tuple(map(Column.parse, row["columns"]))
        if "like" not in row:
            return cls(**row)
        other = cls.make(row.pop("like"), table)
        row["parameters"] = {**other.parameters, **row.get("parameters", {})}
        return replace(other, **row)

    def settings(self, rounds: int, quick: bool, given: dict[str, float]) -> SimpleNamespace:
        """Return the parameters, with those that are given, or of a short look."""
        found = {**self.parameters, **(self.quick if quick else {})}
        found |= {name: value for name, value in given.items() if name in found}
        whole = {name: int(value) if float(value).is_integer() else value for name, value in found.items()}
        return SimpleNamespace(**whole, rounds=rounds or (1 if quick else self.rounds))


def ownRun(bench: Bench) -> Makers:
    """Return every server with a run of its own for each viewer."""
    p, file, work = bench.parameters, bench.file(bench.tokens), Work(bench.parameters.rate)
    peers = servers.frameworks(work, bench.pair) | ({} if bench.pair else servers.floor(work, bench.folder))
    return peers | bench.ours(lambda one: one.text(1 / p.rate, file, pair=bench.pair))


def stores(bench: Bench) -> Makers:
    """Return ours with each store."""
    file, interval = bench.file(bench.tokens), 1 / bench.parameters.rate
    return bench.ours(
        lambda one: one.text(interval, file, variant="memory"),
        lambda one: one.text(interval, file, variant="SQLite", database=bench.folder),
    )


def sharedRuns(bench: Bench) -> Makers:
    """Return ours with a Redis."""
    file, interval = bench.file(bench.tokens), 1 / bench.parameters.rate
    return bench.ours(lambda one: one.text(interval, file, "--linger=600", redis=process.freePort()))


def sharedFanOut(bench: Bench) -> Makers:
    """Return ours alone, and as two servers with a Redis."""
    return bench.ours(
        lambda one: one.server(variant="one server"),
        lambda one: one.server(variant="two, Redis", redis=process.freePort()),
    )


def workerRuns(bench: Bench) -> Makers:
    """Return ours with a Redis, as one process and with two workers, and the source of paced runs."""
    file, interval = bench.file(bench.tokens), 1 / bench.parameters.rate
    return bench.ours(
        lambda one: one.text(interval, file, variant=ONE, redis=process.freePort()),
        lambda one: one.text(interval, file, "--workers=2", variant=TWO, redis=process.freePort()),
    )


def workerFanOut(bench: Bench) -> Makers:
    """Return ours with a Redis, as one process and with two workers."""
    return bench.ours(
        lambda one: one.server(variant=ONE, redis=process.freePort()),
        lambda one: one.server("--workers=2", variant=TWO, redis=process.freePort()),
    )


def fanOut(bench: Bench) -> Makers:
    """Return every server that publishes."""
    more = {} if bench.pair else servers.nchan(bench.folder) | servers.proxies(bench.folder)
    peers = servers.frameworks(Work(), bench.pair) | more
    return peers | bench.ours(lambda one: one.server(pair=bench.pair))


def relay(bench: Bench) -> Makers:
    """Return every server that relays an upstream."""
    url = f"http://{process.HOST}:{bench.upstream}"
    options, completions = (f"--upstream={url}/v1", "--linger", "1"), {"post": None, "ask": paced.COMPLETION}
    return servers.relays(url, bench.folder, paced.COMPLETION) | bench.ours(
        lambda one: one.server(*options),
        lambda one: replace(one.server(*options, variant="completions"), **completions),
    )


def relayFormats(bench: Bench) -> Makers:
    """Return ours for each format."""
    options = (f"--upstream=http://{process.HOST}:{bench.upstream}/v1", "--linger", "1")
    return bench.ours(*(lambda one, name=name: one.server(*options, variant=name) for name in paced.FORMATS))


def short(bench: Bench) -> Makers:
    """Return every server with short streams, ours asked in two ways."""
    p, file = bench.parameters, bench.file(bench.parameters.count)
    work, interval = Work(p.rate, p.count), 1 / p.rate if p.rate else 0
    ours = bench.ours(
        lambda one: replace(one.text(interval, file), post=None),
        lambda one: one.text(interval, file, variant="POST, GET"),
    )
    return servers.frameworks(work) | servers.floor(work, bench.folder) | ours


def firstByte(bench: Bench) -> Makers:
    """Return the servers of own runs, ours asked in two ways."""
    interval, file = 1 / bench.parameters.rate, bench.file(bench.tokens)
    return ownRun(bench) | bench.ours(lambda one: one.text(interval, file, variant="POST, GET"))


def idle(bench: Bench) -> Makers:
    """Return every server with heartbeats."""
    p = bench.parameters
    more = {} if bench.pair else servers.nchan(bench.folder)
    peers = servers.frameworks(Work(heartbeat=p.heartbeat), bench.pair) | more
    return peers | bench.ours(lambda one: one.server("--heartbeat", str(p.heartbeat), pair=bench.pair))


def multitude(bench: Bench) -> Makers:
    """Return ours with room for all viewers."""
    p, most = bench.parameters, str(bench.parameters.viewers + paced.SPARE)
    names = ("viewers", "runs", "connections", "viewers-per-client", "runs-per-client", "connections-per-address")
    limits = [part for name in names for part in (f"--max-{name}", most)]
    options = (*limits, "--heartbeat", str(p.heartbeat))
    return bench.ours(lambda one: one.text(1.0, bench.file(bench.tokens), *options))


def ours(bench: Bench) -> Makers:
    """Return ours."""
    return bench.ours(lambda one: one.server())


def catchUp(bench: Bench) -> Makers:
    """Return ours and the baselines, each with one viewer and with many."""
    sizes = {f"{size:,} viewer{'s' * (size > 1)}": size for size in (1, bench.parameters.viewers)}
    makes = [lambda one, name=name: replace(one.server(variant=name), size=sizes[name]) for name in sizes]
    return bench.ours(*makes) | servers.plainWrites(bulk.saveBody(bench), sizes)


def continued(bench: Bench) -> Makers:
    """Return ours for each place in each answer."""
    return continuing.continued(bench)


def publish(bench: Bench) -> Makers:
    """Return every server that publishes; ours with each store, with single events and with lists."""

    def make(one: Installation, store: str, size: int) -> Server:
        variant = f"{store}{f', lists of {size}' * (size > 1)}"
        database = bench.folder if store == "SQLite" else None
        return replace(one.server(variant=variant, database=database), size=size)

    sizes = [(store, size) for store in ("memory", "SQLite") for size in (1, bench.parameters.list)]
    return servers.publishing(bench.folder) | bench.ours(
        *(lambda one, store=store, size=size: make(one, store, size) for store, size in sizes)
    )


def publishTokens(bench: Bench) -> Makers:
    """Return every server that publishes single events; ours also with viewers, with SQLite, with access control."""
    stores = {"memory": None, servers.VIEWED: None, "SQLite": bench.folder}
    makes = [lambda one, name=name: one.server(variant=name, database=stores[name]) for name in stores]
    makes.append(lambda one: one.guarded(bench.folder, GUARDED))
    return servers.publishing(bench.folder) | bench.ours(*makes)


def program(bench: Bench) -> Makers:
    """Return ours with programs that write short and long lines."""

    def make(one: Installation, line: int) -> Server:
        command = shlex.join(bulk.writerCommand(bench, line))
        return replace(one.server("--exec", command, variant=f"lines of {line:,} bytes"), size=line)

    return bench.ours(*(lambda one, line=line: make(one, line) for line in (80, 8000)))


def works(bench: Bench) -> Makers:
    """Return ours for each piece of work beside a second client."""
    return turns.works(bench)


def memory(bench: Bench) -> Makers:
    """Return ours for each part of the memory."""
    p = bench.parameters
    return bench.ours(
        lambda one: one.text(1 / p.rate, bench.file(bench.tokens), variant="own runs"),
        lambda one: one.text(0, bench.file(p.tokens), variant="long streams"),
    )


_TABLE = tomllib.loads((HERE / "questions.toml").read_text("utf-8"))
GOALS: list[dict[str, Any]] = _TABLE.pop("goals")
QUESTIONS = tuple(Question.make(name, _TABLE) for name in _TABLE)
