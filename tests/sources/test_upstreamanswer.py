"""Tests for `sseserver.sources.upstreamanswer`: scripted answers, pauses, time limits and states."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import SourceError
from sseserver.sources.upstream import UpstreamLimits
from sseserver.sources.upstreamanswer import ANSWER_STEPS, DRAIN_SECONDS, AnswerState
from sseserver.sources.upstreamrelay import GRACE_SECONDS
from sseserver.steps import step
from sseserver.testing import RecordingSink
from sseserver.values import Prompt
from tests.sources.upstreamcases import PROMPT, UpstreamTestCase, makeSource, play
from tests.upstreamscripts import (
    CASES,
    COMPLETION,
    DONE,
    END,
    EVENTS,
    HEAD,
    KEY,
    STREAM,
    USAGE,
    Act,
    Case,
    Drip,
    Step,
    answer,
    event,
    framed,
)
from tests.wires import soon


class TableTests(SynchronousTestCase):
    """The table of scripted upstreams."""

    def check(self, case: Case) -> None:
        """Play a script, and compare the result with the table."""
        sink, upstream = play(case)
        self.assertEqual((sink.producer, sink.late, upstream.open), (None, [], 0), case.name)
        self.assertEqual("".join(sink.tokens), case.text, case.name)
        if case.chunks is not None:
            self.assertEqual(tuple(sink.chunks), case.chunks, case.name)
        if case.state == "done":
            self.assertEqual(sink.result, case.reason, case.name)
            return
        self.assertIsInstance(sink.result, Failure, case.name)
        error = sink.result.value
        self.assertIsInstance(error, SourceError, f"{case.name}: {sink.result}")
        self.assertEqual((error.reason, error.toEntry().get("retryAfter")), (case.reason, case.retryAfter), case.name)
        if case.status != 200:
            self.assertEqual(error.status or 502, case.status, case.name)
        message = str(error)
        self.assertIn(case.message, message, case.name)
        self.assertNotIn(KEY, message + repr(error), case.name)
        self.assertTrue(message.isprintable() and 0 < len(message) <= 600, message)

    def test_table(self) -> None:
        """Each script ends as the table says, and leaves no timer, no connection and no producer."""
        for case in CASES:
            self.check(case)

    def test_everySplit(self) -> None:
        """An answer has the same result wherever it is cut in two."""
        data = HEAD + framed(STREAM) + END
        for place in range(1, len(data)):
            self.check(Case(f"cut at {place}", (data[:place], data[place:])))

    def test_randomSplits(self) -> None:
        """Every script has the same result however its bytes are cut."""
        chance = random.Random(4)
        for case in CASES:
            if "17 MB" not in case.name and "deep" not in case.name:
                steps: list[Step] = []
                for step in case.steps:
                    steps += cut(step, chance) if isinstance(step, bytes) else [step]
                self.check(replace(case, steps=tuple(steps)))


def cut(data: bytes, chance: random.Random) -> list[Step]:
    """Cut bytes into some pieces."""
    places = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(6))})
    return [data[start:end] for start, end in pairwise(places)]


class PaceTests(UpstreamTestCase):
    """Pauses and time limits."""

    def test_pause(self) -> None:
        """A paused run does not read its connection, and continues where it was."""
        self.upstream.scripts = [(HEAD, *map(framed, EVENTS[:2]), Drip(framed(*EVENTS[2:]) + END, 0))]
        sink = RecordingSink()
        sink.start(self.source, PROMPT)
        for _ in soon(lambda: sink.tokens):
            self.turn(1)
        sink.pause()
        self.turn(500)
        self.assertEqual(sink.tokens, ["Hello"])
        self.assertTrue(self.upstream.ends[0].received)
        sink.resume()
        self.turn(1000)
        self.assertEqual((sink.result, sink.tokens), ("stop", ["Hello", " world"]))

    def test_pausedByAToken(self) -> None:
        """A run that is paused inside a write gets neither the chunks nor the end that came with it."""
        self.upstream.scripts = [(HEAD + framed(STREAM) + END,)]
        sink = PausingSink()
        sink.start(self.source, PROMPT)
        for token in ("Hello", " world"):
            self.turn()
            self.assertEqual((sink.tokens[-1], sink.ended), (token, False))
            sink.resume()
        self.turn()
        self.assertEqual((sink.result, sink.tokens), ("stop", ["Hello", " world"]))

    def test_pausedAtTheEnd(self) -> None:
        """A run that is paused when its answer ends frees its connection after it is resumed."""
        self.upstream.scripts = [(HEAD, framed(*EVENTS[:2]), framed(*EVENTS[2:]), END)]
        sink = RecordingSink()
        sink.start(self.source, PROMPT)
        for _ in soon(lambda: sink.tokens):
            self.turn(1)
        sink.pause()
        self.turn()
        sink.resume()
        self.turn()
        self.start()
        self.assertEqual((sink.result, self.upstream.connections), ("stop", 1))

    def limits(self, *steps: Step) -> RecordingSink:
        """Start a run with limits of 5 seconds for the first chunk and 3 seconds for the others."""
        self.upstream.scripts = [steps]
        self.source = makeSource(self.upstream, limits=UpstreamLimits(firstTokenTimeout=5.0, tokenTimeout=3.0))
        return self.start()

    def advance(self, *seconds: float) -> None:
        """Let time pass."""
        for some in seconds:
            self.clock.advance(some)
            self.turn()

    def test_firstToken(self) -> None:
        """The first chunk has a limit of its own, from the start of the run."""
        for steps in ((Act.HANG,), (HEAD, Act.HANG), (Drip(HEAD, 0.5),), (HEAD, Drip(framed(b":\n") * 99, 0.1))):
            sink = self.limits(*steps)
            self.advance(*[0.25] * 19, 0.2)
            self.assertFalse(sink.ended)
            self.advance(0.1)
            self.assertEqual((self.error(sink).reason, self.error(sink).status), ("timeout", 504))
            self.assertEqual(self.upstream.open, 0)

    def test_nextToken(self) -> None:
        """Each further chunk has a limit from the one before. Comments do not count."""
        slow = [step for event in EVENTS[:3] for step in (Drip(b"", 2.9), framed(event))]
        sink = self.limits(HEAD, *slow, Drip(framed(b":\n") * 99, 0.1))
        self.advance(*[0.1] * (3 * 29 + 29))
        self.assertEqual((sink.tokens, sink.ended), (["Hello", " world"], False))
        self.advance(0.2)
        self.assertEqual(str(self.error(sink)), "The upstream sent nothing for 3 seconds.")

    def test_F127_pausedProcess(self) -> None:
        """F127 a: no limit is over because the process was paused; chunks that came meanwhile are read first."""
        slow = [step for event in EVENTS[:3] for step in (framed(event), Drip(b"", 3.2))]
        sink = self.limits(HEAD, *slow, Act.HANG)
        for _ in range(3):
            self.advance(0.5, 20)
        self.assertEqual((sink.tokens, sink.ended), (["Hello", " world"], False))
        self.advance(*[0.1] * 50)
        self.assertEqual(self.error(sink).reason, "timeout")

    def test_F20_firstTimeoutIsLonger(self) -> None:
        """F20: the limit of the second chunk counts from the first one, whichever of the two limits is longer."""
        for first, second in ((12.0, 2.0), (2.0, 12.0)):
            self.upstream.scripts = [(HEAD, framed(EVENTS[1]), Act.HANG)]
            self.source = makeSource(self.upstream, limits=UpstreamLimits(firstTokenTimeout=first, tokenTimeout=second))
            sink = self.start()
            self.advance(*[0.1] * int(second * 10 - 1))
            self.assertFalse(sink.ended)
            self.advance(0.1, 0.1)
            self.assertEqual(str(self.error(sink)), f"The upstream sent nothing for {second:g} seconds.")

    def test_F28_finishWithoutAClose(self) -> None:
        """F28: after the finish reason the upstream has some seconds for usage and [DONE]; comments do not count."""
        sink = self.limits(HEAD, framed(*EVENTS[:4]), Drip(framed(b": hb\n\n") * 99, 0.1))
        self.advance(*[0.1] * int(GRACE_SECONDS * 10 - 1))
        self.assertFalse(sink.ended)
        self.advance(0.1, 0.1)
        self.assertEqual((sink.result, self.upstream.open), ("stop", 0))

    def test_F28_usageInTime(self) -> None:
        """F28: the usage that comes within this time is taken."""
        sink = self.limits(HEAD, framed(*EVENTS[:4]), Drip(b"", 2), framed(event(USAGE)), Drip(b"", 2), framed(DONE))
        self.advance(*[0.1] * 50)
        self.assertEqual((sink.result, sink.chunks[-1]), ("stop", USAGE))

    def test_F28_otherChoices(self) -> None:
        """F28: the answer is not complete before all choices that were requested have ended."""
        self.upstream.scripts = [(HEAD, framed(*EVENTS[:4]), Act.HANG)]
        self.source = makeSource(self.upstream, limits=UpstreamLimits(tokenTimeout=5.0))
        sink = RecordingSink()
        sink.start(self.source, Prompt("?", (), {"n": 2}))
        self.turn()
        self.advance(*[0.1] * 52)
        self.assertEqual(self.error(sink).reason, "timeout")

    def test_F31_pausedDocument(self) -> None:
        """F31: an answer in one piece that comes while the run is paused is taken when it is resumed."""
        self.upstream.scripts = [(answer("200 OK", json.dumps(COMPLETION)),)]
        sink = RecordingSink()
        sink.pause()
        sink.start(self.source, PROMPT)
        self.turn()
        self.assertEqual((sink.tokens, sink.ended), ([], False))
        sink.resume()
        self.assertEqual((sink.tokens, sink.result), (["Hello world"], "stop"))

    def test_pauseIsNoSilence(self) -> None:
        """The limit does not run while the run is paused, and starts anew afterwards."""
        sink = self.limits(HEAD, framed(EVENTS[0]), Act.HANG)
        self.advance(2.9)
        sink.pause()
        self.advance(*[1.0] * 100)
        self.assertFalse(sink.ended)
        sink.resume()
        self.advance(2.9)
        self.assertFalse(sink.ended)
        self.advance(0.2)
        self.assertEqual(self.error(sink).reason, "timeout")


class PausingSink(RecordingSink):
    """Sink that pauses after each token."""

    def writeChunk(self, chunk: bytes, text: str) -> None:
        """See `ITokenSink.writeChunk`."""
        super().writeChunk(chunk, text)
        if text:
            self.pause()


class StateTests(UpstreamTestCase):
    """The states of an answer, by `ANSWER_STEPS`."""

    def test_everyStep(self) -> None:
        """Each step of the table is accepted, and every other one raises."""
        for state, following in product(AnswerState, AnswerState):
            if following in ANSWER_STEPS[state]:
                self.assertIs(step(ANSWER_STEPS, state, following), following)
            else:
                self.assertRaises(RuntimeError, step, ANSWER_STEPS, state, following)

    def answer(self, *steps: Step) -> tuple[RecordingSink, Any]:
        """Start a run of a script until its first token, and return the sink and the answer."""
        self.upstream.scripts = [steps]
        sink = RecordingSink()
        sink.start(self.source, PROMPT)
        for _ in soon(lambda: sink.tokens):
            self.turn(1)
        return sink, sink.producer

    def test_complete(self) -> None:
        """An answer is read, perhaps paused, drained after its end, and over with its response."""
        sink, answer = self.answer(HEAD, *map(framed, EVENTS[:2]), Drip(framed(*EVENTS[2:]), 0), Drip(b"", 0.1), END)
        self.assertIs(answer.state, AnswerState.READING)
        for _ in range(2):
            answer.pauseProducing()
            self.assertIs(answer.state, AnswerState.PAUSED)
        for _ in range(2):
            answer.resumeProducing()
            self.assertIs(answer.state, AnswerState.READING)
        self.turn(1000)
        self.assertEqual((answer.state, sink.result), (AnswerState.DRAINING, "stop"))
        for act in (answer.pauseProducing, answer.resumeProducing, answer.stopProducing):
            act()
            self.assertIs(answer.state, AnswerState.DRAINING)
        self.clock.advance(0.1)
        self.turn()
        self.assertIs(answer.state, AnswerState.OVER)

    def test_stopped(self) -> None:
        """An answer can be stopped while it is read or paused, and is over at once."""
        for pause in (False, True):
            sink, answer = self.answer(HEAD, *map(framed, EVENTS[:2]), Act.HANG)
            if pause:
                answer.pauseProducing()
            sink.cancel()
            self.assertIs(answer.state, AnswerState.OVER)
            answer.resumeProducing()
            self.turn()
            self.assertIs(answer.state, AnswerState.OVER)

    def test_drained(self) -> None:
        """A response that does not end is drained for a limited time."""
        _, answer = self.answer(HEAD, framed(*EVENTS[:2]), framed(*EVENTS[2:]), Act.HANG)
        self.turn()
        self.assertIs(answer.state, AnswerState.DRAINING)
        self.clock.advance(DRAIN_SECONDS)
        self.turn()
        self.assertIs(answer.state, AnswerState.OVER)
