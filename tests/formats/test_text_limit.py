"""
Tests for `sseserver.formats.text` with texts that it does not serve.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import TextFormat
from sseserver.formats import text as textFormat
from sseserver.formats.rendering import REFUSED
from sseserver.formats.text import TEXT_LIMIT
from sseserver.interfaces.reading import Reading
from sseserver.streams.buffer import ENTRY_COST
from sseserver.values import Kind
from sseserver.wire import Event
from tests.formats.cases import (
    ALL,
    EPOCH,
    decode,
    makeLog,
    number,
    trimmedLog,
)
from tests.formats.test_text import show
from tests.readers import readRefusal, step


class TextLimitTests(SynchronousTestCase):
    """Texts that the format `text` does not serve."""

    def setUp(self) -> None:
        """Lower the limit."""
        self.patch(textFormat, "TEXT_LIMIT", 100)

    def assertRefused(self, events: list[Event], after: str, following: int) -> None:
        """Check that these two events refuse the rest of the text."""
        self.assertEqual([event.type for event in events], ["gap", "failed"])
        gap: dict[str, Any] = json.loads(events[0].data)
        self.assertEqual(gap, {"after": after, "from": f"{EPOCH}-{following}", "missed": None, "reason": "trimmed"})
        self.assertEqual([number(event) for event in events], [following - 1, REFUSED])
        failed = json.loads(events[1].data)
        self.assertEqual(failed["reason"], "too_long")
        self.assertIsInstance(failed["message"], str)

    def test_default(self) -> None:
        """
        By default the limit is 1 MiB.
        """
        self.assertEqual(TEXT_LIMIT, 1024 * 1024)

    def test_longestText(self) -> None:
        """
        A text of exactly the limit is served, in any number of tokens and lines; one byte more is
        not.
        """
        for tokens in (["x" * 100], ["x"] * 100, ["x" * 9 + "\n"] * 10, ["\n"] * 100, ["\n" * 100], ["\u00e9"] * 50):
            log = makeLog(*tokens)
            rendering = TextFormat().render(log)
            page = show(rendering.read(0, ALL, True).data)
            self.assertEqual((page.text, [event.type for event in page.events]), ("".join(tokens), ["message"]))
            log.append(Kind.TOKEN, b"x")
            frames = readRefusal(rendering, log.last - 1, True)
            self.assertRefused(decode(frames), f"{EPOCH}-{log.last - 1}", log.last)

    def test_tooLong(self) -> None:
        """
        A viewer of a text that is too long gets the text up to the limit, a gap, and `failed`; then
        it is complete.
        """
        rendering = TextFormat().render(makeLog("a" * 40, "b" * 40, "c" * 40, "d"))
        self.assertFalse(rendering.complete(0))
        for joined in (True, False):
            frames = readRefusal(rendering, 0, joined)
            [text, *rest] = decode(frames)
            self.assertEqual(text, Event("a" * 40 + "b" * 40, id=f"{EPOCH}-2"))
            self.assertRefused(rest, f"{EPOCH}-2", 3)
        self.assertEqual([rendering.complete(cursor) for cursor in (0, 2, 3, 4, REFUSED)], [False] * 4 + [True])

    def test_tooLongWhileViewed(self) -> None:
        """
        A viewer that has all text within the limit is told once when more follows, and never again.
        """
        log = makeLog("a" * 90)
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, 1)
        log.append(Kind.TOKEN, b"b" * 20)
        frames = readRefusal(rendering, 1, False)
        self.assertRefused(decode(frames), f"{EPOCH}-1", 2)
        log.append(Kind.TOKEN, b"c")
        log.append(Kind.DONE, b"{}")
        self.assertEqual([rendering.complete(cursor) for cursor in (1, 2, log.last)], [False] * 2 + [True])

    def test_comesBackWhenItIsTrimmed(self) -> None:
        """
        A viewer that has the entire text, whose beginning was trimmed, gets nothing when it
        returns, and is complete at the end of the stream; if text follows, it gets a gap.
        """
        log = trimmedLog(3, 6)
        self.assertGreater(log.buffer.first, 1)
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(6, ALL, True), Reading(6, b""))
        self.assertFalse(rendering.complete(6))
        log.append(Kind.TOKEN, b"y")
        frames = readRefusal(rendering, 6, False)
        self.assertRefused(decode(frames), f"{EPOCH}-6", 7)
        log.append(Kind.DONE, b"{}")
        for known in (rendering, TextFormat().render(log)):
            self.assertEqual([known.complete(cursor) for cursor in (6, 7, 8)], [False, False, True])

    def test_firstTokenTooLong(self) -> None:
        """
        If the first token is too long, no text stands before the gap.
        """
        rendering = TextFormat().render(makeLog("x" * 1000, terminal=Kind.DONE))
        frames = readRefusal(rendering, 0, True)
        self.assertRefused(decode(frames), f"{EPOCH}-0", 1)

    def test_resumesAtTheGap(self) -> None:
        """
        A viewer that was cut between the gap and `failed` gets `failed` when it returns.
        """
        rendering = TextFormat().render(makeLog("a" * 90, "b" * 20))
        frames = readRefusal(rendering, 1, True)
        self.assertEqual(decode(frames)[-1].type, "failed")

    def test_refusedByAnother(self) -> None:
        """
        A refused viewer is complete for every rendering, even after a restart.
        """
        rendering = TextFormat().render(makeLog("a"))
        self.assertTrue(rendering.complete(REFUSED))
        log = makeLog("a" * 90, "b" * 20, "c")
        for cursor, complete in ((REFUSED, True), (3, False), (2, False), (0, False)):
            self.assertEqual(TextFormat().render(log).complete(cursor), complete)

    def test_terminalDoesNotCount(self) -> None:
        """
        The terminal entry does not count towards the limit.
        """
        log = makeLog("a" * 90)
        log.append(Kind.FAILED, b'"%b"' % (b"x" * 200))
        rendering = TextFormat().render(log)
        self.assertEqual([event.type for event in decode(rendering.read(0, ALL, True).data)], ["message", "failed"])

    def test_trimmedBeforeSeen(self) -> None:
        """
        If entries were trimmed before the rendering read them, viewers keep their text and get a
        gap and `failed`.
        """
        log = makeLog("a", "b", window=4 * (ENTRY_COST + 1))
        rendering = TextFormat().render(log)
        self.assertEqual(rendering.read(0, ALL, True).cursor, 2)
        while log.buffer.first <= 3:
            log.append(Kind.TOKEN, b"x")
        self.assertFalse(rendering.complete(2))
        frames = readRefusal(rendering, 2, True)
        [gap, failed] = decode(frames)
        self.assertEqual((gap.type, failed.type), ("gap", "failed"))
        self.assertEqual(json.loads(gap.data)["after"], f"{EPOCH}-2")
        self.assertEqual([number(gap), number(failed)], [2, REFUSED])

    def test_trimmedAfterSeen(self) -> None:
        """
        Entries that the rendering read before they were trimmed are in the text, and no viewer gets
        a gap.
        """
        log = makeLog("a", window=4 * (ENTRY_COST + 1))
        rendering = TextFormat().render(log)
        text, cursor = "a", 0
        for token in "bcdefgh":
            cursor, frames = step(rendering, cursor, ALL, True)
            self.assertEqual(show(frames).text, text)
            log.append(Kind.TOKEN, token.encode())
            text += token
        self.assertGreater(log.buffer.first, 1)
        self.assertEqual(show(rendering.read(cursor, ALL, True).data).text, "abcdefgh")

    def test_newViewerOfATrimmedLog(self) -> None:
        """
        A new viewer of a trimmed log gets a gap and `failed`, never an empty response.
        """
        for terminal in (None, Kind.DONE):
            log = trimmedLog(keep=4, total=20, terminal=terminal)
            rendering = TextFormat().render(log)
            cursor = rendering.start(False)
            self.assertEqual(cursor, 0)
            self.assertFalse(rendering.complete(cursor))
            frames = readRefusal(rendering, cursor, True)
            self.assertEqual([event.type for event in decode(frames)], ["gap", "failed"])

    def test_newViewerAfterTheLimit(self) -> None:
        """
        A new viewer gets a gap and `failed` as well if the entry that exceeded the limit was
        trimmed.
        """
        log = makeLog("a" * 90, "b" * 20, window=4 * ENTRY_COST + 200)
        rendering = TextFormat().render(log)
        readRefusal(rendering, 0)
        while log.buffer.first <= 4:
            log.append(Kind.TOKEN, b"c")
        cursor = rendering.start(False)
        self.assertFalse(rendering.complete(cursor))
        frames = readRefusal(rendering, cursor, True)
        self.assertEqual([event.type for event in decode(frames)][-2:], ["gap", "failed"])
