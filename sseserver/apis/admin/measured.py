"""
The types of metrics: a family, its samples, and the parts of a server that have the numbers.

`sseserver.apis.admin.families` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sseserver.counting import Durations
from sseserver.service.service import StreamService
from sseserver.timing.reactorlag import ReactorLag
from sseserver.web.site import StreamSite


class MetricType(StrEnum):
    """Type of a family, as Prometheus calls it."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Measured:
    """
    The parts of a server that have the numbers.

    Attributes:
        service: The streams, their runs and viewers.
        site: The site of the clients.
        lag: Measures the reactor.
        isCompiled: Whether this is the compiled build.
        source: Short text about the token source.
        store: Short text about the store.
    """

    service: StreamService
    site: StreamSite
    lag: ReactorLag
    isCompiled: bool = False
    source: str = ""
    store: str = ""


#: Values of the labels of one sample, and its number.
Samples = Mapping[tuple[str, ...], float]


class Family(NamedTuple):
    """
    A metric, with all its labels.

    Attributes:
        name: The whole name; that of a counter ends in `_total`.
        type: Its type.
        help: What is counted, in a sentence.
        read: Returns the samples. Without labels there is one, whose label values are `()`.
        labels: Names of the labels.
    """

    name: str
    type: MetricType
    help: str
    read: Callable[[Measured], Samples | Durations]
    labels: tuple[str, ...] = ()
