"""
Tests for `sseserver.apis.durable.pages`: the size of pages, and offsets that have nothing behind them.
"""

from __future__ import annotations

import json

from sseserver.apis.durable import pages
from sseserver.delivery.document import STEP_BYTES
from sseserver.interfaces import IStreamLog
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.streams.ids import makeEpoch
from sseserver.streams.terminal import packRestart
from tests.apis.durable.cases import DurableTestCase
from tests.http import Response

NEXT, NEWEST, CLOSED = "stream-next-offset", "stream-up-to-date", "stream-closed"


class PageTests(DurableTestCase):
    """Pages, and offsets."""

    def readLog(self, url: str) -> IStreamLog:
        """Return the log of a stream."""
        return self.successResultOf(self.service.find(url.rpartition("/")[2]))

    def assertGone(self, response: Response, text: str) -> None:
        """Check that an offset is answered 410, with the reason."""
        self.assertEqual((response.status, response.error["code"]), (410, "offset_gone"), response)
        self.assertIn(text, response.error["message"])

    def test_sizes(self) -> None:
        """A long answer comes in pages, of which none is large unless it has a large entry."""
        url, offset, texts, sizes = self.chat(), "-1", [], []
        self.source.run.write(*["x" * 1000] * 300, "y" * 100_000, "z")
        self.reactor.advance(FLUSH_TICK)
        while True:
            page = self.page(url, offset)
            texts += [part["delta"] for part in page.json if "delta" in part]
            sizes.append(len(page.body))
            offset = page.headers[NEXT]
            if NEWEST in page.headers:
                break
        self.assertEqual("".join(texts), "x" * 300_000 + "y" * 100_000 + "z")
        self.assertEqual(len([size for size in sizes if size > STEP_BYTES]), 1)
        self.assertGreater(len(sizes), 5)

    def readPages(self, url: str) -> tuple[str, int]:
        """Get all pages of an open stream, each with its request repeated; return the text, and how many there were."""
        offset, texts, count = "-1", [], 0
        while True:
            wire, again = (self.view(f"{url}?offset={offset}") for _ in range(2))
            self.reactor.run(1, 0.01)
            page = wire.response
            self.assertEqual(page.body, again.response.body)
            texts += [part["delta"] for part in page.json if "delta" in part]
            offset, count = page.headers[NEXT], count + 1
            if NEWEST in page.headers:
                return "".join(texts), count

    def test_nextPage(self) -> None:
        """The place of a reader that asks for one page after the other is not sought from the start of the stream."""
        turns = self.watchTurns(pages)
        url, text = self.chat(), ""
        for number in range(300):
            # Chunks with different members are not skipped together.
            token = f"{number:1000}"
            chunk = json.dumps({"id": f"{number}", "choices": [{"delta": {"content": token}}]}).encode()
            self.source.run.sink.writeChunk(chunk, token)
            text += token
        self.reactor.advance(FLUSH_TICK)
        offset = "-1"
        for _ in range(3):
            offset = self.page(url, offset).headers[NEXT]
        self.assertEqual(turns, [])
        self.patch(pages, "MOST_PLACES", 1)
        read, count = self.readPages(url)
        self.assertEqual(read, text)
        self.assertGreater(count, 4)

    def test_turns(self) -> None:
        """A place that is far away is found in several turns of the reactor, also by readers that wait."""
        turns = self.watchTurns(pages)
        url = self.chat()
        for number in range(95):
            # Chunks with different members are not skipped together.
            chunk = json.dumps({"id": f"{number}", "choices": [{"delta": {"content": f"{number}"}}]}).encode()
            self.source.run.sink.writeChunk(chunk, f"{number}")
        self.reactor.advance(FLUSH_TICK)
        epoch = self.readLog(url).epoch
        for read in (self.poll, self.follow):
            wire = read(url, f"{93:019}_{epoch}")
            self.reactor.run(1, 0.01)
            body = wire.response.body.decode()
            self.assertIn('"93"', body)
            self.assertNotIn('"92"', body)
        self.assertGreater(len(turns), 5)

    def test_foreign(self) -> None:
        """An offset of another stream, and one beyond the end, is gone."""
        url = self.chat()
        self.write("a")
        epoch = self.readLog(url).epoch
        for offset in (f"{1:019}_{makeEpoch()}", f"{9:019}_{epoch}"):
            for mode in ("", "&live=sse", "&live=long-poll"):
                self.assertGone(self.ask(f"{url}?offset={offset}{mode}"), "offset=-1")

    def test_renewed(self) -> None:
        """After its store has lost entries, the offsets before them hold."""
        url = self.chat()
        self.write("a", "b")
        log = self.readLog(url)
        offset = self.page(url).headers[NEXT]
        log.renew(makeEpoch())  # type: ignore[attr-defined]
        self.write("c")
        page = self.page(url, offset)
        self.assertEqual([part["delta"] for part in page.json], ["c"])
        self.assertIn(log.epoch, page.headers[NEXT])
        lost = f"{log.last:019}_{offset.partition('_')[2]}"
        self.assertGone(self.page(url, lost), "does not have this offset any more")

    def test_restarted(self) -> None:
        """Messages before a restart of the run are void: their readers are told, others notice nothing."""
        url = self.chat()
        before = self.page(url).headers[NEXT]
        self.write("a")
        void, follower = self.page(url).headers[NEXT], self.follow(url)
        self.readLog(url).append(*packRestart(1))
        self.write("b")
        self.assertTrue(follower.response.complete)
        self.assertEqual([part.get("delta") for part in self.messages(follower)][-1], "a")
        for mode in ("", "&live=sse", "&live=long-poll"):
            self.assertGone(self.ask(f"{url}?offset={void}{mode}"), "begun anew")
        for offset in ("-1", before):
            deltas = [part["delta"] for part in self.page(url, offset).json if "delta" in part]
            self.assertEqual(deltas, ["b"])


class TrimmedTests(DurableTestCase):
    """A server that keeps little of a stream."""

    settings = Settings(window=50_000)

    def test_trimmed(self) -> None:
        """Without its beginning a message cannot be read; who stands at the end goes on."""
        url = self.chat()
        self.write("a")
        offset, follower = self.page(url).headers[NEXT], self.follow(url)
        self.write(*["x" * 1000] * 100)
        for place in ("-1", offset):
            for mode in ("", "&live=sse", "&live=long-poll"):
                answer = self.ask(f"{url}?offset={place}{mode}")
                self.assertEqual((answer.status, answer.error["code"]), (410, "offset_gone"))
                self.assertIn("trimmed", answer.error["message"])
        for mode in ("", "&live=sse", "&live=long-poll"):
            answer = self.ask(f"{url}?offset=now{mode}")
            self.assertEqual((answer.status, answer.error["code"]), (410, "offset_gone"), mode)
        head = self.ask(url, method="HEAD")
        self.assertEqual((head.status, head.headers.get("etag")), (200, None))
        self.assertEqual(self.page(url, head.headers[NEXT]).status, 410)
        self.end()
        # Nothing follows that could not be read.
        last = self.page(url, "now")
        self.assertEqual(
            (last.status, last.headers[CLOSED], self.page(url, last.headers[NEXT]).status), (200, "true", 200)
        )
        self.assertTrue(self.controls(follower)[-1]["streamClosed"])
        self.assertEqual(len([part for part in self.messages(follower) if "delta" in part]), 101)
