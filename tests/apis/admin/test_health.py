"""
Tests of `sseserver.apis.admin.health` on the usual listener.
"""

from __future__ import annotations

from zope.interface import implementer

from sseserver.apis.root import StreamResource
from sseserver.interfaces import IChecked
from sseserver.service.service import StreamService
from tests.apis.cases import ScriptedTestCase
from tests.served import ScriptedSource


@implementer(IChecked)
class IllSource(ScriptedSource):
    """A source whose problem the test chooses."""

    problem: str | None = None

    def findProblem(self) -> str | None:
        """See `IChecked.findProblem`."""
        return self.problem


class HealthTests(ScriptedTestCase):
    """`/healthz` and `/readyz`."""

    def test_health(self) -> None:
        """A process that answers at all answers `ok`, whatever its state."""
        for _ in range(2):
            response = self.ask("/healthz")
            self.assertEqual((response.status, response.body), (200, b"ok\n"))
            self.service.leave()

    def test_ready(self) -> None:
        """A running service is ready."""
        response = self.ask("/readyz")
        self.assertEqual((response.status, response.json), (200, {"ready": True, "problems": {}}))

    def test_leaving(self) -> None:
        """A service that is going to stop is not ready, but serves everything."""
        self.service.leave()
        self.service.leave()
        response = self.ask("/readyz")
        problems = {"server": "The server is going to stop."}
        self.assertEqual((response.status, response.json), (503, {"ready": False, "problems": problems}))
        viewer = self.view("/")
        self.write("a")
        self.assertEqual([event.data for event in viewer.response.events], ["", "a"])
        self.assertEqual(self.ask("/streams/news", method="PUT").status, 201)

    def test_notStarted(self) -> None:
        """A service that was not started, and one that has stopped, is not ready."""
        self.service = StreamService(self.reactor, self.source)
        self.services.append(self.service)
        self.factory = self.site(StreamResource(self.service))
        self.assertEqual(self.ask("/readyz").json["problems"], {"server": "The server has not started yet."})

    def test_source(self) -> None:
        """A source that has a problem is named, with its words, until the problem is gone."""
        source = IllSource()
        self.serve(source)
        for problem, status in ((None, 200), ("It is ill.", 503), (None, 200)):
            source.problem = problem
            response = self.ask("/readyz")
            problems = {} if problem is None else {"source": problem}
            self.assertEqual((response.status, response.json["problems"]), (status, problems))
