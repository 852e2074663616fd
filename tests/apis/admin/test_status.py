"""
Tests of `sseserver.apis.admin.status`: `admin/status.json`.
"""

from __future__ import annotations

from typing import Any

from sseserver.apis import makeAdmin
from sseserver.apis.admin.status import describeProcess
from sseserver.settings import Settings
from sseserver.values import VERSION
from sseserver.web.access.rights import Access
from tests.apis.admin.cases import MetricsTestCase


class StatusTests(MetricsTestCase):
    """The state of a server of one process."""

    settings = Settings(maxViewers=7, maxRuns=3)

    def setUp(self) -> None:
        super().setUp()
        self.operators = self.site(makeAdmin(self.measured, (), Access(None, self.reactor.seconds)))

    def fetch(self) -> Any:
        """Return the state."""
        answer = self.connect(self.operators).ask("/admin/status.json").json
        self.assertEqual(answer["silent"], [])
        [state] = answer["processes"]
        return state

    def find(self, name: str) -> tuple[int, int | None, str]:
        """Return the use, the limit and the unit of a limit."""
        [limit] = [each for each in self.fetch()["limits"] if each["name"] == name]
        return limit["used"], limit["limit"], limit["unit"]

    def test_about(self) -> None:
        """The state has the version, the build, the time, and what the server is made of."""
        self.reactor.advance(5)
        state = self.fetch()
        self.assertEqual((state["version"], state["build"], state["worker"]), (VERSION, "pure Python", None))
        self.assertEqual(state["time"] - state["started"], 5)
        self.assertEqual(state["formats"], list(self.service.formats))
        self.assertEqual(state["problems"], {})
        self.service.leave()
        self.assertEqual(self.fetch()["problems"], {"server": "The server is going to stop."})

    def test_limits(self) -> None:
        """Each limit stands beside its use."""
        self.view("/")
        self.ask("/streams/news", method="PUT")
        self.assertEqual(self.find("viewers"), (1, 7, "number"))
        self.assertEqual(self.find("runs"), (1, 3, "number"))
        self.assertEqual(self.find("streams.published")[:2], (1, self.settings.maxStreams))
        self.assertEqual(self.find("connections")[0], self.factory.connections.count)
        used, limit, unit = self.find("memory.published")
        self.assertEqual((used, limit, unit), (self.service.store.published.used, self.settings.maxBytes, "bytes"))
        self.assertEqual(self.find("memory")[1:], (None, "bytes"))
        self.assertEqual(self.fetch()["streams"]["published"], {"open": 1, "ended": 0})

    def test_countsAtOnce(self) -> None:
        """The bytes and entries of the viewers are counted at each look, not only at their heartbeats."""
        before = self.fetch()["counts"]
        self.view("/")
        self.write("a", "b")
        counts = self.fetch()["counts"]
        self.assertEqual(counts["sentEntries"] - before["sentEntries"], 2)
        self.assertGreater(counts["sentBytes"], before["sentBytes"])
        self.assertEqual(counts["runsStarted"], 1)

    def test_countsOfMany(self) -> None:
        """Too many viewers are not counted at a look: their heartbeats do it."""
        self.view("/")
        self.write("a")
        self.patch(type(self.service.viewers), "__iter__", lambda _: self.fail("looked at"))
        self.patch(self.service.viewers, "_requests", dict.fromkeys(range(1001)))
        describeProcess(self.measured)
        self.patch(self.service.viewers, "_requests", {})
