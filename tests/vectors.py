"""
The event stream format as data: streams with their events, and events as they are written.

`DECODED` holds the vectors of eventstream-vectors.json, which were run through EventSource in Chromium, and our own,
which follow WHATWG HTML sections 9.2.5 and 9.2.6 and, for broken UTF-8, the Encoding Standard. `ENCODED` is tested in
both directions. `REFUSED` holds events that cannot be written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from sseserver.wire import MAX_RECONNECTION_TIME, Event


class Decoded(NamedTuple):
    """
    A stream and its events.

    Attributes:
        property: The property that the vector shows.
        stream: The bytes.
        events: The dispatched events, each with the last event ID string.
    """

    property: str
    stream: bytes
    events: list[Event]


class Encoded(NamedTuple):
    """
    An event and its block.

    Attributes:
        property: The property that the vector shows.
        event: The event that is encoded.
        block: The encoded block.
        data: The data of the event after decoding.
    """

    property: str
    event: Event
    block: bytes
    data: str


def _chromium() -> list[Decoded]:
    """Return the vectors that were checked in Chromium."""
    path = Path(__file__).with_name("eventstream-vectors.json")
    return [
        Decoded(
            vector["property"],
            vector["stream"].encode("utf-8"),
            [Event(event["data"], event["type"], event["lastEventId"]) for event in vector["events"]],
        )
        for vector in json.loads(path.read_text("utf-8"))
    ]


def _one(data: str, type: str = "message", id: str = "", retry: int | None = None) -> list[Event]:
    """Return one event as it is decoded."""
    return [Event(data, type, id, retry)]


CHROMIUM = _chromium()

OWN = [
    Decoded("an empty stream", b"", []),
    Decoded("empty lines alone", b"\n\r\n\r\r\n", []),
    Decoded("comments alone", b":\n: ping\n\n:\r\n\r\n", []),
    Decoded("CR LF", b"event: t\r\nid: 1\r\ndata: a\r\n\r\ndata: b\r\n\r\n", _one("a", "t", "1") + _one("b", id="1")),
    Decoded("CR", b"event: t\rid: 1\rdata: a\r\rdata: b\r\r", _one("a", "t", "1") + _one("b", id="1")),
    Decoded("LF CR is two line ends", b"data: a\n\rdata: b\n\r", _one("a") + _one("b")),
    Decoded("CR CR LF is two line ends", b"data: a\r\r\ndata: b\r\r\n", _one("a") + _one("b")),
    Decoded("CR LF LF is two line ends", b"data: a\r\n\ndata: b\r\n\n", _one("a") + _one("b")),
    Decoded("an unfinished line", b"data: a\n\ndata: b", _one("a")),
    Decoded("an unfinished block", b"data: a\n\nevent: t\ndata: b\n", _one("a")),
    Decoded("a stream that ends in a comment", b"data: a\n\n: pi", _one("a")),
    Decoded("a heartbeat in a block is no part of it", b"data: a\n:\ndata: b\n\n", _one("a\nb")),
    Decoded("only the first colon parts", b"data: a: b:c\nevent: x:y\nid: 1:2\n\n", _one("a: b:c", "x:y", "1:2")),
    Decoded("trailing spaces stay", b"data: a  \nevent: t \nid: 1 \n\n", _one("a  ", "t ", "1 ")),
    Decoded("one space taken from each field", b"data:  a\nevent:  t\nid:  1\n\n", _one(" a", " t", " 1")),
    Decoded("a space alone is empty data", b"data: \n\n", _one("")),
    Decoded("names have one case", b"Data: a\nEVENT: t\nId: 1\nRetry: 5\ndata: b\n\n", _one("b")),
    Decoded("names have no space", b" data: a\ndata : a\ndata\t: a\ndata: b\n\n", _one("b")),
    Decoded("longer and shorter names", b"dataa: a\ndat: a\nids: 1\ni: 1\nevents: t\ndata: b\n\n", _one("b")),
    Decoded("the last type of a block counts", b"event: a\nevent: b\ndata: x\n\n", _one("x", "b")),
    Decoded("the last ID of a block counts", b"id: 1\nid: 2\ndata: x\n\n", _one("x", id="2")),
    Decoded("an ID with NUL leaves the one before", b"id: 1\nid: 2\0\ndata: x\n\n", _one("x", id="1")),
    Decoded("NUL in a type stays", b"event: a\0b\ndata: x\n\n", _one("x", "a\0b")),
    Decoded("empty ID without data resets", b"id: 1\ndata: a\n\nid\n\ndata: b\n\n", _one("a", id="1") + _one("b")),
    Decoded("ID after the data", b"data: a\nid: 1\n\n", _one("a", id="1")),
    Decoded("type without data is forgotten, ID is not", b"event: t\nid: 1\n\ndata: a\n\n", _one("a", id="1")),
    Decoded("BOM alone", b"\xef\xbb\xbf", []),
    Decoded("a piece of a BOM", b"\xef\xbb", []),
    Decoded("what begins like a BOM", b"\xef\xbb\ndata: a\n\n", _one("a")),
    Decoded("BOM before a comment", b"\xef\xbb\xbf:c\ndata: a\n\n", _one("a")),
    Decoded("BOM before an ID", b"\xef\xbb\xbfid: 1\ndata: a\n\n", _one("a", id="1")),
    Decoded("BOM before CR LF", b"\xef\xbb\xbf\r\ndata: a\r\n\r\n", _one("a")),
    Decoded("BOM after an empty line", b"\n\xef\xbb\xbfdata: a\n\ndata: b\n\n", _one("b")),
    Decoded("retry goes with its event", b"retry: 3000\ndata: a\n\ndata: b\n\n", _one("a", retry=3000) + _one("b")),
    Decoded("retry without data is no event", b"retry: 5\n\ndata: a\n\n", _one("a")),
    Decoded("the last valid retry counts", b"retry: 5\nretry: 6\nretry: x\ndata: a\n\n", _one("a", retry=6)),
    Decoded("retry without space", b"retry:7\ndata: a\n\n", _one("a", retry=7)),
    Decoded("retry of zero", b"retry: 0\ndata: a\n\n", _one("a", retry=0)),
    Decoded("leading zeros are digits", b"retry: " + b"0" * 5000 + b"42\ndata: a\n\n", _one("a", retry=42)),
    Decoded("retry with other digits", "retry: ٣\nretry: ²\nretry: \uff15\ndata: a\n\n".encode(), _one("a")),
    Decoded("retry as int() would read it", b"retry: 1_0\nretry:  5\nretry: 5 \nretry: -5\ndata: a\n\n", _one("a")),
    Decoded("the longest retry", b"retry: 2147483647\ndata: a\n\n", _one("a", retry=MAX_RECONNECTION_TIME)),
    Decoded("a longer retry is the longest", b"retry: 2147483648\ndata:\n\n", _one("", retry=MAX_RECONNECTION_TIME)),
    Decoded("endless retry is the longest", b"retry:" + b"1" * 5000 + b"\ndata\n\n", _one("", retry=2**31 - 1)),
    Decoded("UTF-8 of each length", "data: aß€𝄞\n\n".encode(), _one("aß€𝄞")),
    Decoded("UTF-8 in each field", "event: ß\nid: €\ndata: 𝄞\n\n".encode(), _one("𝄞", "ß", "€")),
    Decoded("a broken character is one U+FFFD", b"data: a\xf0\x9d\x84b\n\n", _one("a\ufffdb")),
    Decoded("broken by a line end", b"data: \xe2\x82\ndata: \xac\n\n", _one("\ufffd\n\ufffd")),
    Decoded("broken by CR", b"data: \xf0\x9d\x84\r\r", _one("\ufffd")),
    Decoded("overlong", b"data: \xc0\xaf \xe0\x80\xaf\n\n", _one("\ufffd\ufffd \ufffd\ufffd\ufffd")),
    Decoded("surrogates are no UTF-8", b"data: \xed\xa0\x80\n\n", _one("\ufffd\ufffd\ufffd")),
    Decoded("above U+10FFFF", b"data: \xf4\x90\x80\x80\n\n", _one("\ufffd\ufffd\ufffd\ufffd")),
    Decoded("bytes that never occur", b"data: \xff\xfe\n\n", _one("\ufffd\ufffd")),
    Decoded("broken type and ID", b"event: \xff\nid: \xff\ndata: a\n\n", _one("a", "\ufffd", "\ufffd")),
    Decoded("a broken name is unknown", b"d\xffata: a\ndata: b\n\n", _one("b")),
    Decoded("OpenAI's end", b'data: {"a":1}\n\ndata: [DONE]\n\n', _one('{"a":1}') + _one("[DONE]")),
]

DECODED = CHROMIUM + OWN

ENCODED = [
    Encoded("data alone", Event("a"), b"data: a\n\n", "a"),
    Encoded("no data", Event(""), b"data: \n\n", ""),
    Encoded("a token's leading space", Event(" world"), b"data:  world\n\n", " world"),
    Encoded("a type", Event("a", "done"), b"event: done\ndata: a\n\n", "a"),
    Encoded("the default type is not written", Event("a", "message"), b"data: a\n\n", "a"),
    Encoded("the default type in another case is", Event("a", "Message"), b"event: Message\ndata: a\n\n", "a"),
    Encoded("an ID", Event("a", id="E-1"), b"id: E-1\ndata: a\n\n", "a"),
    Encoded("a reconnection time", Event("a", retry=3000), b"retry: 3000\ndata: a\n\n", "a"),
    Encoded("no reconnection time but zero", Event("a", retry=0), b"retry: 0\ndata: a\n\n", "a"),
    Encoded("the longest", Event("", retry=MAX_RECONNECTION_TIME), b"retry: 2147483647\ndata: \n\n", ""),
    Encoded("all, in order", Event("a", "t", "1", 5), b"event: t\nretry: 5\nid: 1\ndata: a\n\n", "a"),
    Encoded("LF", Event("a\nb"), b"data: a\ndata: b\n\n", "a\nb"),
    Encoded("CR", Event("a\rb"), b"data: a\ndata: b\n\n", "a\nb"),
    Encoded("CR LF", Event("a\r\nb"), b"data: a\ndata: b\n\n", "a\nb"),
    Encoded("CR CR LF LF", Event("a\r\r\n\nb"), b"data: a\ndata: \ndata: \ndata: b\n\n", "a\n\n\nb"),
    Encoded("a line end alone", Event("\n"), b"data: \ndata: \n\n", "\n"),
    Encoded("a last line end", Event("a\n"), b"data: a\ndata: \n\n", "a\n"),
    Encoded(
        "lines like fields",
        Event("data: a\nid: 1\n: c"),
        b"data: data: a\ndata: id: 1\ndata: : c\n\n",
        "data: a\nid: 1\n: c",
    ),
    Encoded(
        "what str.splitlines takes for line ends",
        Event("a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i"),
        "data: a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i\n\n".encode(),
        "a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i",
    ),
    Encoded("NUL in data", Event("a\0b"), b"data: a\0b\n\n", "a\0b"),
    Encoded("a BOM in data", Event("\ufeffa"), b"data: \xef\xbb\xbfa\n\n", "\ufeffa"),
    Encoded("UTF-8", Event("𝄞", "ß", "€"), "event: ß\nid: €\ndata: 𝄞\n\n".encode(), "𝄞"),
    Encoded("spaces and colons", Event(" ", " t: ", " :1"), b"event:  t: \nid:  :1\ndata:  \n\n", " "),
]

REFUSED = [
    ("CR in the type", Event("a", "t\r")),
    ("LF in the type", Event("a", "t\nid: 1")),
    ("NUL in the type", Event("a", "\0")),
    ("empty type", Event("a", "")),
    ("lone surrogate in the type", Event("a", "\ud800")),
    ("CR in the ID", Event("a", id="1\r2")),
    ("LF in the ID", Event("a", id="1\n")),
    ("NUL in the ID", Event("a", id="1\0")),
    ("empty ID", Event("a", id="")),
    ("lone surrogate in the ID", Event("a", id="1\udfff")),
    ("high surrogate in the data", Event("a\ud83d")),
    ("low surrogate in the data", Event("\udc00a\n")),
    ("the halves of a character, the wrong way round", Event("\ude00\ud83d")),
    ("negative reconnection time", Event("a", retry=-1)),
    ("reconnection time over the longest", Event("a", retry=MAX_RECONNECTION_TIME + 1)),
    ("reconnection time too long for Python to print", Event("a", retry=10**5000)),
    ("boolean reconnection time", Event("a", retry=True)),
    ("fractional reconnection time", Event("a", retry=3000.0)),  # type: ignore[arg-type]
    ("reconnection time in words", Event("a", retry="3000")),  # type: ignore[arg-type]
]
