"""
Tests for `sseserver.protocols.jsonsteps`: large JSON, decoded step by step.
"""

from __future__ import annotations

import gc
import json
from time import thread_time
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.errors import BadRequest, BodyTooLarge
from sseserver.jsontext import MAX_DEPTH
from sseserver.protocols import jsonsteps
from sseserver.protocols.jsonsteps import MAX_PROMPT_VALUES, readSteps
from sseserver.values import Prompt

#: Bytes of a step that cuts everything.
SHORT = 24

words = st.text(st.sampled_from('ab"\\/\n\u00e9\u20ac\U0001f600{}[],: ')) | st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(words, inner, max_size=8),
    max_leaves=60,
)


def read(body: bytes) -> tuple[Any, int]:
    """Read JSON, and return the value and the number of steps."""
    steps, count = readSteps(body), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1


def measureSteps(body: bytes) -> float:
    """Return the CPU time of the longest step of reading a text, which may be refused, in seconds."""
    steps, longest = readSteps(body, 10**9), 0.0
    while True:
        begin = thread_time()
        try:
            next(steps)
        except (StopIteration, BadRequest):
            return max(longest, thread_time() - begin)
        longest = max(longest, thread_time() - begin)


class LongStepsTests(SynchronousTestCase):
    """The longest step."""

    def test_budget(self) -> None:
        """
        #12: no step takes 10 ms, of many tiny values of any kind, of one long string, of unfinished ones.

        Collections of garbage are not counted: how long they take depends on the objects of the process.
        """
        # Each with what stands before it and after it.
        items = [("[", item, "1]") for item in ("[],", "{},", '"",', "1,", "[[[[[[[[]]]]]]]],", '{"a":1},', "1e5,")]
        items += [
            ("{", '"":1,', '"a":1}'),
            ('["', "\\n", '"]'),
            ('["', "\\u00e9", '"]'),
            ('["', "\\", ""),
            ('{"a":[{"b":"', "a", '"}]}'),
        ]
        items += [("", "[", ""), ("", '{"a":', ""), ("[", '"', ""), ("[", "[[[[[[[1,", ""), ("[", '{"a":[{"b":"c', "")]
        enabled = gc.isenabled()
        gc.disable()
        try:
            for start, item, end in items:
                body = (start + item * (3 * jsonsteps.STEP // len(item)) + end).encode()
                # Other processes move the caches of the processor.
                longest = min(measureSteps(body) for _ in range(3))
                self.assertLess(longest, 0.01, (start, item))
        finally:
            if enabled:
                gc.enable()

    def test_longString(self) -> None:
        """#12: a string that does not end within a step is looked at once, not at each of its lengths."""
        long = b'{"messages": [{"role": "user", "content": "' + b"word " * jsonsteps.STEP + b'"}]}'
        short = b'["' + b'word", "' * jsonsteps.STEP + b'"]'
        longest = [min(measureSteps(body) for _ in range(5)) for body in (long, short)]
        self.assertLess(longest[0], 1.5 * longest[1])


class StepsTests(SynchronousTestCase):
    """JSON in steps."""

    @given(values, st.booleans(), st.sampled_from([None, 1]), st.sampled_from([SHORT, 100, 65536]))
    def test_value(self, value: object, escaped: bool, indent: int | None, step: int) -> None:
        """Every value is read as the decoder reads it, whatever the places of the cuts."""
        self.patch(jsonsteps, "STEP", step)
        body = json.dumps(value, ensure_ascii=escaped, indent=indent).encode()
        self.assertEqual(read(body)[0], msgspec.json.decode(body))

    @given(values, st.data())
    def test_malformed(self, value: object, data: st.DataObject) -> None:
        """A text is refused if, and only if, the decoder refuses it."""
        self.patch(jsonsteps, "STEP", SHORT)
        body = bytearray(json.dumps(value), "ascii")
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from(b'"\\[]{},:x1 u'))
        try:
            expected = msgspec.json.decode(body)
        except msgspec.DecodeError:
            self.assertRaises(BadRequest, read, bytes(body))
        else:
            self.assertEqual(read(bytes(body))[0], expected)

    def test_bounded(self) -> None:
        """#12: no step reads more than `STEP` bytes: of many values, of one long string, of a deep value."""
        size = 20 * jsonsteps.STEP
        for body in (
            json.dumps(["word " * 1000] * (size // 5004)),
            json.dumps({"a": [{"b": "word " * (size // 5)}]}),
            json.dumps({"a": "\\\n\u00e9\U0001f600" * (size // 22)}),
            json.dumps({"messages": [{"content": [{"text": "x" * (size // 4)}] * 4}]}),
        ):
            value, count = read(body.encode())
            self.assertEqual(value, json.loads(body))
            self.assertGreaterEqual(count, 19)

    def test_tooManyValues(self) -> None:
        """#12: a document with too many values is refused before it is read to its end."""
        for item in ("1", "[]", '""', '{"role": "user"}', "[[[[[[[[[[[[[1]]]]]]]]]]]]]"):
            body = b"[" + b",".join([item.encode()] * (2 * MAX_PROMPT_VALUES)) + b"]"
            self.assertRaises(BodyTooLarge, read, body)
        texts = ["1, 2, [3], {4}, " * 1000] * 100
        self.assertEqual(read(json.dumps(texts).encode())[0], texts)

    def test_F84_depth(self) -> None:
        """F84: the depth that a small document may have is that of a large one, whether items are short or long."""
        for start, end in (("[", "]"), ('{"a":', "}"), ("[1,", ",2]"), ('{"a":1,"b":', "}")):
            for inside in ("[]", "[1, 2]", '["%s"]' % ("x" * 2 * jsonsteps.STEP)):
                for depth in (MAX_DEPTH - 9, MAX_DEPTH - 1, MAX_DEPTH):
                    body = (start * depth + inside + end * depth).encode()
                    if depth < MAX_DEPTH:
                        self.assertEqual(read(body)[0], json.loads(body))
                    else:
                        self.assertIn("inside each other", str(self.assertRaises(BadRequest, read, body)))

    def test_refusals(self) -> None:
        """Malformed JSON is refused with a reason, and so is a value that is nested too deep."""
        for body in (
            b"",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"[1",
            b"[1,]",
            b'{"a" 1}',
            b'{"a":1,}',
            b"[1}",
            b"1 2",
            b'"\xff"',
            b'"\\ud800"',
            b'"\\x"',
            b"[" + b" " * 200_000 + b"]",
        ):
            error = self.assertRaises(BadRequest, read, body)
            self.assertIn("is not", str(error))

    def test_prompt(self) -> None:
        """A prompt of the largest size keeps its text, also where it is cut inside escapes and pairs."""
        for text in ("\\" * 99_999, "\U0001f600" * 30_000, "\u00e9" * 99_999, '"' * 99_999, "a\\\U0001f600" * 20_000):
            for escaped in (False, True):
                body = json.dumps([text], ensure_ascii=escaped).encode()
                self.assertEqual(Prompt(*read(body)[0]), Prompt(text))
