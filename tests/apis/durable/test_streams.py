"""
Tests for `sseserver.apis.durable.streams`.
"""

from __future__ import annotations

import json

from sseserver.errors import SourceError
from sseserver.service.service import Settings
from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.accept import JSON
from tests.apis.durable.cases import DurableTestCase

NEXT, CURSOR, NEWEST, CLOSED = "stream-next-offset", "stream-cursor", "stream-up-to-date", "stream-closed"

BEGIN = ["start", "start-step", "text-start", "text-delta"]
END = ["text-end", "finish-step", "finish"]


class CatchUpTests(DurableTestCase):
    """Pages that are there."""

    def test_answer(self) -> None:
        """A page has the messages after an offset, and the offset after them; the last one tells of the end."""
        url = self.chat()
        empty = self.page(url)
        self.assertEqual((empty.status, empty.body, empty.headers["content-type"]), (200, b"[]", JSON))
        self.write("a", "b")
        page = self.page(url)
        self.assertEqual(self.types(page), [*BEGIN, "text-delta"])
        self.assertEqual((page.headers[NEWEST], page.headers.get(CLOSED)), ("true", None))
        self.assertEqual(page.headers["cache-control"], "no-store")
        self.assertNotIn(CURSOR, page.headers)
        self.write("c")
        more = self.page(url, page.headers[NEXT])
        self.assertEqual([part["delta"] for part in more.json], ["c"])
        self.assertLess(page.headers[NEXT], more.headers[NEXT])
        self.end()
        last = self.page(url, more.headers[NEXT])
        self.assertEqual((self.types(last), last.headers[CLOSED], last.headers[NEWEST]), (END, "true", "true"))
        nothing = self.page(url, last.headers[NEXT])
        self.assertEqual((nothing.body, nothing.headers[CLOSED]), (b"[]", "true"))
        self.assertEqual(nothing.headers[NEXT], last.headers[NEXT])
        whole = self.ask(url)
        self.assertEqual(whole.json, [*page.json, *more.json, *last.json])
        self.assertEqual(self.ask(f"{url}/?offset=-1").body, whole.body)

    def test_now(self) -> None:
        """From now on there is nothing yet, and no tag."""
        url = self.chat()
        self.write("a")
        page = self.page(url, "now")
        self.assertEqual((page.status, page.body, page.headers[NEWEST]), (200, b"[]", "true"))
        self.assertEqual(page.headers[NEXT], self.page(url).headers[NEXT])
        self.assertNotIn("etag", page.headers)

    def test_tag(self) -> None:
        """A client that has a page gets 304, until there is more, or the stream has ended."""
        url = self.chat()
        self.write("a")
        page = self.page(url)
        again = self.page(url, If_None_Match=page.headers["etag"])
        self.assertEqual((again.status, again.body, again.headers[NEXT]), (304, b"", page.headers[NEXT]))
        self.write("b")
        self.assertEqual(self.page(url, If_None_Match=page.headers["etag"]).status, 200)
        tail = self.page(url, self.page(url).headers[NEXT])
        self.assertEqual(tail.body, b"[]")
        self.end()
        closed = self.page(url, tail.headers[NEXT], If_None_Match=tail.headers["etag"])
        self.assertEqual((closed.status, closed.headers[CLOSED]), (200, "true"))

    def test_head(self) -> None:
        """HEAD tells where the stream ends."""
        url = self.chat()
        self.write("a")
        head = self.ask(url, method="HEAD")
        self.assertEqual((head.status, head.body, head.headers["content-type"]), (200, b"", JSON))
        self.assertEqual(head.headers[NEXT], self.page(url).headers[NEXT])
        self.assertEqual((head.headers["cache-control"], head.headers.get(CLOSED)), ("no-store", None))
        self.assertEqual(head.headers["x-content-type-options"], "nosniff")
        self.assertNotIn("content-length", head.headers)
        self.end()
        self.assertEqual(self.ask(f"{url}?offset=-1&live=sse", method="HEAD").headers[CLOSED], "true")
        self.assertEqual(self.service.viewers.count, 0)

    def test_headTag(self) -> None:
        """HEAD has the tag that GET has at the same URL, and is answered 304 where GET is."""
        url = self.chat()
        self.write(*"ab" * 5)
        middle = f"{url}?offset={self.page(url).headers[NEXT]}"
        self.write("c")
        tags = []
        for place in (url, f"{url}?offset=-1", middle):
            tag = self.ask(place).headers["etag"]
            tags.append(tag)
            self.assertEqual(self.ask(place, method="HEAD").headers["etag"], tag)
            again = self.ask(place, method="HEAD", headers={"If-None-Match": tag})
            self.assertEqual((again.status, again.headers["etag"]), (304, tag))
        self.assertEqual(len(set(tags)), 2)
        self.assertNotIn("etag", self.ask(f"{url}?offset=now", method="HEAD").headers)

    def test_refused(self) -> None:
        """Unknown streams, malformed queries and writers are refused; the latter are told where streams are written."""
        url = self.chat()
        self.assertEqual(self.page("/durable/none").error["code"], "stream_not_found")
        self.assertEqual(self.page("/durable").status, 404)
        self.assertEqual(self.page(url, "").status, 400)
        self.assertEqual(self.ask(f"{url}?live=sse").status, 400)
        for query in ("offset", "offset=", "offset=-1&live", "offset=-1&offset=-1"):
            self.assertEqual(self.ask(f"{url}?{query}").error["code"], "bad_request", query)
        for method in ("PUT", "POST", "DELETE"):
            answer = self.ask(url, method=method)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))
            self.assertIn("/streams/NAME", answer.error["message"])

    def test_published(self) -> None:
        """A published stream can be read, too: its tokens are a text."""
        self.ask("/streams/news", method="PUT")
        body = b'[{"token": "Hello"}, {"event": "joke", "data": "no text"}]'
        headers = {"Content-Type": JSON, "Stream-Closed": "true"}
        self.ask("/streams/news", method="POST", body=body, headers=headers)
        self.assertEqual(self.types(self.page("/durable/news")), [*BEGIN, *END])

    def test_failed(self) -> None:
        """A failed answer ends with an error, a cancelled one with `abort`; then the stream is closed."""
        failed, cancelled = self.chat(), self.chat()
        self.write("a")
        self.ask(f"{cancelled.replace('durable', 'streams')}/cancel", method="POST")
        self.source.runs.pop()
        self.write("a")
        self.breakDown(SourceError("Too many.", "upstream", 429))
        for url, end in ((failed, ["text-delta", "error"]), (cancelled, ["text-delta", "abort"])):
            page = self.page(url)
            self.assertEqual((self.types(page)[3:], page.headers[CLOSED]), (end, "true"))

    def test_linger(self) -> None:
        """A reader of pages is no viewer: a run without others ends after its linger."""
        url = self.chat()
        self.write("a")
        self.page(url)
        self.assertEqual(self.service.viewers.count, 0)
        self.reactor.run(self.settings.linger + 1, 1)
        self.assertTrue(self.source.run.cancelled)


class LongPollTests(DurableTestCase):
    """Pages that are waited for."""

    def test_atOnce(self) -> None:
        """A page that is there is answered at once."""
        url = self.chat()
        self.write("a")
        wire = self.poll(url)
        self.assertEqual((wire.response.status, self.types(wire.response)), (200, BEGIN))
        self.assertRegex(wire.response.headers[CURSOR], r"\A[0-9]+\Z")
        tag = self.page(url).headers["etag"]
        self.assertEqual(wire.response.headers["etag"], tag)
        # A client that waits is not sent back with what it has.
        again = self.ask(f"{url}?offset=-1&live=long-poll", headers={"If-None-Match": tag})
        self.assertEqual((again.status, again.body), (200, wire.response.body))

    def test_later(self) -> None:
        """A client at the end waits as a viewer for the next message."""
        url = self.chat()
        self.write("a")
        place = self.page(url).headers[NEXT]
        for offset in (place, "now"):
            wire = self.poll(url, offset)
            self.assertEqual((wire.responses, self.service.viewers.count), ([], 1))
            self.write("b")
            self.assertEqual([part["delta"] for part in wire.response.json], ["b"])
            # It counts until its client has everything.
            self.reactor.advance(1)
            self.assertEqual((wire.response.headers[NEWEST], self.service.viewers.count), ("true", 0))
            place = wire.response.headers[NEXT]

    def test_silence(self) -> None:
        """After a heartbeat interval without a message the answer is 204, with a cursor that grows."""
        url = self.chat()
        self.write("a")
        place, cursor = self.page(url).headers[NEXT], "0"
        for _ in range(3):
            wire = self.poll(url, place, f"&cursor={cursor}")
            self.reactor.run(self.settings.heartbeat + 1, 1)
            headers = wire.response.headers
            self.assertEqual((wire.response.status, headers[NEXT], headers[NEWEST]), (204, place, "true"))
            self.assertGreater(int(headers[CURSOR]), int(cursor))
            cursor = headers[CURSOR]
        self.assertFalse(self.source.run.cancelled)
        forged = self.poll(url, "-1", f"&cursor={10**30}").response.headers[CURSOR]
        self.assertGreater(int(forged), 10**30)

    def test_end(self) -> None:
        """The end is answered with its messages; a client that has it gets 204 at once."""
        url = self.chat()
        self.write("a")
        wire = self.poll(url, self.page(url).headers[NEXT])
        self.end()
        self.assertEqual((self.types(wire.response), wire.response.headers[CLOSED]), (END, "true"))
        for offset in (wire.response.headers[NEXT], "now"):
            headers = self.poll(url, offset).response.headers
            self.assertEqual((headers[CLOSED], headers[NEWEST], headers.get(CURSOR)), ("true", "true", None))

    def test_left(self) -> None:
        """A client that leaves is no viewer any more."""
        url = self.chat()
        wire = self.poll(url)
        self.assertEqual(self.service.viewers.count, 1)
        wire.close()
        self.assertEqual(self.service.viewers.count, 0)


class FollowTests(DurableTestCase):
    """Readers of events."""

    def test_follow(self) -> None:
        """A follower gets all messages, each batch with its offset, and the end of the response after the last."""
        url = self.chat()
        wire = self.follow(url)
        [first] = self.controls(wire)
        self.assertTrue(first["upToDate"])
        self.assertEqual(wire.response.headers["content-type"], "text/event-stream")
        self.write("a", "b")
        self.end()
        self.assertTrue(wire.response.complete)
        self.assertEqual(self.messages(wire), self.ask(url).json)
        types = [event.type for event in wire.response.events]
        self.assertEqual(types, ["control", *["data", "control"] * ((len(types) - 1) // 2)])
        *others, last = self.controls(wire)
        self.assertEqual((last["streamClosed"], last.get("streamCursor")), (True, None))
        self.assertEqual([each.get("streamClosed") for each in others], [None] * len(others))
        self.assertEqual(last["streamNextOffset"], self.ask(url, method="HEAD").headers[NEXT])

    def test_resume(self) -> None:
        """Whichever offset a follower returns with, it misses nothing, and gets nothing twice."""
        url = self.chat()
        whole = self.follow(url)
        self.write("a", "b", "c")
        self.end()
        seen = []
        for event in whole.response.events:
            if event.type == "data":
                seen += json.loads(event.data)
                continue
            offset = json.loads(event.data)["streamNextOffset"]
            rest = self.follow(url, offset)
            self.assertEqual([*seen, *self.messages(rest)], self.messages(whole))
            self.assertTrue(rest.response.complete)
            self.assertTrue(self.controls(rest)[-1]["streamClosed"])

    def test_now(self) -> None:
        """A follower from now on gets the offset of the end, and what comes."""
        url = self.chat()
        self.write("a")
        wire = self.follow(url, "now")
        self.assertEqual(self.controls(wire)[0]["streamNextOffset"], self.page(url).headers[NEXT])
        self.write("b")
        self.assertEqual([part["delta"] for part in self.messages(wire)], ["b"])
        self.end()
        [only] = self.controls(self.follow(url, "now"))
        self.assertEqual((only["streamClosed"], only["upToDate"]), (True, True))

    def test_cursor(self) -> None:
        """Cursors grow, also beyond one from the future."""
        url = self.chat()
        first = int(self.controls(self.follow(url))[0]["streamCursor"])
        self.reactor.advance(FLUSH_TICK)
        for given in (first, 10**20):
            told = self.controls(self.follow(url, "-1", f"&cursor={given}"))[0]["streamCursor"]
            self.assertGreater(int(told), given)

    def test_viewer(self) -> None:
        """A follower is a viewer: it keeps the run going, gets heartbeats, and is cut when it takes nothing."""
        url = self.chat()
        self.write("a")
        wire = self.follow(url)
        self.reactor.run(self.settings.linger + self.settings.heartbeat + 1, 1)
        self.assertFalse(self.source.run.cancelled)
        self.assertGreater(wire.response.heartbeats, 2)
        wire.stall()
        for _ in range(100):
            self.write("x" * 50_000)
        self.reactor.run(2 * self.settings.stall, 1)
        self.assertEqual(self.service.viewers.count, 0)

    def test_retired(self) -> None:
        """A server that stops ends the response between two batches."""
        url = self.chat()
        wire = self.follow(url)
        self.write("a")
        self.service.viewers.retire()
        self.reactor.advance(0)
        self.assertTrue(wire.response.complete)
        self.assertEqual(wire.response.events[-1].type, "control")
        self.assertNotIn("streamClosed", self.controls(wire)[-1])


class FullTests(DurableTestCase):
    """A server with room for one viewer."""

    settings = Settings(maxViewers=1)

    def test_full(self) -> None:
        """Without room a reader that waits gets 503, and returns; one of pages is served."""
        url = self.chat()
        self.follow(url)
        for full in (self.follow(url), self.poll(url)):
            self.assertEqual((full.response.status, "retry-after" in full.response.headers), (503, True))
        self.assertEqual(self.page(url).status, 200)
