"""
Tests of `sseserver.apis.native.publishing`: a body becomes entries, or is refused as a whole.
"""

from __future__ import annotations

import gc
import json
from time import thread_time

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.apis.native.publishing import RESERVED_TYPES, checkName, readEntries, readInTurns
from sseserver.errors import BadRequest, BodyTooLarge, UnsupportedType
from sseserver.values import TERMINAL, Kind
from sseserver.web.accept import EVENT_STREAM, JSON, PLAIN_TEXT
from tests.apis.cases import PublishingTestCase
from tests.fakes import TurnClock

#: Characters that some parsers treat as line ends, or drop: none of them may change.
HOSTILE = "  a\u2028b\u2029c\x85d\x0be\x0cf\x00g\ufeffh\n\n i\r\rj\r\n😀 "


class RefusalTestCase(SynchronousTestCase):
    """Bodies that are refused."""

    def assertRefused(self, contentType: str, body: bytes) -> BadRequest:
        """Check that a body is refused with 400 and a sentence."""
        try:
            entries = readEntries(contentType, body)
        except BadRequest as error:
            self.assertEqual(error.status, 400)
            self.assertRegex(str(error), r"^[A-Z].*[.:].*$", body[:60])
            str(error).encode("utf-8")
            return error
        except Exception as error:
            raise self.failureException(f"{body[:60]!r} raised {error!r}") from error
        raise self.failureException(f"{body[:60]!r} was taken: {entries!r}")


class TurnTests(SynchronousTestCase):
    """Bodies that are read in several turns of the reactor."""

    def test_F48_turns(self) -> None:
        """F48: a large body is decoded in many turns, each with a bounded number of events; a small one at once."""
        clock = TurnClock()
        for contentType, body, count in (
            (EVENT_STREAM, b"data:\n\n" * 149_000, 149_000),
            (JSON, b"[%b]" % b",".join([b'{"token":"x"}'] * 70_000), 70_000),
        ):
            reading = Deferred.fromCoroutine(readInTurns(contentType, body, clock))
            turns = 0
            while clock.getDelayedCalls():
                clock.turn()
                turns += 1
            self.assertEqual(list(self.successResultOf(reading)), readEntries(contentType, body))
            self.assertGreater(turns, count // 2500)
        small = Deferred.fromCoroutine(readInTurns(EVENT_STREAM, b"data: a\n\n", clock))
        self.assertEqual(self.successResultOf(small), [(Kind.EVENT, b"message\na")])
        self.assertEqual(clock.getDelayedCalls(), [])

    def measureTurns(self, contentType: str, body: bytes) -> float:
        """Return the CPU time of the longest turn of reading a body, which may be refused, in seconds."""
        clock = TurnClock()
        begin = thread_time()
        reading = Deferred.fromCoroutine(readInTurns(contentType, body, clock))
        longest = thread_time() - begin
        while clock.getDelayedCalls():
            begin = thread_time()
            clock.turn()
            longest = max(longest, thread_time() - begin)
        reading.addErrback(lambda failure: failure.trap(BadRequest, BodyTooLarge))
        return longest

    def test_budget(self) -> None:
        """#12: no turn takes 12 ms, of bodies of 1 MiB of any kind. Collections of garbage are not counted."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            for item in (
                '{"token":"x"},',
                '{"data":""},',
                "{},",
                '"",',
                '{"token":"[[{"},',
                '{"token":"\\\\"},',
                "[",
                '{"a":',
            ):
                body = b"[" + item.encode() * (2**20 // len(item)) + b'{"token":"x"}]'
                longest = min(self.measureTurns(JSON, body) for _ in range(3))
                self.assertLess(longest, 0.012, item)
        finally:
            if enabled:
                gc.enable()

    def test_refusedLate(self) -> None:
        """An entry that is refused in a later turn refuses the body."""
        clock = Clock()
        body = b"data: a\n\n" * 5000 + b"event: error\ndata: a\n\n"
        reading = Deferred.fromCoroutine(readInTurns(EVENT_STREAM, body, clock))
        while clock.getDelayedCalls():
            clock.advance(0)
        self.failureResultOf(reading, BadRequest)


class NameTests(SynchronousTestCase):
    """Names of streams."""

    def test_alphabet(self) -> None:
        """A name of 1 to 128 letters, digits and `._~-` is returned unchanged."""
        for name in ["a", "7", "-", "~", "_", "...", ".a", "A.b_c~d-9", "x" * 128]:
            self.assertEqual(checkName(name), name)

    def test_refused(self) -> None:
        """
        Any other name is refused, with dot segments, and names that only `$` or `isalnum` would
        accept.
        """
        names = [
            "",
            ".",
            "..",
            "x" * 129,
            "a/b",
            "a b",
            "a\n",
            "\na",
            "a\x00",
            "ä",
            "٣",
            "\uff58",
            "a%41",
            "a?",
            "a#",
            "\ufffd",
        ]
        for name in [*names, *(f"a{chr(number)}" for number in range(256) if not _inAlphabet(chr(number)))]:
            self.assertRaises(BadRequest, checkName, name)


def _inAlphabet(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "._~-")


class JSONTests(RefusalTestCase):
    """Bodies in JSON."""

    def test_event(self) -> None:
        """An object is one event: its type and its data, with LF between them."""
        self.assertEqual(readEntries(JSON, b'{"event":"note","data":"a"}'), [(Kind.EVENT, b"note\na")])

    def test_defaultType(self) -> None:
        """
        Without a type an event is a `message`, like one with the default type of EventSource. Its
        data may be empty.
        """
        for body in [b'{"data":""}', b'{"data":"","event":"message"}']:
            self.assertEqual(readEntries(JSON, body), [(Kind.EVENT, b"message\n")])

    def test_token(self) -> None:
        """An object with `token` is a token, with its spaces and line ends."""
        self.assertEqual(readEntries(JSON, b'{"token":" a\\r\\n"}'), [(Kind.TOKEN, b" a\r\n")])

    def test_list(self) -> None:
        """A list is its members in order, events and tokens mixed. An empty list has no entries."""
        body = b' [{"token":"a"}, {"event":"e","data":"b"}, {"token":"c"}] '
        entries = [(Kind.TOKEN, b"a"), (Kind.EVENT, b"e\nb"), (Kind.TOKEN, b"c")]
        self.assertEqual(readEntries(JSON, body), entries)
        self.assertEqual(readEntries(JSON, b"[]"), [])

    def test_hostileData(self) -> None:
        """Data keep every character, escaped or not."""
        for escaped in (True, False):
            body = json.dumps([{"data": HOSTILE}, {"token": HOSTILE}], ensure_ascii=escaped).encode()
            expected = [(Kind.EVENT, b"message\n" + HOSTILE.encode()), (Kind.TOKEN, HOSTILE.encode())]
            self.assertEqual(readEntries(JSON, body), expected)

    def test_parameters(self) -> None:
        """The media type is case-insensitive, and its parameters are ignored."""
        for name in ["application/json; charset=utf-8", "Application/JSON", " application/json ;x"]:
            self.assertEqual(readEntries(name, b'{"token":"a"}'), [(Kind.TOKEN, b"a")])

    def test_notJSON(self) -> None:
        """
        A body that is not JSON is refused: the dialects of Python and JavaScript, and trailing
        characters.
        """
        item = b'{"data":"a"}'
        broken = [
            b"NaN",
            b'{"data":NaN}',
            b"[Infinity]",
            b"{'data':'a'}",
            b'{"data":"a",}',
            b"[%b,]" % item,
            b"{",
            b"[",
        ]
        behind = [item + rest for rest in (b"x", b" x", item, b"]", b"\x00", b"//", b"\n[]")]
        raw = [
            b'{"data":"a\nb"}',
            b'{"data":"a\x00b"}',
            b'{"data":"\\x"}',
            b"\xef\xbb\xbf" + item,
            item.decode().encode("utf-16"),
        ]
        for body in [*broken, *behind, *raw, b" ", b"\x00", b'"', b'{"data":"a"', b"data: a\n\n"]:
            self.assertRefused(JSON, body)

    def test_notUTF8(self) -> None:
        """
        Bytes that are not UTF-8 are refused everywhere, with overlong forms and encoded surrogates.
        """
        for piece in [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xe2\x80"]:
            for body in (
                b'{"data":"%b"}',
                b'{"token":"%b"}',
                b'{"event":"%b","data":""}',
                b'{"%b":""}',
                b'[{"data":"%b"}]',
            ):
                self.assertRefused(JSON, body % piece)

    def test_loneSurrogates(self) -> None:
        """
        A lone surrogate is refused in data, tokens, types and names of members. A pair is one
        character.
        """
        for half in ["\\ud800", "\\udfff", "\\ud800x", "\\ud800\\ud800", "\\udc00\\ud800", "x\\uDBFF"]:
            for body in ('{"data":"%s"}', '{"token":"%s"}', '{"event":"%s","data":""}', '{"%s":"","data":""}'):
                self.assertRefused(JSON, (body % half).encode())
        error = self.assertRaises(BadRequest, readEntries, JSON, b'{"token":"\\ud800"}')
        self.assertIn("lone surrogate", str(error))
        self.assertEqual(readEntries(JSON, b'{"token":"\\ud83d\\ude00"}'), [(Kind.TOKEN, "😀".encode())])

    def test_deep(self) -> None:
        """A nesting of 100,000 levels is refused everywhere."""
        deep = b"[" * 100_000
        objects = b'{"data":' * 100_000
        for body in (deep, objects, b'{"data":%b' % deep, b'{"x":%b' % deep, b"[%b" % objects, deep + b"]" * 100_000):
            self.assertRefused(JSON, body)

    def test_numbers(self) -> None:
        """Numbers are refused, also with 5,000 digits."""
        for number in [b"1", b"-0", b"9" * 5000, b"1e999999", b"0.1"]:
            for body in (
                b"%b",
                b'{"data":%b}',
                b'{"token":%b}',
                b'{"event":%b,"data":""}',
                b"[%b]",
                b'{"x":%b,"data":""}',
            ):
                self.assertRefused(JSON, body % number)

    def test_shapes(self) -> None:
        """
        Other values, objects with missing or unknown members, and tokens with other members are
        refused.
        """
        values = [b"null", b"true", b'"a"', b"[null]", b'["a"]', b'[[{"data":"a"}]]', b"{}", b"[{}]", b'{"event":"a"}']
        nulls = [b'{"data":null}', b'{"token":null}', b'{"data":true}', b'{"data":["a"]}', b'{"data":{}}']
        others = [b'{"data":"a","id":"1"}', b'{"data":"a","retry":1}', b'{"Data":"a"}', b'{"data":"a","":""}']
        both = [b'{"token":"a","data":""}', b'{"token":"a","event":"b"}', b'{"token":"","data":"a"}', b'{"token":""}']
        for body in values + nulls + others + both:
            self.assertRefused(JSON, body)

    def test_allOrNothing(self) -> None:
        """One bad member refuses the entire list."""
        good = b'{"data":"a"}'
        for bad in (b'{"event":"done","data":""}', b'{"token":""}', b"1", b'{"data":"\\ud800"}'):
            self.assertRefused(JSON, b"[%b,%b]" % (good, bad))
            self.assertRefused(JSON, b"[%b,%b]" % (bad, good))


class TextTests(RefusalTestCase):
    """Bodies in plain text."""

    def test_event(self) -> None:
        """The entire body is the data of one event of the default type."""
        self.assertEqual(readEntries(PLAIN_TEXT, HOSTILE.encode()), [(Kind.EVENT, b"message\n" + HOSTILE.encode())])

    def test_notUTF8(self) -> None:
        """A body that is not UTF-8 is refused, whatever its charset; the message says where."""
        for name in (PLAIN_TEXT, "text/plain; charset=utf-8"):
            self.assertIn("byte 1", str(self.assertRefused(name, b"a\xff")))
        self.assertRefused(PLAIN_TEXT, b"\xed\xa0\x80")


class EventStreamTests(RefusalTestCase):
    """Bodies that are event streams."""

    def test_events(self) -> None:
        """
        Each event becomes an entry with its type. IDs, reconnection times, comments and blocks
        without data do not.
        """
        body = b": c\nid: 7\nretry: 1\ndata: a\n\nevent: b\n\nid\n\nevent: e\ndata:  b\ndata\n\n:\n\n"
        self.assertEqual(readEntries(EVENT_STREAM, body), [(Kind.EVENT, b"message\na"), (Kind.EVENT, b"e\n b\n")])

    def test_lineEnds(self) -> None:
        """CR LF, CR and LF end lines, and no other character. A BOM is ignored."""
        entries = [(Kind.EVENT, b"message\na"), (Kind.EVENT, "message\nb\u2028\x85\x0b\x0c".encode())]
        for end in (b"\n", b"\r", b"\r\n"):
            lines = [b"\xef\xbb\xbfdata: a", b"", "data: b\u2028\x85\x0b\x0c".encode(), b"", b""]
            self.assertEqual(readEntries(EVENT_STREAM, end.join(lines)), entries)

    def test_large(self) -> None:
        """An event may have the size limit of the body."""
        data = b"x" * (1024 * 1024 - 8)
        self.assertEqual(readEntries(EVENT_STREAM, b"data: %b\n\n" % data), [(Kind.EVENT, b"message\n" + data)])

    def test_unfinished(self) -> None:
        """If no empty line ends the last event, all events are refused."""
        good = b"data: a\n\n"
        for rest in (b"data: b", b"data: b\n", b"d", b"event: x\n", b": c", b"id: 1\n", b"\xef\xbb\xbfdata: b\n"):
            self.assertRefused(EVENT_STREAM, rest)
            self.assertRefused(EVENT_STREAM, good + rest)

    def test_notUTF8(self) -> None:
        """Bytes that EventSource would repair are refused, also in comments and IDs."""
        for body in (b"data: \xff\n\n", b":\xff\ndata: a\n\n", b"id: \xff\ndata: a\n\n", b"data: a\n\n\xef\xbb"):
            self.assertRefused(EVENT_STREAM, body)

    def test_types(self) -> None:
        """Reserved and malformed types are refused."""
        for name in (b"done", b"stream", b"error", b"a\x00b", b"a\x07", b"x" * 129):
            self.assertRefused(EVENT_STREAM, b"data: a\n\nevent: %b\ndata: b\n\n" % name)


class EventTypeTests(RefusalTestCase):
    """Types of events."""

    def test_reserved(self) -> None:
        """
        The types of the server, and `error`, which EventSource confuses with a lost connection, are
        refused.
        """
        self.assertEqual(RESERVED_TYPES, {"stream", "done", "failed", "cancelled", "gap", "restart", "open", "error"})
        self.assertLessEqual({state.value for state in TERMINAL.values()}, RESERVED_TYPES)
        for name in RESERVED_TYPES:
            error = self.assertRefused(JSON, json.dumps({"event": name, "data": "{}"}).encode())
            self.assertIn(name, str(error))

    def test_malformed(self) -> None:
        """
        A type is refused if it is empty, has more than 128 characters, or a control character: C0,
        DEL, C1.
        """
        controls = [chr(number) for number in (*range(0x20), *range(0x7F, 0xA0))]
        for name in ["", "x" * 129, *controls, *(f"a{control}b" for control in controls)]:
            self.assertRefused(JSON, json.dumps({"event": name, "data": ""}).encode())

    def test_others(self) -> None:
        """
        Any other type is kept unchanged: other letters, spaces, spellings close to a reserved type.
        """
        for name in ["é", "a b", "a:b", " a", "Done", "done ", "x" * 128, "\u2028", "😀", "data", "__proto__", "0"]:
            body = json.dumps({"event": name, "data": "d"}).encode()
            self.assertEqual(readEntries(JSON, body), [(Kind.EVENT, f"{name}\nd".encode())])


class ContentTypeTests(SynchronousTestCase):
    """Media types of bodies."""

    def test_unknown(self) -> None:
        """
        Another media type, or none, is refused with 415, and the message lists the supported ones.
        """
        for name in ["", "text", "text/html", "application/jsonx", "application/json, text/plain", "*/*", "é"]:
            error = self.assertRaises(UnsupportedType, readEntries, name, b'{"data":"a"}')
            self.assertEqual(error.status, 415)
            self.assertIn("application/json, text/plain, text/event-stream", str(error))

    def test_charset(self) -> None:
        """Text in another charset than UTF-8 is refused with 415; UTF-8 may be named in any way."""
        for charset in ("iso-8859-1", '"utf-16"', "latin1", "utf-8; charset=utf-16", ""):
            for name in (f"{PLAIN_TEXT}; charset={charset}", f"{JSON};x=y;CharSet = {charset}"):
                error = self.assertRaises(UnsupportedType, readEntries, name, b'{"data":"a"}')
                self.assertIn("UTF-8", str(error))
        for parameters in ("charset=utf-8", 'Charset="UTF-8" ; x=y', "x=y;charset=utf8", "x=charset", ""):
            self.assertEqual(len(readEntries(f"{PLAIN_TEXT};{parameters}", b"a")), 1)

    def test_emptyBody(self) -> None:
        """An empty body has no entries, whatever its type: a header alone can end a stream."""
        for name in [JSON, PLAIN_TEXT, EVENT_STREAM, "", "application/x-www-form-urlencoded"]:
            self.assertEqual(readEntries(name, b""), [])


class AnswerTests(PublishingTestCase):
    """The answer to a publish."""

    def test_F55_firstAndLast(self) -> None:
        """F55: the answer names the first and the last ID, and all IDs only of up to 100 entries."""
        self.put("a")
        epoch = self.epoch("a")
        for count, first in ((1, 1), (100, 2), (101, 102)):
            response = self.post("a", json.dumps([{"token": "x"}] * count).encode())
            last = first + count - 1
            answer = {"first": f"{epoch}-{first}", "last": f"{epoch}-{last}"}
            if count <= 100:
                answer["ids"] = [f"{epoch}-{number}" for number in range(first, last + 1)]  # type: ignore[assignment]
            self.assertEqual(response.json, answer)
