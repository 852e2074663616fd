"""
The collector of `prometheus-client`: it makes metrics of the numbers that a server has.

Nothing else imports that package, and nothing imports this module unless metrics were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sseserver.apis.admin.families import FAMILIES
from sseserver.apis.admin.measured import Measured, MetricType, Samples
from sseserver.counting import Durations


class Described(Protocol):
    """A family, whatever its numbers are read from."""

    @property
    def name(self) -> str:
        """Its whole name."""

    @property
    def type(self) -> MetricType:
        """Its type."""

    @property
    def help(self) -> str:
        """Text about the numbers."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of its own labels."""


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
            yield makeMetric(family, {(): family.read(self._measured)})

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


def encodeMetrics(metrics: Iterable[Metric], accept: str) -> tuple[str, bytes]:
    """
    Write metrics that were read before.

    Args:
        metrics: The metrics.
        accept: Value of the header `Accept` of the request.

    Returns:
        The media type, and the text.
    """
    encoder, contentType = choose_encoder(accept)
    registry = CollectorRegistry()
    registry.register(_Read(metrics))
    return contentType, encoder(registry)


class _Read(Collector):
    """Metrics that were read before."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        """See `Collector.collect`."""
        return self._metrics

    def describe(self) -> Iterable[Metric]:
        """See `Collector.describe`."""
        return ()


def makeMetric(
    family: Described, reads: Mapping[tuple[str, ...], Samples | Durations], labels: tuple[str, ...] = ()
) -> Metric:
    """
    Make the metric of a family.

    Args:
        family: The family.
        reads: Its numbers, by the values of the labels that are added to its own. It has none without added labels.
        labels: Names of the added labels.
    """
    if family.type is MetricType.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.help, labels=labels)
        for added, read in reads.items():
            assert isinstance(read, Durations)
            names = [*map(str, read.bounds), "+Inf"]
            histogram.add_metric(added, list(zip(names, accumulate(read.counts), strict=True)), read.total)
        return histogram
    kind = CounterMetricFamily if family.type is MetricType.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=(*labels, *family.labels))
    for added, read in reads.items():
        assert not isinstance(read, Durations)
        for values, number in read.items():
            metric.add_metric((*added, *values), number)
    return metric
