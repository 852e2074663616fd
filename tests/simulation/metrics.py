"""
Metrics: the figures that operators see, compared with one another and with what is known.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.viewers import Stage
from tests.simulation.wire import ADMIN_PORT, Query, Reply

#: Ends of the names of samples that never fall.
_COUNTERS = ("_total", "_count", "_bucket", "_sum")

#: Pairs of samples: the first is never larger than the second.
_BOUNDS = (
    ("sseserver_connections", "sseserver_connections_limit"),
    ('sseserver_ledger_items{account="viewers"}', "sseserver_connections_limit"),
)


class Observer:
    """
    Reads `/metrics` again and again.

    Args:
        stage: See `Stage`.
        host: The machine of the server.
    """

    def __init__(self, stage: Stage, host: Any) -> None:
        self._stage = stage
        self._host = host
        # The samples of the last answer, and the life of the server in which it was given.
        self._before: dict[str, float] = {}
        self._life = 0

    def look(self) -> None:
        """Read the metrics, and come again later."""
        truth = self._stage.truth
        life, least = truth.lives, truth.keyless[truth.lives]
        # Two answers that are on their way together may have been given in either order.
        before = self._before if self._life == life else {}
        query = Query("GET", "/metrics", port=ADMIN_PORT)
        self._stage.ask(query, lambda reply: self._judge(reply, life, least, before))
        if truth.calmSince is None:
            self._stage.after(round(0.5 + 3 * self._stage.chance.random(), 3), self.look)

    def _judge(self, reply: Reply, life: int, least: int, before: dict[str, float]) -> None:
        self._stage.history.add("observer", f"metrics: {reply.status}")
        if reply.status not in (0, 200, 503):
            self._blame(f"{reply.status} {reply.body[:200]!r}")
        if reply.status != 200 or not reply.complete or self._stage.truth.lives != life:
            return
        samples = readSamples(reply.body.decode("utf-8"))
        for name, value in samples.items():
            if value < 0:
                self._blame(f"{name} is {value}")
            if name.partition("{")[0].endswith(_COUNTERS) and value < before.get(name, 0.0):
                self._blame(f"{name} is {value} after {before[name]}")
        for small, large in _BOUNDS:
            if samples[small] > samples[large]:
                self._blame(f"{small} is {samples[small]}, and {large} is {samples[large]}")
        published = samples["sseserver_published_entries_total"]
        if published < least:
            self._blame(f"{published} entries are counted, and {least} were acknowledged")
        self._before, self._life = samples, life

    def _blame(self, text: str) -> None:
        self._stage.history.blame("metrics", text)


def readSamples(text: str) -> dict[str, float]:
    """Read the samples of an exposition in Prometheus' format of text."""
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
