"""
A run that was interrupted and has begun anew, in all formats.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.formats import EntriesFormat, EventsFormat, OpenAIFormat, TextFormat, UIFormat
from sseserver.interfaces import IFormat
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.entries import packChunk
from sseserver.streams.log import StreamLog
from sseserver.streams.terminal import packRestart
from sseserver.values import Kind
from sseserver.wire import Decoder
from tests.formats.chatcases import ALL, EPOCH, decode, makeLog, parts
from tests.readers import readAll, readRefusal

RESTART = '{"reason":"interrupted","restarts":1}'


def makeRestarted(before: Sequence[str], after: Sequence[str], window: int = ALL) -> StreamLog:
    """Make a log with tokens before and after a restart, and an end."""
    streamLog = makeLog(*before, window=window)
    streamLog.append(*packRestart(1))
    for token in after:
        streamLog.append(Kind.TOKEN, token.encode())
    streamLog.append(Kind.DONE, b'{"reason":"stop","tokens":1}')
    return streamLog


class RestartTests(SynchronousTestCase):
    """Text before the restart is void."""

    def read(self, form: IFormat, streamLog: StreamLog, joined: bool = True) -> list[Any]:
        """Read a log as a new viewer does: the types and the data of its events."""
        rendering = form.render(streamLog)
        cursor = rendering.start(False)
        head = rendering.head(cursor, 1000, "/")
        data = head + readAll(rendering, cursor, ALL, joined)[1]
        return [(event.type, event.data) for event in Decoder(ALL).feed(data)]

    def test_events(self) -> None:
        """In `events` and `entries` the restart is an event with an ID; the text before it is sent as before."""
        for joined in (True, False):
            events = self.read(EventsFormat(), makeRestarted(["a\r"], ["\nb"]), joined)
            # The LF after the restart does not belong to the CR before it.
            told = [("message", "a\n"), ("restart", RESTART), ("message", "\nb")]
            self.assertEqual(events[1:-1], told)
            entries = self.read(EntriesFormat(), makeRestarted(["a"], ["b"]), joined)
            told = [("message", '{"token":"a"}'), ("restart", RESTART), ("message", '{"token":"b"}')]
            self.assertEqual(entries[1:-1], told)
        rendering = EventsFormat().render(makeRestarted(["a"], ["b"]))
        self.assertEqual(Decoder(ALL).feed(rendering.read(1, 1, False).data)[0].id, f"{EPOCH}-2")

    def test_text(self) -> None:
        """In `text` the text starts over: viewers get the empty text, and new ones only what holds."""
        streamLog = makeLog("a", "b\r")
        rendering = TextFormat().render(streamLog)
        self.assertIn(b"data: ab\n", rendering.read(0, ALL, True).data)
        streamLog.append(*packRestart(1))
        reading = rendering.read(2, ALL, True)
        self.assertEqual((reading.cursor, reading.data), (3, b"id: %b-3\ndata: \n\n" % EPOCH.encode()))
        streamLog.append(Kind.TOKEN, b"\nc")
        self.assertEqual(rendering.read(3, ALL, True).data, b"id: %b-4\ndata: \ndata: c\n\n" % EPOCH.encode())
        for after in ([], ["c"], ["c", "d"]):
            told = self.read(TextFormat(), makeRestarted(["a", "b"], after))
            self.assertEqual(told[1:-1], [("message", "".join(after))])

    def test_textTrimmed(self) -> None:
        """In `text` void text that is no longer kept is not missed."""
        streamLog = makeRestarted(["x"] * 20, ["a", "b"], window=8 * (ENTRY_COST + 10))
        self.assertGreater(streamLog.buffer.first, 1)
        self.assertEqual(self.read(TextFormat(), streamLog)[1:-1], [("message", "ab")])

    def test_refused(self) -> None:
        """In `openai` and `ui` a viewer that may have void text gets an error, and nothing after it."""
        streamLog = makeRestarted(["a", "b"], ["c"])
        for cursor in (0, 1, 2):
            for joined in (True, False):
                told = decode(readRefusal(OpenAIFormat("parrot").render(streamLog), cursor, joined))
                self.assertEqual(len(told), 1)
                self.assertEqual(told[0].id, f"{EPOCH}-3")
                self.assertEqual(json.loads(told[0].data)["error"]["code"], "interrupted")
                told, rendering = b"", UIFormat().render(streamLog)
                if cursor < 2:
                    told = rendering.read(cursor, ALL, joined).data
                *_, problem, done = parts(decode(told + readRefusal(rendering, 2, joined)))
                self.assertEqual((problem["type"], done), ("error", "[DONE]"))

    def test_newViewers(self) -> None:
        """In `openai` and `ui` a new viewer, or one that returns after the error, gets the new answer as a whole."""
        for before, after in ((["a", "b"], ["c", "d"]), ([], ["c", "d"]), ([], [])):
            streamLog = makeRestarted(before, after)
            chunks = [data for _, data in self.read(OpenAIFormat("parrot"), streamLog)]
            choices = [json.loads(chunk)["choices"][0] for chunk in chunks[:-1]]
            roles = [choice["delta"].get("role") for choice in choices]
            self.assertEqual(roles, ["assistant", *[None] * (len(roles) - 1)])
            self.assertEqual("".join(choice["delta"].get("content", "") for choice in choices), "".join(after))
            self.assertEqual((choices[-1]["finish_reason"], chunks[-1]), ("stop", "[DONE]"))
            types = [json.loads(data)["type"] for _, data in self.read(UIFormat(), streamLog)[:-1]]
            text = ["text-start", *["text-delta"] * len(after), "text-end"] if after else []
            self.assertEqual(types, ["start", "start-step", *text, "finish-step", "finish"])

    def test_chunks(self) -> None:
        """The chunks of an upstream need no role before them."""
        streamLog = makeLog()
        for text in ("a", "b"):
            chunk = json.dumps({"choices": [{"delta": {"role": "assistant", "content": text}}]}).encode()
            streamLog.append(*packChunk(chunk, text))
            if text == "a":
                streamLog.append(*packRestart(1))
        told = self.read(OpenAIFormat("parrot"), streamLog)
        self.assertEqual([json.loads(data)["choices"][0]["delta"]["content"] for _, data in told], ["b"])

    def test_unseen(self) -> None:
        """Before the first text, viewers of `openai` and `ui` do not notice restarts."""
        for form, opening in ((OpenAIFormat("parrot"), 1), (UIFormat(), 0)):
            streamLog = makeLog()
            rendering = form.render(streamLog)
            for restarts, events in ((1, opening), (2, 0)):
                streamLog.append(*packRestart(restarts))
                reading = rendering.read(restarts - 1, ALL, False)
                self.assertEqual(reading.cursor, restarts)
                self.assertEqual(len(decode(reading.data)), events)
            streamLog.append(Kind.TOKEN, b"a")
            self.assertEqual(len(decode(rendering.read(2, ALL, False).data)), 1 if opening else 4)
