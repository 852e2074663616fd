"""
Test case of the metrics: the whole server on wires, and what it exports.
"""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from zope.interface import alsoProvides

from sseserver.apis import makeAdmin
from sseserver.apis.admin.measured import Measured
from sseserver.interfaces import ITokenSource, IUpstreams, UpstreamState
from sseserver.settings import Settings
from sseserver.timing.reactorlag import ReactorLag
from tests.apis.cases import ScriptedTestCase
from tests.served import ScriptedSource

#: A sample: its name, and the values of its labels by their names.
Key = tuple[str, frozenset[tuple[str, str]]]


class MetricsTestCase(ScriptedTestCase):
    """
    A server whose metrics are read on a site of their own.

    Attributes:
        measured: The parts of the server.
        admin: The site for operators.
        upstreams: The upstreams of the source.
    """

    upstreams = (UpstreamState("local", None, 3, 1), UpstreamState("cloud", "It is gone.", 0, 0))

    def serve(self, source: ITokenSource, settings: Settings | None = None, store: Any = None) -> None:
        """See `ServedTestCase.serve`."""
        if isinstance(source, ScriptedSource):
            alsoProvides(source, IUpstreams)
            source.listUpstreams = lambda: self.upstreams  # type: ignore[attr-defined]
        super().serve(source, settings, store)
        self.service.ledger.connections, self.service.ledger.bodies = self.factory.connections, self.factory.bodies
        self.lag = ReactorLag(self.reactor)
        self.measured = Measured(self.service, self.factory, self.lag)
        self.admin = self.site(makeAdmin(self.measured))

    def scrape(self, accept: str | None = None) -> str:
        """Return the text of the metrics."""
        response = self.connect(self.admin).ask("/metrics", accept)
        assert response.status == 200, response
        return response.body.decode()

    def read(self) -> dict[Key, float]:
        """Return all samples."""
        families = text_string_to_metric_families(self.scrape())
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one sample."""
        return self.read()[name, frozenset(labels.items())]
