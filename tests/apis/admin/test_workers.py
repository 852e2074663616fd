"""
Tests for `sseserver.apis.admin.workers` and `sseserver.apis.admin.packing`: one admin endpoint for all workers.
"""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import patch

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.internet.defer import succeed

from sseserver.apis.admin.families import FAMILIES
from sseserver.apis.admin.packing import packFamilies, unpackFamily
from sseserver.apis.admin.site import AdminResource
from sseserver.apis.admin.workers import WORKER_FAMILIES, WorkerCounts, WorkersMetrics, WorkersReadiness
from sseserver.counting import Durations
from sseserver.web.resource import NotFoundResource
from tests.apis.admin.cases import MetricsTestCase


class WorkersTestCase(MetricsTestCase):
    """The admin site of a pool, whose workers the test plays."""

    def setUp(self) -> None:
        super().setUp()
        self.answers: dict[int, Any] = {}
        self.admin = self.makeAdmin()

    def makeAdmin(self) -> Any:
        """Make the site."""
        counts = {1: WorkerCounts(True, 0), 2: WorkerCounts(False, 3)}
        metrics = WorkersMetrics(lambda: succeed(self.answers), lambda: counts)
        readiness = WorkersReadiness(lambda: succeed(self.answers))
        return self.site(AdminResource(readiness, metrics, NotFoundResource(), ()))

    def askReady(self) -> tuple[int, Any]:
        """Ask for the readiness; return status and problems."""
        response = self.connect(self.admin).ask("/readyz")
        return response.status, json.loads(response.body)["problems"]


class ReadinessTests(WorkersTestCase):
    """`/readyz`."""

    def test_ready(self) -> None:
        """The pool is ready if all workers that run are; one that is started again does not count."""
        self.answers = {1: {"problems": {}}}
        self.assertEqual(self.askReady(), (200, {}))

    def test_notReady(self) -> None:
        """Workers that are not ready are named, also those that do not answer."""
        self.answers = {1: {"problems": {}}, 2: {"problems": {"store": "away"}}, 3: None}
        self.assertEqual(
            self.askReady(), (503, {"2": {"store": "away"}, "3": {"server": "The worker does not answer."}})
        )

    def test_upstreams(self) -> None:
        """An upstream has no problem if one worker knows none; a worker that does not answer knows nothing."""
        self.answers = {
            1: {"problems": {}, "upstreams": {"a": "away", "b": None, "c": "slow"}},
            2: {"problems": {}, "upstreams": {"a": None, "b": None, "c": "away"}},
            3: None,
        }
        response = self.connect(self.admin).ask("/readyz")
        self.assertEqual(list(response.json["upstreams"].items()), [("a", None), ("b", None), ("c", "slow")])
        self.answers = {1: {"problems": {}}}
        self.assertNotIn("upstreams", self.connect(self.admin).ask("/readyz").json)

    def test_none(self) -> None:
        """Without a worker there is no service."""
        self.assertEqual(self.askReady(), (503, {"server": "No worker runs."}))
        self.assertEqual(self.connect(self.admin).ask("/healthz").status, 200)


class MetricsTests(WorkersTestCase):
    """`/metrics`."""

    def pack(self) -> Any:
        """Return the metrics of this server as they come from a worker."""
        return json.loads(json.dumps(packFamilies(self.measured)))

    def test_packed(self) -> None:
        """Numbers are the same after they were packed."""
        self.startRun()
        self.write("a")
        packed = self.pack()
        for family in FAMILIES:
            found, read = unpackFamily(packed[family.name]), family.read(self.measured)
            if isinstance(read, Durations):
                assert isinstance(found, Durations)
                self.assertEqual((found.counts, found.total), (read.counts, read.total))
                self.assertEqual([*found.bounds], [*read.bounds])
            elif family.name not in {"sseserver_cpu_seconds_total", "sseserver_resident_memory_bytes"}:
                self.assertEqual(found, read)

    def test_labels(self) -> None:
        """Each sample names its worker, in both formats; the strict parser takes them."""
        packed = self.pack()
        self.answers = {1: packed, 2: packed}
        names = {family.name.removesuffix("_total") for family in (*FAMILIES, *WORKER_FAMILIES)}
        text = self.scrape("application/openmetrics-text;version=1.0.0")
        families = {each.name: each for each in text_string_to_metric_families(text)}
        self.assertEqual(set(families), names)
        for each in families.values():
            for sample in each.samples:
                self.assertIn(sample.labels["worker"], {"1", "2"})
        self.assertEqual(len(self.scrape().splitlines()), len(text.splitlines()) - 1)

    def test_missing(self) -> None:
        """A worker that has not answered has no samples, but for those that the pool itself knows."""
        self.answers = {1: self.pack(), 2: None}
        self.assertEqual(self.value("sseserver_viewers", worker="1"), 0)
        self.assertEqual(self.value("sseserver_worker_restarts_total", worker="2"), 3)
        self.assertEqual(self.value("sseserver_worker_ready", worker="2"), 0)
        self.assertNotIn(("sseserver_viewers", frozenset({("worker", "2")})), self.read())

    def test_withoutPackage(self) -> None:
        """Without the package the answer names the extra to install."""
        with patch.dict(sys.modules, {"prometheus_client": None, "sseserver.apis.admin.collector": None}):
            with patch("sseserver.apis.admin.collector", None, create=True):
                self.admin = self.makeAdmin()
        self.assertEqual(self.connect(self.admin).ask("/metrics").error["code"], "package_missing")
