"""
Reference cycles of an upstream's answers: however one ends, nothing of it is left to the garbage collector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.options import defaultOf
from sseserver.sources.upstreams import NamedUpstream, UpstreamGroup
from sseserver.testing import RecordingSink
from sseserver.tracebacks import forgetFailure
from sseserver.values import LargePrompt, Prompt
from tests.cycles import findCycles
from tests.sources.upstreamcases import PROMPT, makeSource
from tests.upstreams import TURN, MemoryUpstream
from tests.upstreamscripts import CASES, Case, Step


def forgetPipes(upstream: MemoryUpstream) -> None:
    """Forget the pipes in memory: their two ends, and the protocols of these, are cycles of the tests."""
    for end in upstream.ends:
        vars(vars(end).get("peer", end)).clear()
        vars(end).clear()
    upstream.ends.clear()
    upstream.asked.clear()


class UpstreamTests(SynchronousTestCase):
    """Answers in every shape, over connections that are kept for the next request and closed later."""

    if defaultOf("plain"):
        skip = "without speedups Twisted's parser of a response in chunks is left to the collector"

    def act(self, case: Case, prompt: Prompt = PROMPT) -> Callable[[], None]:
        """Return an action: a request, its answer, and the end of the idle connection."""
        clock = Clock()
        upstream = MemoryUpstream(clock, case.steps)
        source = makeSource(upstream)

        def act() -> None:
            sink = RecordingSink()
            sink.start(source, prompt)
            while not sink.ended:
                clock.advance(0.05)
            # The rest of the answer; then the timers of the pool.
            clock.pump([1.0] * 20)
            upstream.pool.closeCachedConnections()
            clock.pump([TURN, 100.0])
            forgetPipes(upstream)

        return act

    def test_answers(self) -> None:
        """#12: an answer that ends well, in chunks, with a length, until the close or in one piece, leaves nothing."""
        left = {case.name: findCycles(self.act(case)) for case in CASES if case.state == "done"}
        self.assertEqual({name: found for name, found in left.items() if found}, {})

    def test_largeRequest(self) -> None:
        """A request that is sent step by step leaves nothing, either."""
        prompt = LargePrompt("x", [{"role": "user", "content": "word " * 400_000}], {})
        self.assertEqual(findCycles(self.act(CASES[0], prompt)), Counter())

    def test_group(self) -> None:
        """Attempts at several upstreams leave nothing, however the first one fails, and if another one answers."""
        scripts = {case.name: case.steps for case in CASES}
        names = (CASES[0].name, "500", "400", "empty", "reset at once", "error first")
        left = {name: findCycles(self.actInTurn(scripts[name])) for name in names}
        self.assertEqual({name: found for name, found in left.items() if found}, {})

    def actInTurn(self, steps: tuple[Step, ...]) -> Callable[[], None]:
        """Return an action: a request to an upstream that plays some steps, and then perhaps to one that answers."""
        clock = Clock()
        upstreams = MemoryUpstream(clock, steps), MemoryUpstream(clock, CASES[0].steps)
        named = [NamedUpstream(name, makeSource(each)) for name, each in zip(("one", "two"), upstreams, strict=True)]
        group = UpstreamGroup(clock, named)

        def act() -> None:
            sink = RecordingSink()
            sink.start(group, PROMPT)
            while not sink.ended:
                clock.advance(0.05)
            if isinstance(sink.result, Failure):
                # As a run does.
                forgetFailure(sink.result)
            clock.pump([1.0] * 20)
            for upstream in upstreams:
                upstream.pool.closeCachedConnections()
            clock.pump([TURN, 100.0])
            for upstream in upstreams:
                forgetPipes(upstream)

        return act
