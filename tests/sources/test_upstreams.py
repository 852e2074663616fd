"""Tests for `sseserver.sources.upstreams`: the choice of an upstream, and the next one when it fails."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.client.agent import Connections
from sseserver.errors import SourceError
from sseserver.interfaces import Origin
from sseserver.sources.upstream import UpstreamLimits, UpstreamSource
from sseserver.sources.upstreamlists import RETRY_SECONDS, WAIT_SECONDS
from sseserver.sources.upstreams import NamedUpstream, UpstreamGroup
from sseserver.testing import RecordingSink, SourceContract
from sseserver.values import Prompt
from tests.upstreams import TURN, MemoryUpstream
from tests.upstreamscripts import END, EVENTS, HEAD, HELLO, ROLE, Act, Drip, Step, answer, event, framed, refusal, whole

#: Seconds. Limits of the upstreams.
LIMITS = UpstreamLimits(firstTokenTimeout=5, tokenTimeout=5, api="chat")

BROKEN = (answer("500 Internal Server Error", refusal("It broke.", "server_error")),)


def listing(*models: str) -> tuple[Step, ...]:
    """Return the script of a list of models."""
    return (answer("200 OK", json.dumps({"data": [{"id": model} for model in models]})),)


class TwoUpstreams(MemoryUpstream):
    """An upstream that plays one script for its list of models, and others for answers."""

    models: tuple[Step, ...] = BROKEN

    def next(self) -> tuple[Step, ...]:
        """Return the script for the next request."""
        return self.models if self.asked[-1].line.startswith("GET ") else super().next()

    @property
    def answered(self) -> list[Any]:
        """The bodies of the requests for answers."""
        return [asked.json for asked in self.asked if asked.line.startswith("POST ")]


class GroupTestCase(SynchronousTestCase):
    """A group of two upstreams in memory: `one` has the models `a` and `both`, `two` has `b` and `both`."""

    def setUp(self) -> None:
        """Make the upstreams. The clock must be empty at the end."""
        self.clock = Clock()
        self.one, self.two = TwoUpstreams(self.clock, whole(*EVENTS)), TwoUpstreams(self.clock, whole(*EVENTS))
        self.one.models, self.two.models = listing("a", "both"), listing("b", "both")
        self.group = self.makeGroup()
        self.addCleanup(self.checkEmpty)

    def makeGroup(self, **more: Any) -> UpstreamGroup:
        """Make the group."""
        sources = [
            UpstreamSource(
                self.clock, f"http://{name}/v1", limits=LIMITS, connections=Connections(upstream.agent, upstream.pool)
            )
            for name, upstream in (("one", self.one), ("two", self.two))
        ]
        named = [NamedUpstream(name, source) for name, source in zip(("one", "two"), sources, strict=True)]
        return UpstreamGroup(self.clock, named, **more)

    def checkEmpty(self) -> None:
        """Close the idle connections, and check that nothing is left."""
        for upstream in (self.one, self.two):
            upstream.pool.closeCachedConnections().addErrback(self.fail)
        self.turn()
        self.assertEqual((self.clock.getDelayedCalls(), self.one.open, self.two.open), ([], 0, 0))

    def turn(self, turns: int = 100) -> None:
        """Let the reactor turn, with hardly any time."""
        for _ in range(turns):
            self.clock.advance(TURN)

    def start(self, model: str | None = None, **options: Any) -> RecordingSink:
        """Start a run, and do everything that needs no time."""
        sink = RecordingSink()
        named = {} if model is None else {"model": model}
        sink.start(self.group, Prompt("Say hello.", (), {**named, **options}))
        self.turn()
        return sink

    def check(self, sink: RecordingSink, origin: str, *failed: str) -> None:
        """Check that a run has the whole answer of an upstream, after others have failed."""
        self.assertEqual(("".join(sink.tokens), sink.result), ("Hello world", "stop"))
        self.assertEqual(sink.origin, Origin(origin, failed))

    def error(self, sink: RecordingSink) -> SourceError:
        """Return the error of a run."""
        self.assertIsInstance(sink.result, Failure)
        self.assertIsInstance(sink.result.value, SourceError)
        error: SourceError = sink.result.value
        return error


class ChoiceTests(GroupTestCase):
    """The choice of an upstream by the model."""

    def test_list(self) -> None:
        """The first upstream that has a model is asked for it."""
        self.check(self.start("a"), "one")
        self.check(self.start("b"), "two")
        self.check(self.start("both"), "one")
        self.assertEqual([body["model"] for body in self.one.answered], ["a", "both"])
        self.assertEqual([body["model"] for body in self.two.answered], ["b"])

    def test_prefix(self) -> None:
        """The name of an upstream before a model chooses it, without a list, and the upstream does not see it."""
        self.check(self.start("two/org/x"), "two")
        self.assertEqual(self.two.answered[0]["model"], "org/x")
        self.assertEqual((len(self.one.asked), len(self.two.asked)), (0, 1))

    def test_prefixedModel(self) -> None:
        """A model is found by the name of its upstream, unless that has told a list without it."""

        def find(name: str) -> Any:
            finding = self.group.findModel(name)
            self.turn()
            return self.successResultOf(finding)

        self.assertEqual(find("two/b")["id"], "two/b")
        self.assertEqual(find("two/both")["upstream"], "two")
        self.assertEqual([find(name) for name in ("two/none", "two/", "two", "other/b", "b")], [None] * 5)
        self.two.models = BROKEN
        self.group = self.makeGroup()
        self.assertEqual(find("two/org/x"), {"id": "two/org/x", "upstream": "two"})
        self.group = self.makeGroup(model="two/b", pinModel=True)
        self.assertIsNone(find("two/b"))

    def test_slash(self) -> None:
        """A model with a slash in its name is one without a prefix, unless it begins with the name of an upstream."""
        self.two.models = listing("org/x")
        self.check(self.start("org/x"), "two")
        self.assertEqual(self.two.answered[0]["model"], "org/x")

    def test_none(self) -> None:
        """A request without a model is for the first upstream, or for the model of the group."""
        self.check(self.start(), "one")
        self.assertNotIn("model", self.one.answered[0])
        self.group = self.makeGroup(model="b")
        self.check(self.start(), "two")
        self.assertEqual((self.two.answered[0]["model"], self.group.model), ("b", "b"))

    def test_unknown(self) -> None:
        """A model that no list has is refused before any upstream is asked for an answer."""
        error = self.error(self.start("none"))
        self.assertEqual((error.status, error.code, error.param), (404, "model_not_found", "model"))
        self.assertEqual(self.one.answered + self.two.answered, [])

    def test_noList(self) -> None:
        """An upstream that tells no list may have any model that the others do not have."""
        self.two.models = BROKEN
        self.check(self.start("a"), "one")
        self.check(self.start("x"), "two")

    def test_slowList(self) -> None:
        """An upstream that does not answer is not waited for when another one has the model, and shortly otherwise."""
        self.one.models = ()
        sink = self.start("b")
        self.assertFalse(sink.ended)
        self.clock.advance(WAIT_SECONDS)
        self.turn()
        self.check(sink, "two")
        self.check(self.start("b"), "two")
        # The limit for a list.
        self.clock.pump([1.0] * 12)

    def test_pinModel(self) -> None:
        """With a pinned model any other is refused, and the list has it alone."""
        self.group = self.makeGroup(model="two/b", pinModel=True)
        self.assertEqual(self.error(self.start("a")).status, 404)
        self.check(self.start(), "two")
        self.check(self.start("two/b"), "two")
        self.assertEqual(self.successResultOf(self.group.models()), ["two/b"])

    def test_arguments(self) -> None:
        """A group needs different names, and a model to pin."""
        self.assertRaises(ValueError, UpstreamGroup, self.clock, [])
        self.assertRaises(ValueError, UpstreamGroup, self.clock, [*self.group.upstreams, self.group.upstreams[0]])
        self.assertRaises(ValueError, self.makeGroup, pinModel=True)
        sink = RecordingSink()
        sink.start(self.group)
        self.assertEqual(self.error(sink).status, 400)


class FallbackTests(GroupTestCase):
    """The next upstream, when one fails before its first token."""

    def setUp(self) -> None:
        """Let both upstreams tell their lists."""
        super().setUp()
        self.group.models()
        self.turn()

    def test_unreachable(self) -> None:
        """An upstream that is down: the next one answers, and while it is down it is asked last."""
        self.one.refusal = ConnectionRefusedError()
        self.one.pool.closeCachedConnections()
        self.check(self.start("both"), "two", "one=unreachable")
        self.check(self.start("both"), "two")
        states = {state.name: (state.requests, state.failures) for state in self.group.listUpstreams()}
        self.assertEqual(states, {"one": (1, 1), "two": (2, 0)})
        self.one.refusal = None
        self.clock.advance(RETRY_SECONDS)
        self.assertIsNone(self.group.findProblem())
        self.turn()
        self.check(self.start("both"), "one")

    def test_refused(self) -> None:
        """An upstream that answers with an error: a server error, a wrong key, too many requests, no such model."""
        for status in (500, 503, 401, 403, 404, 429):
            self.one.scripts = [(answer(f"{status} No", refusal("No, for this model.")),)]
            self.check(self.start("both"), "two", "one=refused")

    def test_clientsFault(self) -> None:
        """A request that every upstream would refuse is not repeated."""
        for status in (400, 413, 422):
            self.one.scripts = [(answer(f"{status} No", refusal("No.")),)]
            self.assertEqual(self.error(self.start("both")).status, status)
        self.assertEqual(self.two.answered, [])

    def test_beforeFirstToken(self) -> None:
        """A failure behind the role of the message: nobody has seen the role."""
        for script in (
            (HEAD, framed(event(ROLE)), Act.RESET),
            (HEAD, framed(event(ROLE), event(b'{"error": {"message": "No."}}'))),
            whole(event(ROLE)),
        ):
            self.one.scripts = [script]
            sink = self.start("both")
            self.assertEqual((sink.tokens, len(sink.chunks)), (["Hello", " world"], 4))
            self.assertEqual(sink.result, "stop")

    def test_hanging(self) -> None:
        """An upstream that hangs until the time limit, before or behind the role, has a problem from then on."""
        for script in ((), (HEAD, framed(event(ROLE)))):
            self.group = self.makeGroup()
            self.group.models()
            self.turn()
            self.one.scripts = [script]
            sink = self.start("both")
            self.clock.pump([0.5] * 9)
            self.assertFalse(sink.ended)
            self.clock.pump([0.5] * 2)
            self.turn()
            self.check(sink, "two", "one=timeout")
            problems = {state.name: state.problem for state in self.group.listUpstreams()}
            self.assertEqual(problems, {"one": "The upstream does not answer.", "two": None})
            self.assertIsNone(self.group.findProblem())
            self.check(self.start("both"), "two")

    def test_cut(self) -> None:
        """An answer that is cut behind its first token has failed: no other upstream is asked."""
        self.one.scripts = [(HEAD, framed(event(ROLE), event(HELLO)), Act.RESET)]
        sink = self.start("both")
        self.assertEqual((self.error(sink).reason, sink.tokens), ("truncated", ["Hello"]))
        self.assertEqual((sink.origin, self.two.answered), (Origin("one"), []))
        self.assertEqual([state.failures for state in self.group.listUpstreams()], [0, 0])

    def test_all(self) -> None:
        """When all fail, the last failure is that of the run."""
        self.one.scripts = [BROKEN]
        self.two.scripts = [(answer("429 Slow", refusal("Slow."), "Retry-After: 7"),)]
        error = self.error(self.start("both"))
        self.assertEqual((error.status, error.retryAfter, str(error)), (429, 7, "Slow."))

    def test_prefix(self) -> None:
        """A model with the name of an upstream is not asked for elsewhere."""
        self.one.scripts = [BROKEN]
        self.assertEqual(self.error(self.start("one/both")).status, 502)
        self.assertEqual(self.two.answered, [])

    def test_cancel(self) -> None:
        """A run that is cancelled asks no other upstream, whatever it waits for."""
        self.one.scripts = [()]
        sink = self.start("both")
        sink.cancel()
        self.turn()
        self.assertEqual(self.two.answered, [])
        self.one.models = ()
        self.group = self.makeGroup()
        sink = self.start("both")
        sink.cancel()
        self.turn()
        self.clock.pump([1.0] * 12)
        self.assertEqual(self.two.answered, [])

    def test_pause(self) -> None:
        """A run that is paused while one upstream fails gets the answer of the next one when it goes on."""
        self.one.scripts = [(HEAD, framed(event(ROLE)), Act.RESET)]
        sink = RecordingSink()
        sink.start(self.group, Prompt("Say hello.", (), {"model": "both"}))
        sink.pause()
        self.turn()
        sink.resume()
        self.turn()
        self.check(sink, "two", "one=truncated")

    def test_document(self) -> None:
        """An answer in one piece without text is not held back."""
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        choice = {"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
        self.one.scripts = [(answer("200 OK", json.dumps({"choices": [choice]})),)]
        sink = self.start("both")
        self.assertEqual((len(sink.chunks), sink.result), (1, "tool_calls"))


class HealthTests(GroupTestCase):
    """The state of the upstreams, and their models."""

    def test_problem(self) -> None:
        """The group has a problem when all upstreams have one."""
        self.one.refusal = self.two.refusal = ConnectionRefusedError()
        self.failureResultOf(self.group.models(), SourceError)
        self.assertEqual(self.group.findProblem(), "No upstream can be reached.")

    def test_models(self) -> None:
        """The models of all upstreams that tell them; when none does, there is an error."""
        models = self.group.models()
        self.turn()
        found: Any = self.successResultOf(models)
        self.assertEqual([model["id"] for model in found], ["a", "both", "b", "two/both"])

    def test_close(self) -> None:
        """Closing the group closes the connections of all."""
        self.check(self.start("one/a"), "one")
        self.check(self.start("two/b"), "two")
        self.group.close()
        self.turn()
        self.assertEqual((self.one.open, self.two.open), (0, 0))


class ContractTests(SourceContract, SynchronousTestCase):
    """The contract of token sources."""

    prompt = Prompt("Say hello.")

    def makeSource(self) -> UpstreamGroup:
        """Make a group whose first upstream fails, and whose second one sends a chunk at each step."""
        slow = [step for event in EVENTS for step in (framed(event), Drip(b"", 0.1))]
        upstreams = MemoryUpstream(self.clock, BROKEN), MemoryUpstream(self.clock, (HEAD, *slow, END))
        named = []
        for name, upstream in zip(("one", "two"), upstreams, strict=True):
            # Idle connections are closed at once: nothing may wait on the clock when a run is through.
            upstream.pool.cachedConnectionTimeout = 0.0
            source = UpstreamSource(self.clock, f"http://{name}/v1", connections=Connections(upstream.agent))
            named.append(NamedUpstream(name, source))
        return UpstreamGroup(self.clock, named)
