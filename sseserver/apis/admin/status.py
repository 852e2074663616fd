"""
`admin/status.json`: the state of a server for the operator's page: its limits beside their use, and its counts.

`sseserver.apis.admin.families` has more numbers, for programs.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from time import process_time
from typing import Any, NamedTuple

import twisted
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from sseserver.apis.admin.families import measureMemory
from sseserver.apis.admin.health import findProblems
from sseserver.apis.admin.measured import Measured
from sseserver.apis.admin.workers import Answers
from sseserver.delivery.waiter import Waiter
from sseserver.service.viewers import Viewers
from sseserver.values import VERSION
from sseserver.web.access.rights import Access
from sseserver.web.answers import answerJSON
from sseserver.web.resource import AsyncResource

#: Number of viewers whose responses are counted at a time: it takes less than a millisecond.
_FEW = 1000

#: Titles of the accounts of `Ledger.report`.
_ACCOUNTS = {
    "runs": "streams of runs",
    "published": "published streams",
    "keys": "idempotency keys",
    "work": "runs",
    "prompts": "prompts",
    "viewers": "viewers",
    "rests": "large events on their way",
    "clients": "limits of clients",
    "connections": "connections",
    "bodies": "arriving bodies",
}


class Limit(NamedTuple):
    """
    A limit beside its present use.

    Attributes:
        name: One word, or two with a dot between them.
        title: Noun phrase for people.
        used: What is used now.
        limit: The limit; `None` if there is none.
        unit: `bytes`, or `number` of things.
    """

    name: str
    title: str
    used: int
    limit: int | None
    unit: str = "number"


class Status(AsyncResource):
    """
    `admin/status.json`: answers with the states of all processes.

    Args:
        access: Checks that a client may list streams.
        ask: Returns the results of `describeProcess` by the numbers of the workers; 0 for a server of one process.
    """

    def __init__(self, access: Access, ask: Callable[[], Deferred[Answers]]) -> None:
        super().__init__()
        self._access = access
        self._ask = ask

    async def GET(self, request: Request) -> bytes:
        """Answer with the states, and with the numbers of the workers that do not answer."""
        await self._access.requireList(request)
        answers = await self._ask()
        states = [{"worker": number or None, **state} for number, state in answers.items() if state is not None]
        silent = [number for number, state in answers.items() if state is None]
        return answerJSON(request, {"processes": states, "silent": silent})


def describeProcess(measured: Measured) -> dict[str, Any]:
    """
    Describe the state of a process. It takes the same time whatever the number of streams.

    Args:
        measured: The parts of its server.
    """
    service = measured.service
    store = service.store
    return {
        "process": os.getpid(),
        "host": platform.node(),
        "time": service.wall(),
        "started": service.created,
        "version": VERSION,
        "build": "compiled" if measured.isCompiled else "pure Python",
        "speedups": not service.settings.plain,
        "python": platform.python_version(),
        "twisted": twisted.__version__,
        "source": measured.source,
        "store": measured.store,
        "formats": list(service.formats),
        "problems": findProblems(service),
        "streams": {
            kind: {"open": account.open, "ended": account.count - account.open}
            for kind, account in (("runs", store.runs), ("published", store.published))
        },
        "limits": [limit._asdict() for limit in listLimits(measured)],
        "counts": _readCounts(measured),
    }


def listLimits(measured: Measured) -> list[Limit]:
    """
    List the limits of a process beside their use.

    Args:
        measured: The parts of its server.
    """
    service, connections = measured.service, measured.site.connections
    settings, store, runs = service.settings, service.store, service.runs
    limits = [
        Limit("viewers", "Viewers", service.viewers.count, settings.maxViewers),
        Limit("connections", "Connections", connections.count, connections.limit),
        Limit("runs", "Runs at work", runs.turns.working, settings.maxRuns),
        Limit("waiting", "Runs that wait", runs.turns.waiting, settings.maxWaiting),
        Limit("streams.runs", "Streams of runs", store.runs.count, settings.maxStreams),
        Limit("streams.published", "Published streams", store.published.count, settings.maxStreams),
    ]
    limits += [
        Limit(f"memory.{name}", f"Memory of {_ACCOUNTS[name]}", each.used, each.limit, "bytes")
        for name, each in service.ledger.report().items()
    ]
    memory = measureMemory()
    return limits if memory is None else [*limits, Limit("memory", "Memory of the process", memory, None, "bytes")]


def settleCounts(viewers: Viewers) -> None:
    """
    Bring the counts of deliveries up to date, for an operator who looks at them every second.

    Each viewer counts at its beats. Those of many viewers are spread so evenly that this is not needed.

    Args:
        viewers: The viewers.
    """
    if viewers.count <= _FEW:
        for viewer in viewers:
            if not isinstance(viewer, Waiter):
                viewer.count()


def _readCounts(measured: Measured) -> dict[str, float]:
    """Return the counts since the start of the process."""
    service, site = measured.service, measured.site
    settleCounts(service.viewers)
    counts, runs = service.viewers.counts, service.runs.counts
    return {
        "tokens": runs.tokens,
        "published": service.ledger.publishedEntries,
        "sentEntries": counts.entries,
        "sentBytes": counts.bytes,
        "runsStarted": runs.started,
        "viewersEnded": sum(counts.ends.counts.values()),
        "resumes": sum(counts.resumes.counts.values()),
        "gaps": sum(counts.gaps.counts.values()),
        "refusedRequests": sum(site.refusals.counts.values()),
        "refusedConnections": site.connections.refused,
        "cpu": process_time(),
    }
