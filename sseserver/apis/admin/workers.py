"""
The resources of a pool of workers, on `--admin-listen`: `readyz` and `metrics` of all workers together.

Each sample has the label `worker`, beside its own labels. Prometheus makes the sums: numbers that were added up here
could not be told apart any more, and most limits are those of one worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.web.http import OK, SERVICE_UNAVAILABLE
from twisted.web.server import Request

from sseserver.apis.admin.families import FAMILIES
from sseserver.apis.admin.forwarding import Connect
from sseserver.apis.admin.measured import MetricType, Samples
from sseserver.apis.admin.missing import MISSING, PackageMissing, warnMissing
from sseserver.apis.admin.packing import unpackFamily
from sseserver.counting import Durations
from sseserver.web.answers import answerJSON, setContentType
from sseserver.web.resource import AsyncResource

#: The label that tells the workers apart.
WORKER = "worker"

#: Answers of workers by their numbers: `None` for one that runs and does not answer. One that does not run is missing.
Answers = Mapping[int, Any]

_SILENT = {"server": "The worker does not answer."}
_NONE = {"server": "No worker runs."}


class WorkerCounts(NamedTuple):
    """
    The state of a worker, as its pool knows it.

    Attributes:
        isReady: Whether it listens.
        restarts: How often it was started again.
    """

    isReady: bool
    restarts: int


@dataclass(frozen=True, slots=True)
class WatchedPool:
    """
    A pool, as operators see it.

    Attributes:
        reactor: The reactor.
        count: Returns the states of the workers, by their numbers.
        connect: See `Forwarding`.
        askMetrics: Asks the workers for their packed metrics.
        askReadiness: Asks the workers whether they should get new clients.
        askStatus: Asks the workers for their states.
    """

    reactor: Any
    count: Callable[[], Mapping[int, WorkerCounts]]
    connect: Connect
    askMetrics: Callable[[], Deferred[Answers]]
    askReadiness: Callable[[], Deferred[Answers]]
    askStatus: Callable[[], Deferred[Answers]]


class WorkerFamily(NamedTuple):
    """
    A metric of the pool itself.

    Attributes:
        name: The whole name.
        type: Its type.
        help: What is counted, in a sentence.
        read: Returns the number of a worker.
        labels: Names of labels beside `worker`.
    """

    name: str
    type: MetricType
    help: str
    read: Callable[[WorkerCounts], float]
    labels: tuple[str, ...] = ()


WORKER_FAMILIES = (
    WorkerFamily(
        "sseserver_worker_ready",
        MetricType.GAUGE,
        "Whether a worker of `--workers` listens: 1 or 0.",
        lambda counts: counts.isReady,
    ),
    WorkerFamily(
        "sseserver_worker_restarts_total",
        MetricType.COUNTER,
        "How often a worker of `--workers` was started again, because it had ended.",
        lambda counts: counts.restarts,
    ),
)


class WorkersReadiness(AsyncResource):
    """
    `readyz` of a pool: answers 200 if at least one worker runs, and all that run are ready.

    Connections do not go to a worker that is being started again, so it counts for nothing.

    Args:
        ask: Returns the results of `describeReadiness` by the numbers of the workers.
    """

    def __init__(self, ask: Callable[[], Deferred[Answers]]) -> None:
        super().__init__()
        self._ask = ask

    async def GET(self, request: Request) -> bytes:
        """Answer with the problems by the numbers of the workers, and with those of the upstreams."""
        answers = await self._ask()
        found = {str(number): _SILENT if each is None else each["problems"] for number, each in answers.items()}
        problems: dict[str, Any] = {number: each for number, each in found.items() if each}
        if not answers:
            problems = dict(_NONE)
        answer: dict[str, Any] = {"ready": not problems, "problems": problems}
        upstreams = _joinUpstreams([each["upstreams"] for each in answers.values() if each and "upstreams" in each])
        if upstreams:
            answer["upstreams"] = upstreams
        return answerJSON(request, answer, SERVICE_UNAVAILABLE if problems else OK)


def _joinUpstreams(found: Sequence[Mapping[str, str | None]]) -> dict[str, str | None]:
    """
    Join the states of the upstreams that several workers know.

    Each worker knows the outcome of its own requests, so an upstream has a problem if each of them knows one.
    """
    names = {name: None for each in found for name in each}
    known = {name: [each[name] for each in found if name in each] for name in names}
    return {name: None if None in problems else problems[0] for name, problems in known.items()}


class _FamilyRead(NamedTuple):
    """
    A family with its numbers.

    Attributes:
        family: The family.
        reads: The numbers, by the values of the label of workers.
    """

    family: Any
    reads: dict[tuple[str, ...], Samples | Durations]


class WorkersMetrics(AsyncResource):
    """
    `metrics` of a pool: answers with the metrics of all workers, and with those about them.

    Args:
        ask: Asks the workers for their packed metrics.
        count: Returns the states of the workers, by their numbers.
    """

    def __init__(self, ask: Callable[[], Deferred[Answers]], count: Callable[[], Mapping[int, WorkerCounts]]) -> None:
        super().__init__()
        self._ask = ask
        self._count = count
        self._collector = _importCollector()

    async def GET(self, request: Request) -> bytes:
        """
        Answer with the metrics.

        Raises:
            PackageMissing: The package is not installed.
        """
        if self._collector is None:
            raise PackageMissing(MISSING)
        answers = await self._ask()
        metrics = [self._collector.makeMetric(each.family, each.reads, (WORKER,)) for each in self._read(answers)]
        contentType, text = self._collector.encodeMetrics(metrics, request.getHeader("accept") or "")
        setContentType(request, contentType)
        return bytes(text)

    def _read(self, answers: Answers) -> list[_FamilyRead]:
        """Return each family with its numbers by the label values of the workers."""
        answered = {(str(number),): each for number, each in answers.items() if each is not None}
        known = {(str(number),): each for number, each in self._count().items()}
        own = [
            _FamilyRead(family, {worker: {(): family.read(counts)} for worker, counts in known.items()})
            for family in WORKER_FAMILIES
        ]
        return own + [
            _FamilyRead(family, {worker: unpackFamily(each[family.name]) for worker, each in answered.items()})
            for family in FAMILIES
        ]


def _importCollector() -> ModuleType | None:
    """Return the module that encodes metrics; `None` without the package, with a line in the log."""
    try:
        from sseserver.apis.admin import collector  # noqa: PLC0415  (optional)
    except ImportError:
        warnMissing()
        return None
    return collector
