"""
Tests for `sseserver.protocols.responses.passing`, and for the translation of a log with the events of an upstream.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from sseserver.protocols.responses.passing import PassedResponse
from sseserver.protocols.responses.response import Identity, Outcome
from tests.protocols.responses.judge import judgeResponse, readEvents
from tests.protocols.responses.passedevents import (
    CALL,
    MESSAGE,
    OUTPUT,
    REASONING,
    SEARCH,
    encode,
    makeEvents,
    replaceIDs,
)

IDENTITY = Identity("name", 1_730_000_001, "ours")
OURS = "resp_name"

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=10,
)


def writeAll(passed: PassedResponse, events: list[dict[str, Any]], first: int = 0) -> list[dict[str, Any]]:
    """Write events, and return them decoded."""
    written = b"".join(passed.write(encode(event), number) for number, event in enumerate(events, first))
    return readEvents(written)


class PassingTests(SynchronousTestCase):
    """The events of an upstream."""

    def setUp(self) -> None:
        """Make a response."""
        self.passed = PassedResponse(IDENTITY, {})

    def test_events(self) -> None:
        """Every event is that of the upstream but for the ID of the response and the numbers."""
        events = makeEvents(first=3)
        expected = [replaceIDs(event, number, OURS) for number, event in enumerate(events)]
        self.assertEqual(writeAll(self.passed, events), expected)
        self.assertTrue(self.passed.isOver)

    def test_previous(self) -> None:
        """The ID of the response before is that of the request."""
        passed = PassedResponse(IDENTITY, {"previous_response_id": "resp_before"})
        [event] = writeAll(passed, makeEvents()[:1])
        self.assertEqual(event["response"]["previous_response_id"], "resp_before")

    def test_foreignPrevious(self) -> None:
        """An ID that the upstream tells without being asked is not passed on: it is none of this server."""
        data = b'{"type":"response.created","response":{"id":"resp_1","previous_response_id":"resp_other"}}'
        [event] = writeAll(self.passed, [json.loads(data)])
        self.assertIsNone(event["response"]["previous_response_id"])

    def test_verbatim(self) -> None:
        """Numbers and texts stay as they are written, whatever their size."""
        data = b'{"type":"x","value":{"n":1.50,"i":123456789012345678901234567890,"t":"\xc5\xbe\\u017e"}}'
        written = self.passed.write(data, 0)
        self.assertEqual(written, b'event: x\ndata: %b,"sequence_number":0}\n\n' % data[:-1])

    def test_halves(self) -> None:
        """Half of a character, which is no text, passes."""
        written = self.passed.write(b'{"type":"response.output_text.delta","delta":"\\ud83d"}', 0)
        self.assertIn(b'"delta":"\\ud83d"', written)

    @given(st.dictionaries(st.text(), _JSON, max_size=5), st.sampled_from(["response.output_item.added", "x", "error"]))
    def test_unknown(self, members: dict[str, Any], kind: str) -> None:
        """Whatever the members of an event are, they pass, and the response can be described."""
        passed = PassedResponse(IDENTITY, {})
        event = {**members, "type": kind, "sequence_number": 5}
        [read] = writeAll(passed, [event])
        expected = {**event, "sequence_number": 0}
        if isinstance(event.get("response"), dict):
            expected["response"] = {**event["response"], "id": OURS}
        self.assertEqual(read, json.loads(json.dumps(expected)))
        self.assertEqual(passed.describe(None)["id"], OURS)


class DescriptionTests(SynchronousTestCase):
    """The response as far as it has got."""

    def describe(self, count: int, outcome: Outcome | None = None) -> dict[str, Any]:
        """Return the response after a number of events."""
        passed = PassedResponse(IDENTITY, {})
        writeAll(passed, makeEvents()[:count])
        return passed.describe(outcome)

    def test_whole(self) -> None:
        """At the end it is that of the upstream, with the ID of this server, whatever the reason of the end."""
        events = makeEvents()
        for outcome in (None, Outcome("failed")):
            described = self.describe(len(events), outcome)
            self.assertEqual(described, {**events[-1]["response"], "id": OURS})
        judgeResponse(described | {"output": [MESSAGE, CALL]})

    def test_grows(self) -> None:
        """Before, the items that are complete are those of the upstream, and those that are not have what has come."""
        events = makeEvents()
        for count in range(len(events)):
            described = self.describe(count)
            self.assertEqual((described["id"], described["status"]), (OURS, "in_progress"))
            added = sum(event["type"] == "response.output_item.added" for event in events[:count])
            done = sum(event["type"] == "response.output_item.done" for event in events[:count])
            self.assertEqual(len(described["output"]), added)
            self.assertEqual(described["output"][:done], OUTPUT[:done])
            if described["output"] and events[count - 1]["type"].endswith(("text.done", "arguments.done", "part.done")):
                # All of its text has come.
                item = described["output"][-1]
                for name in ("arguments", "code", "input", "summary"):
                    self.assertEqual(item.get(name), OUTPUT[done].get(name))
                texts = [[part["text"] for part in each.get("content", ())] for each in (item, OUTPUT[done])]
                self.assertEqual(texts[0], texts[1])

    def test_broken(self) -> None:
        """A response that has broken off has the state of its end, and its items are incomplete."""
        count = [event["type"] for event in makeEvents()].index("response.output_text.delta") + 2
        error = {"code": "truncated", "message": "It broke off."}
        described = self.describe(count, Outcome("failed", error=error))
        self.assertEqual((described["status"], described["error"]), ("failed", error))
        *before, last = described["output"]
        self.assertEqual((before, last["status"]), ([REASONING, SEARCH], "incomplete"))
        self.assertEqual(last["content"][0]["text"], "Hello ")

    def test_nothing(self) -> None:
        """Without an event it is that of the request."""
        passed = PassedResponse(IDENTITY, {"metadata": {"a": "b"}})
        described = passed.describe(None)
        judgeResponse(described)
        self.assertEqual((described["metadata"], described["output"]), ({"a": "b"}, []))

    def test_fork(self) -> None:
        """A copy goes on for itself from any event: both get to the same end, in whichever order they go."""
        events = makeEvents()
        for cut in range(len(events)):
            passed = PassedResponse(IDENTITY, {})
            writeAll(passed, events[:cut])
            other = passed.fork()
            before = other.describe(None)
            for count in range(cut, len(events)):
                writeAll(passed, events[count : count + 1], count)
            self.assertEqual(other.describe(None), before)
            self.assertEqual(writeAll(other, events[cut:], cut), writeAll(passed.fork(), events[cut:], cut))
            self.assertEqual(other.describe(None), passed.describe(None))

    def test_repeated(self) -> None:
        """A text that an upstream begins anew at the same place is another one."""
        passed = PassedResponse(IDENTITY, {})
        item = {"id": "m", "type": "message", "status": "in_progress", "content": []}
        added = {"type": "response.output_item.added", "output_index": 0, "item": item}
        pieces = [{"type": "response.output_text.delta", "output_index": 0, "delta": piece} for piece in ("ä", "xy")]
        writeAll(passed, [added, pieces[0], added, pieces[1]])
        self.assertEqual(passed.describe(None)["output"][0]["content"], [{"type": "output_text", "text": "xy"}])
