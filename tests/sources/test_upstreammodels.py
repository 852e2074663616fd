"""Tests for `sseserver.sources.upstreammodels`: the list of models of an upstream."""

from __future__ import annotations

import json
from typing import Any

from twisted.python.failure import Failure

from sseserver.errors import SourceError
from sseserver.sources.upstreammodels import KEPT_SECONDS
from sseserver.sources.upstreamreach import CHECK_SECONDS
from tests.sources.upstreamcases import UpstreamTestCase, makeSource
from tests.upstreamscripts import KEY, Act, Step, answer, head, refusal


class ModelsTests(UpstreamTestCase):
    """The list of models."""

    def ask(self, *steps: Step) -> Any:
        """Request the list, and return it or the error."""
        self.upstream.scripts = [steps]
        results: list[Any] = []
        self.source.models().addBoth(results.append)
        self.turn()
        self.clock.advance(10)
        self.turn()
        (result,) = results
        return result.value if isinstance(result, Failure) else result

    def test_models(self) -> None:
        """The list is requested from the upstream with the key."""
        listed = {"object": "list", "data": [{"id": "a", "object": "model"}, {"id": "b/c:d", "new": 1}]}
        self.assertEqual(self.ask(answer("200 OK", json.dumps(listed))), listed["data"])
        (asked,) = self.upstream.asked
        self.assertEqual((asked.line, asked.headers["authorization"]), ("GET /v1/models HTTP/1.1", f"Bearer {KEY}"))

    def test_long(self) -> None:
        """A list of thousands of models is read completely."""
        listed = {"data": [{"id": f"model-{number}", "description": "x" * 100} for number in range(3000)]}
        self.assertEqual(len(self.ask(answer("200 OK", json.dumps(listed)))), 3000)

    def test_problem(self) -> None:
        """A source whose upstream was not reached asks it again now and then, until there is any answer."""
        self.assertIsNone(self.source.findProblem())
        self.ask(Act.CLOSE)
        self.assertEqual(self.source.findProblem(), "The upstream cannot be reached.")
        asked = len(self.upstream.asked)
        self.upstream.scripts = [(answer("404 Not Found", refusal("no")),)]
        self.clock.advance(CHECK_SECONDS)
        for _ in range(2):
            self.source.findProblem()
            self.turn()
        self.assertEqual(len(self.upstream.asked), asked + 1)
        self.assertIsNone(self.source.findProblem())

    def test_F33_unusualLists(self) -> None:
        """F33: a bare list is read, null is no model, and entries without an ID are skipped."""
        model = {"id": "a"}
        for listed, read in (
            ([model], [model]),
            ({"data": None}, []),
            ({"data": []}, []),
            ({"data": [model, {"object": "model"}, {"id": 7}, {"id": ""}, "b", None]}, [model]),
        ):
            self.source = makeSource(self.upstream)
            self.assertEqual(self.ask(answer("200 OK", json.dumps(listed))), read)

    def test_F33_largeList(self) -> None:
        """F33: a list of some MB is read."""
        listed = {"data": [{"id": f"model-{number}", "description": "x" * 1000} for number in range(3000)]}
        self.assertEqual(len(self.ask(answer("200 OK", json.dumps(listed)))), 3000)

    def test_F46_kept(self) -> None:
        """F46: the list is kept for a minute, and simultaneous callers share one request."""
        self.upstream.scripts = [(answer("200 OK", '{"data":[{"id":"a"}]}'),)]
        for _ in range(2):
            asking = [self.source.models() for _ in range(20)]
            self.turn()
            self.assertEqual([self.successResultOf(one) for one in asking], [[{"id": "a"}]] * 20)
        self.assertEqual(len(self.upstream.asked), 1)
        self.clock.advance(KEPT_SECONDS)
        self.source.models()
        self.turn()
        self.assertEqual(len(self.upstream.asked), 2)

    def test_F46_errorsAreNotKept(self) -> None:
        """F46: after an error the next caller makes another request; one that gives up does not stop the others."""
        self.assertIsInstance(self.ask(answer("503 Busy", "")), SourceError)
        self.upstream.scripts = [(answer("200 OK", '{"data":[{"id":"a"}]}'),)]
        first, second = self.source.models(), self.source.models()
        first.cancel()
        self.failureResultOf(first)
        self.turn()
        self.assertEqual(self.successResultOf(second), [{"id": "a"}])

    def test_configured(self) -> None:
        """A configured model is the only one, and nothing is requested."""
        self.source = makeSource(self.upstream, model="m")
        self.assertEqual(self.successResultOf(self.source.models()), ["m"])
        self.assertEqual(self.upstream.asked, [])

    def test_errors(self) -> None:
        """Every failure is a `SourceError`, as for an answer."""
        for steps, reason, status in (
            ((answer("401 Unauthorized", refusal(KEY)),), "refused", 502),
            ((answer("503 Service Unavailable", ""),), "refused", 503),
            ((answer("302 Found", "", "Location: http://127.0.0.2/"),), "refused", 502),
            ((answer("200 OK", "<html>"),), "malformed", 502),
            ((answer("200 OK", '{"data":7}'),), "malformed", 502),
            ((answer("200 OK", b"[" * 100_000),), "malformed", 502),
            ((head("200 OK", "Content-Length: 19999999"), *[b" " * 1_000_000] * 19), "malformed", 502),
            ((Act.HANG,), "timeout", 504),
            ((Act.CLOSE,), "unreachable", 502),
        ):
            error = self.ask(*steps)
            self.assertIsInstance(error, SourceError)
            self.assertEqual((error.reason, error.status), (reason, status))
            self.assertNotIn(KEY, str(error))
        self.assertIn("is not HTTP", str(self.ask(b"220 mail.test ESMTP\r\n", Act.CLOSE)))

    def test_cancel(self) -> None:
        """Cancelling the result closes the connection."""
        self.upstream.scripts = [(Act.HANG,)]
        asking = self.source.models()
        self.turn()
        asking.cancel()
        self.failureResultOf(asking)
        self.turn()
        self.assertEqual(self.upstream.open, 0)
