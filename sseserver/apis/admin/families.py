"""
The table of metrics: name, type, labels and help text of each family, and where its numbers are.

`sseserver.apis.admin.collector` exports them, and docs/metrics.md has the same table. To add a metric, add a row. No
label may have values that a client chooses: the number of samples is fixed.
"""

from __future__ import annotations

import platform
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from time import process_time

import twisted

from sseserver.apis.admin.health import findProblems
from sseserver.apis.admin.measured import Family, Measured, MetricType, Samples
from sseserver.counting import Durations
from sseserver.interfaces import IUpstreams, UpstreamState
from sseserver.stores.groupwriter import COMMITS
from sseserver.stores.persistent import PersistentStore
from sseserver.values import VERSION, Reason

#: Sizes of the memory of the process, in pages; the second one is what is in RAM.
_MEMORY = Path("/proc/self/statm")

#: Reasons of runs that failed because of their upstream.
_UPSTREAM = (
    Reason.UNREACHABLE,
    Reason.REFUSED,
    Reason.UPSTREAM,
    Reason.MALFORMED,
    Reason.TRUNCATED,
    Reason.TIMEOUT,
)


def _one(read: Callable[[Measured], float]) -> Callable[[Measured], Samples]:
    """Make a sample without labels of a number."""
    return lambda measured: {(): read(measured)}


def _by(read: Callable[[Measured], Mapping[str, float]]) -> Callable[[Measured], Samples]:
    """Make samples with one label of numbers by its values."""
    return lambda measured: {(str(value),): number for value, number in read(measured).items()}


def _countStreams(measured: Measured) -> Samples:
    store = measured.service.store
    return {
        (kind, state): number
        for kind, account in (("run", store.runs), ("published", store.published))
        for state, number in (("open", account.open), ("ended", account.count - account.open))
    }


def _countEnds(measured: Measured) -> Samples:
    store = measured.service.store
    return {
        (kind, state): number
        for kind, account in (("run", store.runs), ("published", store.published))
        for state, number in (("done", account.done), ("failed", account.failed), ("cancelled", account.cancelled))
    }


def _countRuns(measured: Measured) -> Mapping[str, float]:
    runs = measured.service.runs
    return {"waiting": runs.turns.waiting, "working": runs.turns.working}


def _countUpstreamErrors(measured: Measured) -> Mapping[str, float]:
    ends = measured.service.runs.counts.ends.counts
    return {reason: ends[reason] for reason in _UPSTREAM}


def _readUpstreams(read: Callable[[UpstreamState], float]) -> Callable[[Measured], Samples]:
    """Make samples of numbers of several upstreams; none if there are not several."""

    def sample(measured: Measured) -> Samples:
        source = measured.service.source
        states = source.listUpstreams() if IUpstreams.providedBy(source) else ()
        return {(each.name,): read(each) for each in states}

    return sample


def _findCommits(measured: Measured) -> Durations:
    store = measured.service.store
    return store.writer.commits if isinstance(store, PersistentStore) else Durations(COMMITS)


def _countFailures(measured: Measured) -> float:
    store = measured.service.store
    return store.writer.failures if isinstance(store, PersistentStore) else 0


def _countClientRefusals(measured: Measured) -> Mapping[str, float]:
    clients = measured.service.ledger.clients
    return {
        "connections": measured.site.connections.clients.refused,
        "viewers": clients.viewers.refused,
        "runs": clients.runs.refused,
        "starts": clients.starts.buckets.refused,
        "publishes": clients.publishes.buckets.refused,
    }


def _describeBuild(measured: Measured) -> Samples:
    build = "compiled" if measured.isCompiled else "pure"
    return {(VERSION, build, platform.python_version(), twisted.__version__): 1}


def measureMemory() -> int | None:
    """Return the bytes of this process that are in RAM; `None` where the system does not tell."""
    try:
        pages = int(_MEMORY.read_text("ascii").split()[1])
    except OSError:
        return None
    return pages * resource.getpagesize()


def _sampleMemory(_: Measured) -> Samples:
    size = measureMemory()
    return {} if size is None else {(): size}


_GAUGE, _COUNTER, _HISTOGRAM = MetricType.GAUGE, MetricType.COUNTER, MetricType.HISTOGRAM

FAMILIES = (
    Family(
        "sseserver_build_info",
        _GAUGE,
        "Versions of the server, of Python and of Twisted, and the build. The value is always 1.",
        _describeBuild,
        ("version", "build", "python", "twisted"),
    ),
    Family(
        "sseserver_start_time_seconds",
        _GAUGE,
        "When the server was started, in seconds since 1970.",
        _one(lambda measured: measured.service.created),
    ),
    Family(
        "sseserver_ready",
        _GAUGE,
        "Whether the server should get new clients, as `/readyz` says: 1 or 0.",
        _one(lambda measured: int(not findProblems(measured.service))),
    ),
    Family(
        "sseserver_viewers",
        _GAUGE,
        "Viewers now: responses that follow a stream or are large, until their last byte is taken.",
        _one(lambda measured: measured.service.viewers.count),
    ),
    Family(
        "sseserver_viewers_ended_total",
        _COUNTER,
        "Responses to viewers that have ended, by reason.",
        _by(lambda measured: measured.service.viewers.counts.ends.counts),
        ("reason",),
    ),
    Family(
        "sseserver_resumes_total",
        _COUNTER,
        "Viewers that returned with a last event ID, by what they got.",
        _by(lambda measured: measured.service.viewers.counts.resumes.counts),
        ("result",),
    ),
    Family(
        "sseserver_gaps_total",
        _COUNTER,
        "Gaps that viewers were told of, by reason.",
        _by(lambda measured: measured.service.viewers.counts.gaps.counts),
        ("reason",),
    ),
    Family(
        "sseserver_sent_entries_total",
        _COUNTER,
        "Entries of streams that were sent to viewers as events, counted for each viewer.",
        _one(lambda measured: measured.service.viewers.counts.entries),
    ),
    Family(
        "sseserver_sent_bytes_total",
        _COUNTER,
        "Bytes of the bodies of responses to viewers.",
        _one(lambda measured: measured.service.viewers.counts.bytes),
    ),
    Family(
        "sseserver_delivery_lag_seconds",
        _HISTOGRAM,
        "Time for which a viewer has not got an entry that is there, sampled at its heartbeats.",
        lambda measured: measured.service.viewers.counts.lags,
    ),
    Family(
        "sseserver_streams",
        _GAUGE,
        "Streams that are kept now, by the kind of their writer and by state.",
        _countStreams,
        ("kind", "state"),
    ),
    Family(
        "sseserver_streams_ended_total",
        _COUNTER,
        "Streams that have ended, by the kind of their writer and by their last state.",
        _countEnds,
        ("kind", "state"),
    ),
    Family(
        "sseserver_published_entries_total",
        _COUNTER,
        "Tokens, events and ends that were published.",
        _one(lambda measured: measured.service.ledger.publishedEntries),
    ),
    Family(
        "sseserver_runs",
        _GAUGE,
        "Runs now, by state: waiting for their turn, or with a source that works or stops.",
        _by(_countRuns),
        ("state",),
    ),
    Family(
        "sseserver_runs_started_total",
        _COUNTER,
        "Runs that were started, those that wait included.",
        _one(lambda measured: measured.service.runs.counts.started),
    ),
    Family(
        "sseserver_runs_restarted_total",
        _COUNTER,
        "Runs that were begun anew here because their server is gone (`--retry-interrupted`).",
        _one(lambda measured: measured.service.runs.counts.restarted),
    ),
    Family(
        "sseserver_runs_ended_total",
        _COUNTER,
        "Runs that have ended, by the reason in their terminal entry.",
        _by(lambda measured: measured.service.runs.counts.ends.counts),
        ("reason",),
    ),
    Family(
        "sseserver_tokens_total",
        _COUNTER,
        "Tokens that runs have produced; those of a run that goes on are counted in groups of 64 entries.",
        _one(lambda measured: measured.service.runs.counts.tokens),
    ),
    Family(
        "sseserver_time_to_first_token_seconds",
        _HISTOGRAM,
        "Time from the start of a run to its first token; the time in the queue counts.",
        lambda measured: measured.service.runs.counts.firstTokens,
    ),
    Family(
        "sseserver_time_per_token_seconds",
        _HISTOGRAM,
        "Average time between two tokens of a run; one value for each run that has ended well.",
        lambda measured: measured.service.runs.counts.tokenTimes,
    ),
    Family(
        "sseserver_upstream_errors_total",
        _COUNTER,
        "Runs that failed because of their upstream, by reason.",
        _by(_countUpstreamErrors),
        ("reason",),
    ),
    Family(
        "sseserver_upstream_up",
        _GAUGE,
        "Whether an upstream of several can be asked, as `/readyz` says: 1 or 0.",
        _readUpstreams(lambda state: state.problem is None),
        ("upstream",),
    ),
    Family(
        "sseserver_upstream_requests_total",
        _COUNTER,
        "Answers that an upstream of several was asked for.",
        _readUpstreams(lambda state: state.requests),
        ("upstream",),
    ),
    Family(
        "sseserver_upstream_failures_total",
        _COUNTER,
        "Answers of an upstream of several that failed before their first token; another upstream may have given them.",
        _readUpstreams(lambda state: state.failures),
        ("upstream",),
    ),
    Family(
        "sseserver_store_commit_seconds",
        _HISTOGRAM,
        "Time in which the store has written a group of changes. Always empty for a store in memory.",
        _findCommits,
    ),
    Family(
        "sseserver_store_failures_total",
        _COUNTER,
        "Groups of changes that the store could not write.",
        _one(_countFailures),
    ),
    Family(
        "sseserver_ledger_bytes",
        _GAUGE,
        "Memory of everything that outlives its request, by account.",
        _by(lambda measured: {name: each.used for name, each in measured.service.ledger.report().items()}),
        ("account",),
    ),
    Family(
        "sseserver_ledger_limit_bytes",
        _GAUGE,
        "Limit of the memory of each account, from which on new work is refused.",
        _by(lambda measured: {name: each.limit for name, each in measured.service.ledger.report().items()}),
        ("account",),
    ),
    Family(
        "sseserver_ledger_items",
        _GAUGE,
        "Number of the things that take this memory, by account.",
        _by(lambda measured: {name: each.count for name, each in measured.service.ledger.report().items()}),
        ("account",),
    ),
    Family(
        "sseserver_connections",
        _GAUGE,
        "Open connections of clients.",
        _one(lambda measured: measured.site.connections.count),
    ),
    Family(
        "sseserver_connections_limit",
        _GAUGE,
        "Number of connections of clients that can be open at a time.",
        _one(lambda measured: measured.site.connections.limit),
    ),
    Family(
        "sseserver_connections_refused_total",
        _COUNTER,
        "Connections that were closed at once, because all others were busy.",
        _one(lambda measured: measured.site.connections.refused),
    ),
    Family(
        "sseserver_requests_refused_total",
        _COUNTER,
        "Requests that were answered with an error, by HTTP status.",
        _by(lambda measured: measured.site.refusals.counts),
        ("status",),
    ),
    Family(
        "sseserver_clients_refused_total",
        _COUNTER,
        "Connections, viewers, runs and publishes of clients that had their share already, by limit.",
        _by(_countClientRefusals),
        ("limit",),
    ),
    Family(
        "sseserver_reactor_lag_seconds",
        _HISTOGRAM,
        "How late the reactor makes a call that is due, measured ten times a second.",
        lambda measured: measured.lag.lags,
    ),
    Family(
        "sseserver_cpu_seconds_total",
        _COUNTER,
        "CPU time of the process.",
        _one(lambda _: process_time()),
    ),
    Family(
        "sseserver_resident_memory_bytes",
        _GAUGE,
        "Memory of the process that is in RAM. Known on Linux only.",
        _sampleMemory,
    ),
)
