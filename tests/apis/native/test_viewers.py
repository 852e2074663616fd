"""
Tests of many viewers of one published stream.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from sseserver.formats import events as eventsFormat
from sseserver.settings import Settings
from sseserver.streams import wakes
from sseserver.streams.followed import FLUSH_TICK
from tests.apis.cases import PublishingTestCase, listEvents


class ViewersTests(PublishingTestCase):
    """Many viewers of one published stream."""

    def setUp(self) -> None:
        super().setUp()
        self.id = self.put("a").json["epoch"] + "-%d"

    def test_equalBytes(self) -> None:
        """Live viewers get equal bytes, except for the jittered reconnection time."""
        wires = [self.view("/streams/a") for _ in range(20)]
        for number in range(5):
            self.publish("a", {"token": f" {number}"}, {"event": "e", "data": "x\ny"}, {"token": "\r"}, {"token": "\n"})
        self.publish("a", closed="true")
        self.reactor.advance(FLUSH_TICK)
        bodies = {re.sub(rb"retry: \d+\n", b"", wire.response.body) for wire in wires}
        self.assertEqual(len(bodies), 1)
        self.assertEqual([event.id for event in wires[0].response.events][-1], self.id % 21)

    def test_oneEncoding(self) -> None:
        """An event is encoded once for all viewers of a format."""
        encoded = []
        writeBlock = eventsFormat.writeBlock
        self.patch(eventsFormat, "writeBlock", lambda data, *more: encoded.append(data) or writeBlock(data, *more))
        wires = [self.view("/streams/a") for _ in range(30)]
        del encoded[:]
        self.publish("a", {"data": "once"})
        self.assertEqual(encoded, [b"once"])
        self.assertEqual([listEvents(wire) for wire in wires], [[("message", "once")]] * 30)

    def test_ownCursors(self) -> None:
        """Each viewer gets exactly the entries after its ID."""
        self.publish("a", *({"data": str(number)} for number in range(1, 6)))
        for number in range(6):
            rest = [("message", str(later)) for later in range(number + 1, 6)]
            self.assertEqual(self.read("a", lastEventID=self.id % number), rest)

    def test_fromNow(self) -> None:
        """With `from=now` a new viewer gets the later entries only, and the ID of its position."""
        self.publish("a", {"data": "before"})
        wire = self.view("/streams/a?from=now")
        self.assertEqual([event.id for event in wire.response.events], [self.id % 1])
        self.publish("a", {"data": "after"})
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual(listEvents(wire), [("message", "after")])

    def test_fromNowEnded(self) -> None:
        """`from=now` of an ended stream is answered 204."""
        self.publish("a", {"data": "before"}, closed="true")
        self.assertEqual(self.view("/streams/a?from=now").response.status, 204)
        self.assertEqual(self.view("/streams/a?from=now&format=text").response.status, 204)

    def test_resumeBeatsFromNow(self) -> None:
        """A viewer that reconnects continues at its ID, although its URL has `from=now`."""
        self.publish("a", {"data": "1"}, {"data": "2"}, closed="true")
        self.assertEqual(listEvents(self.view("/streams/a?from=now", self.id % 1))[0], ("message", "2"))
        self.assertEqual(listEvents(self.view(f"/streams/a?from=now&last_event_id={self.id % 1}"))[0], ("message", "2"))

    def test_futureID(self) -> None:
        """
        An ID after the last entry leads to a gap, `lost`, and all entries. It does not count as the
        end of an ended stream.
        """
        for closed in (None, "true"):
            self.publish("a", {"data": "1"}, closed=closed)
            for number in (5, 10**18):
                wire = self.view("/streams/a", self.id % number)
                self.assertEqual(wire.response.status, 200, number)
                gap, event, *_ = listEvents(wire)
                self.assertEqual((gap[0], json.loads(gap[1])["reason"]), ("gap", "lost"))
                self.assertEqual(event, ("message", "1"))

    def test_F109_notUTF8(self) -> None:
        """F109: a last event ID in the URL that is not UTF-8 leads to a gap, as in the header."""
        self.publish("a", {"data": "1"})
        for name in ("last_event_id", "lastEventId", "lastEventID"):
            gap, event = listEvents(self.view(f"/streams/a?{name}=%C3%28"))
            self.assertEqual((gap[0], json.loads(gap[1])["reason"]), ("gap", "unknown"))
            self.assertEqual(event, ("message", "1"))

    def test_F120_namesOfPolyfills(self) -> None:
        """F120: the parameters of polyfills resume a stream."""
        self.publish("a", *({"data": str(number)} for number in range(1, 4)))
        for name in ("lastEventId", "lastEventID"):
            self.assertEqual(listEvents(self.view(f"/streams/a?{name}={self.id % 2}")), [("message", "3")])

    def test_headerWins(self) -> None:
        """The header takes precedence over `last_event_id`. An empty header does not count."""
        self.publish("a", *({"data": str(number)} for number in range(1, 5)))
        path = f"/streams/a?last_event_id={self.id % 1}"
        self.assertEqual(listEvents(self.view(path))[0], ("message", "2"))
        self.assertEqual(listEvents(self.view(path, self.id % 3)), [("message", "4")])
        self.assertEqual(listEvents(self.view(path, ""))[0], ("message", "2"))

    def test_yields(self) -> None:
        """
        Waking very many viewers is divided into turns: other calls run in between, and the
        publisher gets its answer first.
        """
        # Plain bodies leave only when the reactor writes.
        self.serve(self.source, Settings(plain=False))
        self.put("a")
        self.assertLessEqual(wakes.WAKES_PER_TURN, 1000)
        self.patch(wakes, "WAKES_PER_TURN", 50)
        self.patch(wakes, "WAKES_PER_LOOK", 10)
        wires = [self.view("/streams/a") for _ in range(120)]
        heads = [len(wire.received) for wire in wires]
        seen = []
        callLater = self.reactor.callLater

        def watched(delay: float, call: Callable[..., object], *arguments: Any) -> Any:
            def made() -> None:
                call(*arguments)
                seen.append(sum(len(wire.socket.sent) > head for wire, head in zip(wires, heads, strict=True)))

            return callLater(delay, made)

        self.reactor.advance(FLUSH_TICK)
        self.patch(self.reactor, "callLater", watched)
        self.assertEqual(self.post("a", b'{"data":"all"}').status, 200)
        self.assertLessEqual(max(after - before for before, after in pairwise([0, *seen])), 50)
        self.assertEqual(seen[-1], len(wires))
        self.assertEqual({listEvents(wire)[-1] for wire in wires}, {("message", "all")})
