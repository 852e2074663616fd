"""
The collector of `prometheus-client`: it makes metrics of the numbers that a server has.

Nothing else imports that package, and nothing imports this module unless metrics were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sseserver.apis.admin.families import FAMILIES, Family, Measured, MetricType
from sseserver.counting import Durations


class MetricsCollector(Collector):
    """
    Reads all metrics of a server. That takes the same time whatever the number of streams and viewers.

    Args:
        measured: The parts of the server.
    """

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        for family in FAMILIES:
            yield makeMetric(family, self._measured)

    def describe(self) -> Iterator[Metric]:
        """See `Collector.describe`. The registry need not read the numbers to learn the names."""
        return iter(())

    def encode(self, accept: str) -> tuple[str, bytes]:
        """
        Write all metrics.

        Args:
            accept: Value of the header `Accept` of the request.

        Returns:
            The media type, and the text.
        """
        encoder, contentType = choose_encoder(accept)
        return contentType, encoder(self._registry)


def makeMetric(family: Family, measured: Measured) -> Metric:
    """
    Read the numbers of a family.

    Args:
        family: The family.
        measured: The parts of the server that it is read from.
    """
    read = family.read(measured)
    if isinstance(read, Durations):
        return _makeHistogram(family, read)
    kind = CounterMetricFamily if family.type is MetricType.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for values, number in read.items():
        metric.add_metric(values, number)
    return metric


def _makeHistogram(family: Family, durations: Durations) -> Metric:
    names = [*map(str, durations.bounds), "+Inf"]
    buckets = list(zip(names, accumulate(durations.counts), strict=True))
    return HistogramMetricFamily(family.name, family.help, buckets, durations.total)
