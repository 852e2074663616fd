"""
Tests of the promise (DESIGN.md, section 6), point by point.

There is one small test for each bug that `tests/planted.py` plants, and for those that the model has
found.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from zope.interface import implementer

from sseserver import Settings
from sseserver.errors import StoreUnavailable
from sseserver.formats import EventsFormat
from sseserver.interfaces import IFormat, IRendering, IStreamLog
from sseserver.stores.sqlite import SQLiteStore
from sseserver.values import Kind
from sseserver.wire import Event
from tests.http import EVENTSOURCE, Response
from tests.readers import Connection
from tests.served import ServedTestCase
from tests.wires import Wire, WireReactor

#: Trims early, and has long times for everything else.
SETTINGS = Settings(window=2048, heartbeat=1e6)


class PromiseTestCase(ServedTestCase):
    """
    Tests over HTTP.

    Attributes:
        lost: Whether the SQLite store's disk is full.
        held: Work of the SQLite store's thread that is held back; `None` does it at once.
    """

    settings = SETTINGS

    def setUp(self) -> None:
        """Serve streams in memory."""
        super().setUp()
        self.lost = False
        self.held: list[Any] | None = None

    def serveSQLite(self, path: str = "") -> None:
        """Serve streams in a file instead, the present one or a new one."""
        self.store: Any = SQLiteStore(self.reactor, path or self.mktemp(), self.settings.window, self.inThread)
        self.serve(self.source, self.settings, self.store)

    def inThread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        """Do the work of the SQLite store's thread: at once, later, or with a failure."""
        if self.held is not None:
            done: Deferred[Any] = Deferred()
            self.held.append((done, function, arguments))
            return done
        if self.lost:
            return fail(StoreUnavailable("The disk is full."))
        return maybeDeferred(function, *arguments)

    def letGo(self) -> None:
        """Do the work that was held back."""
        held, self.held = self.held or [], None
        for done, function, arguments in held:
            self.inThread(function, *arguments).chainDeferred(done)
        self.reactor.run(0.1)

    def stop(self) -> None:
        """Stop the service; the SQLite store stops in a later reactor turn."""
        stopped = self.beginStop()
        self.reactor.run(3, 0.5)
        for done in stopped:
            self.successResultOf(done)

    def do(self, method: str, path: str, body: Any = None, **headers: str) -> Wire:
        """Send a request; its answer may come later."""
        sent = {"Content-Type": "application/json", **{name.replace("_", "-"): headers[name] for name in headers}}
        wire = self.connect(self.factory)
        wire.begin(path, method=method, body=b"" if body is None else json.dumps(body).encode("ascii"), headers=sent)
        return wire

    def done(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Send a request and wait for its answer."""
        wire = self.do(method, path, body, **headers)
        self.reactor.run(0.1)
        return wire.response

    def publish(self, *items: Any, path: str = "/streams/a", **headers: str) -> list[str]:
        """Publish tokens, given as strings, and events, given as dictionaries; return their IDs."""
        body = [{"token": item} if isinstance(item, str) else item for item in items]
        response = self.done("POST", path, body, **headers)
        self.assertEqual(response.status, 200, response)
        ids: list[str] = response.json["ids"]
        return ids

    def come(self, lastEventID: str = "", form: str = "events", path: str = "/streams/a") -> Connection:
        """Open a viewer's connection."""
        wire = self.connect(self.factory)
        headers = {"Accept": EVENTSOURCE}
        if lastEventID:
            headers["Last-Event-ID"] = lastEventID
        wire.begin(f"{path}?format={form}", method="GET", headers=headers)
        return Connection(wire, lastEventID)

    def read(self, connection: Connection) -> list[tuple[str, str, str]]:
        """
        Return type, data and the number in the ID of the events so far, without the one that begins
        a response.
        """
        return [brief(event) for event in connection.read() if event.type != "stream"]


def brief(event: Event) -> tuple[str, str, str]:
    """Return an event's type, its data, and the number in its ID."""
    return event.type, event.data, (event.id or "-").split("-")[1]


class ResumeTests(PromiseTestCase):
    """Order, no gap, no repeat."""

    def setUp(self) -> None:
        """Make a stream of five entries."""
        super().setUp()
        self.done("PUT", "/streams/a")
        self.ids = self.publish("one", " two", {"event": "note", "data": "three"}, " four", " five")

    def test_goesOnBehindTheLastID(self) -> None:
        """
        A viewer that returns gets the entry after its last event ID first, and each later entry
        once.
        """
        for place, expected in enumerate(
            (
                [("message", " two", "2"), ("note", "three", "3"), ("message", " four five", "5")],
                [("note", "three", "3"), ("message", " four five", "5")],
                [("message", " four five", "5")],
                [("message", " five", "5")],
                [],
            )
        ):
            self.assertEqual(self.read(self.come(self.ids[place])), expected)

    def test_everyEventHasItsID(self) -> None:
        """
        In every format each event has an ID that is higher than the one before, so the place of a
        viewer that is cut is known.
        """
        viewers = [self.come(form=form) for form in ("events", "text")]
        for item in ("x", {"event": "note", "data": ""}, "\n", {"event": "message", "data": "m"}):
            self.publish(item)
        self.publish("end", Stream_Closed="true")
        for viewer in viewers:
            blocks = viewer.response.body.split(b"\n\n") if viewer.response else []
            numbers = []
            for block in [block for block in blocks if b"data:" in block]:
                (line,) = [line for line in block.split(b"\n") if line.startswith(b"id: ")]
                numbers.append(int(line.rpartition(b"-")[2]))
            self.assertEqual(numbers, sorted(set(numbers)))
            self.assertEqual(numbers[-1], 11)

    def test_joinedEventHasTheLastID(self) -> None:
        """
        Tokens joined into one event have the ID of the last of them: a viewer that returns with it
        gets none of them again.
        """
        viewer = self.come(self.ids[2])
        self.assertEqual(self.read(viewer), [("message", " four five", "5")])
        self.assertEqual(self.read(self.come(viewer.lastEventID)), [])

    def test_writtenWhileTheViewerBegins(self) -> None:
        """
        A token written at the moment when a new viewer has read everything reaches that viewer.
        """
        self.service.formats["late"] = form = LateFormat()
        self.done("PUT", "/streams/b")
        viewer = self.come(form="late", path="/streams/b")
        self.assertEqual(form.written, 1)
        self.assertEqual(self.read(viewer), [("message", "late", "1")])

    def test_terminalOnce(self) -> None:
        """
        A viewer that follows a stream to its end gets one terminal event and nothing after it. When
        it returns it gets 204.
        """
        live, paused = self.come(), self.come()
        paused.wire.stall()
        self.publish(" end", Stream_Closed="true")
        paused.wire.take()
        for viewer in (live, paused, self.come(), self.come(self.ids[4])):
            events = self.read(viewer)
            self.assertEqual([event for event in events if event[0] == "done"], events[-1:])
            assert viewer.response
            self.assertTrue(viewer.response.complete)
            again = self.come(viewer.lastEventID)
            assert again.response
            self.assertEqual(again.response.status, 204)

    def test_stoppedWithinAFlushTick(self) -> None:
        """
        A service that is stopped within a flush tick, and restarted with the same store in memory,
        wakes its later viewers.
        """
        self.come()
        for text in ("x", "y"):
            self.do("POST", "/streams/a", {"token": text})
        stopped = self.service.stopService()
        self.reactor.run(0.1)
        self.successResultOf(stopped)
        self.service.startService()
        viewer = self.come(self.ids[4])
        self.publish("z")
        self.assertEqual(self.read(viewer), [("message", "xy", "7"), ("message", "z", "8")])

    def test_onlyTheThreeLineEnds(self) -> None:
        """
        U+2028, U+0085, VT, FF and the separators FS, GS, RS are no line ends: they arrive
        unchanged.
        """
        text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"
        self.publish(text, {"event": "note", "data": text})
        self.assertEqual([data for _, data, _ in self.read(self.come(self.ids[4]))], [text, text])


class GapTests(PromiseTestCase):
    """Never silent."""

    def setUp(self) -> None:
        """Make a stream whose first entries are trimmed."""
        super().setUp()
        self.done("PUT", "/streams/a")
        self.ids = [self.publish(f"{number:03} " * 20)[0] for number in range(30)]
        state = self.done("GET", "/streams/a", Accept="application/json").json
        self.first = state["first"]
        self.assertGreater(self.first, 2)

    def gap(self, lastEventID: str) -> Event:
        """Return with an ID, and return the gap with which the response must begin."""
        first, second, third = self.come(lastEventID).read()
        self.assertEqual((first.type, second.type, second.id), ("gap", "stream", first.id))
        self.assertEqual(third.id, self.ids[-1])
        return first

    def test_foreignEpoch(self) -> None:
        """
        An ID of another epoch is `lost`, whatever its number: everything that is kept follows.
        """
        for number in (0, 1, self.first, len(self.ids), 10**18):
            asked = f"{'A' * 22}-{number}"
            told = json.loads(self.gap(asked).data)
            self.assertEqual(told, {"after": asked, "from": self.ids[self.first - 1], "missed": None, "reason": "lost"})

    def test_trimmed(self) -> None:
        """The gap after an ID below the entries kept has the number of missing entries."""
        told = json.loads(self.gap(self.ids[0]).data)
        expected = {
            "after": self.ids[0],
            "from": self.ids[self.first - 1],
            "missed": self.first - 2,
            "reason": "trimmed",
        }
        self.assertEqual(told, expected)

    def test_itsOwnID(self) -> None:
        """
        The ID of a gap is the place before the first entry kept: a viewer that returns with it gets
        that entry and no gap.
        """
        gap = self.gap(self.ids[0])
        self.assertEqual(gap.id, self.ids[self.first - 2])
        events = self.read(self.come(gap.id or ""))
        self.assertEqual([event[0] for event in events], ["message"])
        self.assertTrue(events[0][1].startswith(f"{self.first - 1:03} "))

    def test_textThatIsNotWhole(self) -> None:
        """
        In the format `text`, a viewer of a stream whose beginning is trimmed gets a gap and the
        end. When it returns it gets 204.
        """
        self.assertTold(self.come("", "text"))

    def test_textThatWasWhole(self) -> None:
        """A viewer that has the whole text gets the gap when more text comes, and not before."""
        viewer = self.come(self.ids[-1], "text")
        self.assertEqual([event for event in viewer.read() if event.data], [])
        self.publish("more")
        self.assertTold(viewer)

    def test_textThatHasEnded(self) -> None:
        """If no more text comes it gets 204, as if nothing were trimmed."""
        self.done("POST", "/streams/a", [{"token": "end"}], **{"Stream-Closed": "true"})
        last = self.done("GET", "/streams/a", Accept="application/json").json["last"]
        epoch = self.ids[-1].split("-")[0]
        again = self.come(f"{epoch}-{last}", "text")
        assert again.response
        self.assertEqual(again.response.status, 204)

    def assertTold(self, viewer: Connection) -> None:
        """Check that a viewer got a gap and the end."""
        self.assertEqual([event.type for event in viewer.read() if event.data], ["gap", "failed"])
        again = self.come(viewer.lastEventID, "text")
        assert again.response
        self.assertEqual(again.response.status, 204)

    def test_halfALineEndTrimmed(self) -> None:
        """
        A CR that was trimmed is the first half of the CR LF that the first entry kept completes,
        for a viewer that has the CR.
        """
        self.done("PUT", "/streams/b")
        first = self.publish("x" * 1000 + "\r", path="/streams/b")
        self.publish("\n" + "y" * 1900, path="/streams/b")
        self.assertEqual(self.read(self.come(first[0], path="/streams/b")), [("message", "y" * 1900, "2")])


class PublishTests(PromiseTestCase):
    """A publish answered 2xx is in the log, once. A refused one is not."""

    def setUp(self) -> None:
        """Serve a stream in a file."""
        super().setUp()
        self.serveSQLite()
        self.done("PUT", "/streams/a")

    def tearDown(self) -> None:
        """Flush the errors about the store's full disk."""
        self.lost = False
        self.letGo()
        super().tearDown()
        self.flushLoggedErrors(StoreUnavailable)

    def texts(self) -> list[tuple[str, str, str]]:
        """Return the texts that a new viewer gets."""
        return self.read(self.come())

    def test_refusedIsNotThere(self) -> None:
        """
        A publish that is refused because the store is unavailable leaves nothing: the next one has
        the next ID.
        """
        self.publish("one")
        self.lost = True
        self.assertEqual(self.done("POST", "/streams/a", [{"token": "lost"}, {"token": "too"}]).status, 503)
        self.lost = False
        # The store tries again after a second.
        self.reactor.run(1, 0.25)
        (after,) = self.publish(" two")
        self.assertTrue(after.endswith("-2"), after)
        self.assertEqual(self.texts(), [("message", "one two", "2")])

    def test_sameKeySameAnswer(self) -> None:
        """
        A publish repeated with its key gets the same IDs and is not doubled. The key with another
        body is refused.
        """
        ids = self.publish("one", Idempotency_Key="k")
        self.assertEqual(self.publish("one", Idempotency_Key="k"), ids)
        self.assertEqual(self.done("POST", "/streams/a", [{"token": "x"}], Idempotency_Key="k").status, 422)
        self.assertEqual(self.texts(), [("message", "one", "1")])

    def test_keyOfARunThatIsBeingMade(self) -> None:
        """
        A run that is requested twice with one key, before the store has its stream, is started
        once.
        """
        wires = [self.do("POST", "/streams", {}, Idempotency_Key="k") for _ in range(2)]
        self.reactor.run(0.1)
        first, second = (wire.response.json for wire in wires)
        self.assertEqual(first, second)
        self.assertEqual(len(self.source.runs), 1)

    def test_keyOfADeletedRun(self) -> None:
        """The key of a run whose stream was deleted starts another run."""
        first = self.done("POST", "/streams", {}, Idempotency_Key="k").json["url"]
        self.assertEqual(self.done("DELETE", first).status, 204)
        second = self.done("POST", "/streams", {}, Idempotency_Key="k").json["url"]
        self.assertNotEqual(first, second)
        self.assertEqual(self.done("GET", second, Accept="application/json").status, 200)

    def test_deletedWhileItIsWritten(self) -> None:
        """
        A stream that is deleted while a publish is being stored ends `cancelled` for its viewers,
        and the publish is answered.
        """
        viewer = self.come()
        wire = self.do("POST", "/streams/a", [{"token": "one"}, {"token": "two"}])
        deleted = self.do("DELETE", "/streams/a")
        self.reactor.run(0.1)
        self.assertEqual(deleted.response.status, 204)
        self.assertIn(wire.response.status, {200, 404})
        self.assertEqual(self.read(viewer)[-1][:2], ("cancelled", '{"reason":"deleted"}'))

    def test_deletedInVain(self) -> None:
        """
        When the disk refuses a deletion and the process ends before the next attempt, the stream is
        there as before: no viewer has seen an end, or an entry whose ID now stands for another.
        """
        viewer = self.come()
        self.publish("one")
        self.lost = True
        refused = self.do("POST", "/streams/a", [{"token": "two"}])
        self.do("DELETE", "/streams/a")
        self.reactor.run(0.1)
        seen = {event.id: brief(event) for event in viewer.read() if event.type != "stream"}
        answered = refused.response.status
        # The process ends.
        self.services.clear()
        self.store.persistence.database.abandon()
        self.reactor = WireReactor()
        self.lost = False
        self.serveSQLite(self.store.persistence.path)
        self.assertEqual(self.done("PUT", "/streams/a").status, 200)
        (after,) = self.publish("after")
        self.assertNotIn(after, seen, f"it was {seen.get(after)}; the publish before was answered {answered}")

    def test_runDeletedInVain(self) -> None:
        """
        When the disk refuses the deletion of a run, the run is stopped and its stream is there as
        before. It is kept for its time from its end, however long the disk stays full.
        """
        path = self.done("POST", "/streams", {}).json["url"]
        viewer = self.come(path=path)
        self.lost = True
        self.assertEqual(self.done("DELETE", path).status, 503)
        self.assertTrue(self.source.run.cancelled)
        self.reactor.run(2 * self.settings.keep, 10)
        self.assertEqual(self.done("GET", path, Accept="application/json").json["state"], "open")
        self.lost = False
        self.reactor.run(self.settings.keep - 10, 10)
        self.assertEqual(self.read(viewer), [("cancelled", '{"reason":"asked"}', "1")])
        self.assertEqual(self.done("GET", path, Accept="application/json").json["state"], "cancelled")
        self.reactor.run(30, 10)
        self.assertEqual(self.done("GET", path, Accept="application/json").status, 404)

    def test_cancelledTwiceAtOnce(self) -> None:
        """
        A second request to cancel, while the end is being stored, gets the same answer as the
        first.
        """
        wires = [self.do("POST", "/streams/a/cancel") for _ in range(2)]
        self.reactor.run(0.1)
        self.assertEqual([wire.response.status for wire in wires], [200, 200])
        self.assertEqual([wire.response.json["state"] for wire in wires], ["cancelled", "cancelled"])

    def test_runDeletedWhileItWrites(self) -> None:
        """
        Tokens that a source writes while its stream is being deleted are dropped without an error.
        """
        path = self.done("POST", "/streams", {}).json["url"]
        deleted = self.do("DELETE", path)
        self.source.run.write("too late")
        self.reactor.run(0.1)
        self.assertEqual(deleted.response.status, 204)
        self.assertTrue(self.source.run.cancelled)

    def test_textPlainIsOnlyWhatIsStored(self) -> None:
        """The text so far has nothing that the store may still refuse."""
        self.publish("one")
        self.held = []
        self.do("POST", "/streams/a", [{"token": " two"}])
        self.reactor.run(0.1)
        self.assertEqual(self.done("GET", "/streams/a", Accept="text/plain").body, b"one")
        self.letGo()
        self.assertEqual(self.done("GET", "/streams/a", Accept="text/plain").body, b"one two")

    def test_lingerOfNothing(self) -> None:
        """
        With a linger of 0, a run whose only viewer leaves because the stream was deleted stops
        without an error, and the response is complete.
        """
        self.serve(self.source, Settings(linger=0))
        path = self.done("POST", "/streams", {}).json["url"]
        viewer = self.come(path=path)
        self.assertEqual(self.done("DELETE", path).status, 204)
        self.assertEqual(self.read(viewer)[-1][:2], ("cancelled", '{"reason":"deleted"}'))
        assert viewer.response
        self.assertTrue(viewer.response.complete)

    def test_openedAgainWithoutRoom(self) -> None:
        """PUT of an existing stream needs no room: it is answered 200 even if the store is full."""
        self.serve(self.source, Settings(maxStreams=1))
        self.assertEqual(self.done("PUT", "/streams/b").status, 201)
        self.assertEqual(self.done("PUT", "/streams/b").status, 200)


@implementer(IFormat)
class LateFormat:
    """
    The format `events`; a source writes at the moment when a viewer has read everything for the
    first time.
    """

    name = "late"
    headers = ()
    reconnects = True

    def __init__(self) -> None:
        self.written = 0

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See `IFormat.render`."""
        rendering: Any = EventsFormat().render(streamLog)

        class Late(type(rendering)):  # type: ignore[misc]
            """A rendering that writes when it is asked whether the stream is complete."""

            def complete(rendered, cursor: int) -> bool:
                complete: bool = super().complete(cursor)
                if not self.written:
                    self.written += 1
                    streamLog.append(Kind.TOKEN, b"late")
                return complete

        return Late(streamLog)  # type: ignore[no-any-return]
