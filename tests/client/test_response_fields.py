"""
Interpretation of the event stream by an `EventSource`: the cases of web-platform-tests, on one or more
responses.
"""

from __future__ import annotations

from typing import Any

from sseserver.client import EventTooLarge
from tests.client.clients import ClientTestCase

#: Cases of web-platform-tests, eventsource/: name; bodies of successive responses; type, data and last event ID of the
#: dispatched events; last event ID of the request after them.
FIELDS: list[tuple[str, list[bytes], list[tuple[str, str, str]], str]] = [
    (
        "event-data",
        [b"data:msg\ndata:msg\n\n:\ndata:msg\n\n"],
        [("message", "msg\nmsg", ""), ("message", "msg", "")],
        "",
    ),
    (
        "format-bom",
        [b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n"],
        [("message", "1", ""), ("message", "3", "")],
        "",
    ),
    ("format-bom-2", [b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\n"], [("message", "2", "")], ""),
    ("format-bom, each response has its own", [b"\xef\xbb\xbfdata:1\n\n"] * 2, [("message", "1", "")] * 2, ""),
    (
        "format-comments",
        [b"data:1\r:\0\n:\r\ndata:2\n:" + b"x" * 4096 + b"\rdata:3\n:data:no\r:\r\ndata:4\n\n"],
        [("message", "1\n2\n3\n4", "")],
        "",
    ),
    (
        "format-data-before-final-empty-line",
        [b"retry:1000\ndata:one\n\nid:cut\ndata:two"],
        [("message", "one", "")],
        "",
    ),
    (
        "format-field-data",
        [b"data:\n\ndata\ndata\n\ndata:test\n\n"],
        [("message", "", ""), ("message", "\n", ""), ("message", "test", "")],
        "",
    ),
    ("format-field-event", [b"event:test\ndata:x\n\ndata:y\n\n"], [("test", "x", ""), ("message", "y", "")], ""),
    ("format-field-event-empty", [b"event: \ndata:data\n\n"], [("message", "data", "")], ""),
    ("format-field-id", [b"data:hello\nid:\xe2\x80\xa6\n\n"], [("message", "hello", "\u2026")], "\u2026"),
    (
        "format-field-id, a reset",
        [b"id: 1\ndata: a\n\nid:\ndata: b\n\n"],
        [("message", "a", "1"), ("message", "b", "")],
        "",
    ),
    (
        "format-field-id-2",
        [b"id: 1\ndata: a\n\ndata: b\n\n", b"data: c\n\n"],
        [("message", "a", "1"), ("message", "b", "1"), ("message", "c", "1")],
        "1",
    ),
    ("format-field-id-2, without data", [b"id: 7\n\n", b"data: c\n\n"], [("message", "c", "7")], "7"),
    (
        "format-field-id-3",
        [b"data:hello\nid:1\n\n", b"data:again\nid\n\n"],
        [("message", "hello", "1"), ("message", "again", "")],
        "",
    ),
    ("format-field-id-null", [b"id: 1\n\nid: \0\0\ndata: x\n\n"], [("message", "x", "1")], "1"),
    (
        "format-field-parsing",
        [
            (
                b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n"
                b"data:3\rdata:\r\n data:32\ndata:4\n\n"
            )
        ],
        [("message", "\0\n 2\n1\n3\n\n4", "")],
        "",
    ),
    (
        "format-field-unknown",
        [b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n"],
        [("message", "test\n\ntest", "")],
        "",
    ),
    ("format-leading-space", [b"data:\ttest\rdata: \ndata:test\n\n"], [("message", "\ttest\n\ntest", "")], ""),
    ("format-newlines", [b"data:test\r\ndata\ndata:test\r\n\r"], [("message", "test\n\ntest", "")], ""),
    ("format-null-character", [b"data:\0\n\n\n\n"], [("message", "\0", "")], ""),
    ("format-utf-8", ["data:ok…\n\n".encode()], [("message", "ok…", "")], ""),
    ("format-utf-8, broken", [b"data:\xff\n\n"], [("message", "\ufffd", "")], ""),
]


class FieldTests(ClientTestCase):
    """Events from bytes, over one or more responses."""

    def play(self, bodies: list[bytes], size: int, **keywords: Any) -> str:
        """Answer with these bodies in chunks of this size, and return the last event ID of the next request."""
        self.events.clear()
        source = self.begin(**keywords)
        for body in bodies:
            self.respond()
            for start in range(0, len(body), size):
                self.chunk(body[start : start + size])
            self.finish()
            self.reactor.advance(self.retries[-1][1])
        sent = self.request()[1].get("last-event-id", "")
        source.close()
        return sent.encode("latin-1").decode("utf-8")

    def test_table(self) -> None:
        """
        Each case is dispatched as the standard says, in one piece and byte by byte, and the next request
        carries the ID.
        """
        for name, bodies, expected, lastEventID in FIELDS:
            for size in (1 << 20, 1):
                sent = self.play(bodies, size)
                self.assertEqual([(e.type, e.data, e.id) for e in self.events], expected, name)
                self.assertEqual(sent, lastEventID, name)
                self.assertEqual(self.sources[-1].lastEventID, lastEventID, name)

    def test_dataOnly(self) -> None:
        """`onData` gets the same data in UTF-8, and the next request carries the same ID."""
        for name, bodies, expected, lastEventID in FIELDS:
            for size in (1 << 20, 1):
                data: list[bytes] = []
                sent = self.play(bodies, size, onData=data.append)
                self.assertEqual(data, [text.encode("utf-8") for _, text, _ in expected], name)
                self.assertEqual((sent, self.events), (lastEventID, []), name)

    def test_oneByOne(self) -> None:
        """Events that arrive one in a piece equal the events of a single piece, whatever comes between them."""
        plain = [b"data: a\n\n", b"data: \n\n", b"data: [\xc3\xa9]\n\n", b"data: \xff\n\n", b"data:  b\n\n"]
        others = [
            b"id: 7\n\n",
            b"data: a\rdata: b\n\n",
            b"data: a\r\n\r\n",
            b": c\n",
            b"event: t\n",
            b"id: 8\n",
            b"da",
            b"",
        ]
        for other in others:
            pieces = [b"\n", *plain, other, *plain, b"\n", *plain]
            self.play([b"".join(pieces)], 1)
            expected, seen = list(self.events), list[bytes]()
            for keywords in ({}, {"onData": seen.append}):
                self.events.clear()
                source = self.open(**keywords)
                for piece in pieces:
                    self.chunk(piece)
                self.assertEqual(source.lastEventID, expected[-1].id, other)
                self.assertEqual(self.events, [] if keywords else expected, other)
                source.close()
            self.assertEqual(seen, [event.data.encode("utf-8") for event in expected], other)

    def test_tooLargeAlone(self) -> None:
        """An event that arrives in a piece of its own has the same size limit."""
        data: list[bytes] = []
        self.open(b"\n", maxEventBytes=8, onData=data.append)
        self.chunk(b"data: x\n\n")
        self.assertEqual(data, [b"x"])
        self.chunk(b"data: xy\n\n")
        self.assertFails(EventTooLarge)
        self.assertEqual(data, [b"x"])

    def test_retry(self) -> None:
        """
        A reconnection time counts from its line on, and a malformed one is ignored (format-field-retry,
        -bogus, -empty).
        """
        for body, seconds in (
            (b"retry:1000\ndata:x\n\n", 1.0),
            (b"retry:03000\ndata:x\n\n", 3.0),
            (b"retry:1000\nretry:2000x\ndata:x\n\n", 1.0),
            (b"retry:1000\nretry\nretry:\nretry:-1\nretry: 1.5\ndata:x\n\n", 1.0),
            (b"data: none\n\n", 7.0),
        ):
            source = self.begin(reconnectionTime=7.0)
            self.respond()
            self.chunk(body)
            self.finish()
            self.assertEqual(self.retries.pop(), (None, seconds), body)
            wires = len(self.wires)
            self.reactor.advance(seconds - 0.125)
            self.assertEqual(len(self.wires), wires)
            self.reactor.advance(0.125)
            self.assertEqual(len(self.wires), wires + 1)
            source.close()
