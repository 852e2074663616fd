"""
The promise of DESIGN.md 6, point by point: one small test for each bug that
`tests/planted.py` plants, and for those that the model has found.
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

#: Trims early; waits long for everything else.
SETTINGS = Settings(window=2048, heartbeat=1e6)


class PromiseTestCase(ServedTestCase):
    """
    Tests over HTTP.

    Attributes:
        lost: Whether the SQLite store's disk is full.
        held: What the SQLite store's thread has been asked and has not done; C{None}: it does all at once.
    """

    settings = SETTINGS

    def setUp(self) -> None:
        """Serve streams in memory."""
        super().setUp()
        self.lost = False
        self.held: list[Any] | None = None

    def serveSQLite(self, path: str = "") -> None:
        """Serve streams in a file instead; in this one, or in a new one."""
        self.store: Any = SQLiteStore(self.reactor, path or self.mktemp(), self.settings.window, self.inThread)
        self.serve(self.source, self.settings, self.store)

    def inThread(self, function: Any, *arguments: Any) -> Deferred[Any]:
        """Do what the SQLite store wants done in its thread: now, later, or not at all."""
        if self.held is not None:
            done: Deferred[Any] = Deferred()
            self.held.append((done, function, arguments))
            return done
        if self.lost:
            return fail(StoreUnavailable("The disk is full."))
        return maybeDeferred(function, *arguments)

    def letGo(self) -> None:
        """The store's thread does what it was asked."""
        held, self.held = self.held or [], None
        for done, function, arguments in held:
            self.inThread(function, *arguments).chainDeferred(done)
        self.reactor.run(0.1)

    def stop(self) -> None:
        """The SQLite store stops in a later turn of the reactor."""
        stopped = [service.stopService() for service in self.services]
        self.reactor.run(3, 0.5)
        for done in stopped:
            self.successResultOf(done)

    def do(self, method: str, path: str, body: Any = None, **headers: str) -> Wire:
        """Make a request, whose answer may come later."""
        sent = {"Content-Type": "application/json", **{name.replace("_", "-"): headers[name] for name in headers}}
        wire = self.connect(self.factory)
        wire.begin(path, method=method, body=b"" if body is None else json.dumps(body).encode("ascii"), headers=sent)
        return wire

    def done(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Make a request, and let its answer come."""
        wire = self.do(method, path, body, **headers)
        self.reactor.run(0.1)
        return wire.response

    def publish(self, *items: Any, path: str = "/streams/a", **headers: str) -> list[str]:
        """Publish tokens, which are strings, and events, which are dictionaries; give their IDs."""
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
        """Give type, data and number of the ID of what has come; without the event that begins a response."""
        return [brief(event) for event in connection.read() if event.type != "stream"]


def brief(event: Event) -> tuple[str, str, str]:
    """Give an event's type, its data, and the number of its ID."""
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
        A viewer that comes back gets the entry after its last event ID first,
        and each one after it once.
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
        In all formats every event carries an ID, each higher than the one
        before: what a viewer has when it is cut is known.
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
        Tokens joined into one event have the ID of the last of them: a viewer
        that comes back with it gets none of them again.
        """
        viewer = self.come(self.ids[2])
        self.assertEqual(self.read(viewer), [("message", " four five", "5")])
        self.assertEqual(self.read(self.come(viewer.lastEventID)), [])

    def test_writtenWhileTheViewerBegins(self) -> None:
        """
        What a source writes in the very moment in which a new viewer has read
        all that there was, reaches that viewer.
        """
        self.service.formats["late"] = form = LateFormat()
        self.done("PUT", "/streams/b")
        viewer = self.come(form="late", path="/streams/b")
        self.assertEqual(form.written, 1)
        self.assertEqual(self.read(viewer), [("message", "late", "1")])

    def test_terminalOnce(self) -> None:
        """
        Whoever follows a stream to its end gets one terminal event, and
        nothing after it; who comes back then is answered 204.
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
        A service that is stopped just after two entries, and started again
        with the same store in memory, wakes the viewers that come then.
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
        U+2028, U+0085, VT, FF and the separators FS, GS, RS are no line ends:
        they arrive as they are.
        """
        text = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"
        self.publish(text, {"event": "note", "data": text})
        self.assertEqual([data for _, data, _ in self.read(self.come(self.ids[4]))], [text, text])


class GapTests(PromiseTestCase):
    """Never silent."""

    def setUp(self) -> None:
        """Make a stream, of which the first entries are trimmed."""
        super().setUp()
        self.done("PUT", "/streams/a")
        self.ids = [self.publish(f"{number:03} " * 20)[0] for number in range(30)]
        state = self.done("GET", "/streams/a", Accept="application/json").json
        self.first = state["first"]
        self.assertGreater(self.first, 2)

    def gap(self, lastEventID: str) -> Event:
        """Come with an ID; give the gap with which the response must begin."""
        first, second, third = self.come(lastEventID).read()
        self.assertEqual((first.type, second.type, second.id), ("gap", "stream", first.id))
        self.assertEqual(third.id, self.ids[-1])
        return first

    def test_foreignEpoch(self) -> None:
        """
        An ID of another epoch is not continued, whatever its number: `lost`,
        and everything that is kept follows.
        """
        for number in (0, 1, self.first, len(self.ids), 10**18):
            asked = f"{'A' * 22}-{number}"
            told = json.loads(self.gap(asked).data)
            self.assertEqual(told, {"after": asked, "from": self.ids[self.first - 1], "missed": None, "reason": "lost"})

    def test_trimmed(self) -> None:
        """
        An ID below what is kept is told how many entries are missing.
        """
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
        The ID of a gap is the one just before what follows: who comes back
        with it gets the first entry kept, and is told of no gap.
        """
        gap = self.gap(self.ids[0])
        self.assertEqual(gap.id, self.ids[self.first - 2])
        events = self.read(self.come(gap.id or ""))
        self.assertEqual([event[0] for event in events], ["message"])
        self.assertTrue(events[0][1].startswith(f"{self.first - 1:03} "))

    def test_textThatIsNotWhole(self) -> None:
        """
        In the format `text`, whoever comes when the beginning is trimmed is
        told so, and then that it is over; who has been told gets 204.
        """
        self.assertTold(self.come("", "text"))

    def test_textThatWasWhole(self) -> None:
        """
        Who has all of it is told only when more comes: there is nothing that
        the others have and it has not.
        """
        viewer = self.come(self.ids[-1], "text")
        self.assertEqual([event for event in viewer.read() if event.data], [])
        self.publish("more")
        self.assertTold(viewer)

    def test_textThatHasEnded(self) -> None:
        """
        When that was all it gets 204, as it would have if nothing were trimmed.
        """
        self.done("POST", "/streams/a", [{"token": "end"}], **{"Stream-Closed": "true"})
        last = self.done("GET", "/streams/a", Accept="application/json").json["last"]
        epoch = self.ids[-1].split("-")[0]
        again = self.come(f"{epoch}-{last}", "text")
        assert again.response
        self.assertEqual(again.response.status, 204)

    def assertTold(self, viewer: Connection) -> None:
        """It is told of a gap, and that it is over."""
        self.assertEqual([event.type for event in viewer.read() if event.data], ["gap", "failed"])
        again = self.come(viewer.lastEventID, "text")
        assert again.response
        self.assertEqual(again.response.status, 204)

    def test_halfALineEndTrimmed(self) -> None:
        """
        A CR that was trimmed is still the first half of the CR LF whose second
        half begins the first entry kept, for a viewer that has it.
        """
        self.done("PUT", "/streams/b")
        first = self.publish("x" * 1000 + "\r", path="/streams/b")
        self.publish("\n" + "y" * 1900, path="/streams/b")
        self.assertEqual(self.read(self.come(first[0], path="/streams/b")), [("message", "y" * 1900, "2")])


class PublishTests(PromiseTestCase):
    """A publish answered 2xx is in the log, once; a refused one is not."""

    def setUp(self) -> None:
        """Serve a stream in a file."""
        super().setUp()
        self.serveSQLite()
        self.done("PUT", "/streams/a")

    def tearDown(self) -> None:
        """What the store says of its lost disk is expected."""
        self.lost = False
        self.letGo()
        super().tearDown()
        self.flushLoggedErrors(StoreUnavailable)

    def texts(self) -> list[tuple[str, str, str]]:
        """Read what a new viewer gets."""
        return self.read(self.come())

    def test_refusedIsNotThere(self) -> None:
        """
        A publish that is refused because the store is away leaves nothing: the
        next one follows the entries before it, with the next ID.
        """
        self.publish("one")
        self.lost = True
        self.assertEqual(self.done("POST", "/streams/a", [{"token": "lost"}, {"token": "too"}]).status, 503)
        self.lost = False
        # It tries again after a second.
        self.reactor.run(1, 0.25)
        (after,) = self.publish(" two")
        self.assertTrue(after.endswith("-2"), after)
        self.assertEqual(self.texts(), [("message", "one two", "2")])

    def test_sameKeySameAnswer(self) -> None:
        """
        A publish that is repeated with its key is answered with the same IDs,
        and not doubled; the key with another body is refused.
        """
        ids = self.publish("one", Idempotency_Key="k")
        self.assertEqual(self.publish("one", Idempotency_Key="k"), ids)
        self.assertEqual(self.done("POST", "/streams/a", [{"token": "x"}], Idempotency_Key="k").status, 422)
        self.assertEqual(self.texts(), [("message", "one", "1")])

    def test_keyOfARunThatIsBeingMade(self) -> None:
        """
        A run that is asked for twice with one key, before the store has made
        its stream, is started once.
        """
        wires = [self.do("POST", "/streams", {}, Idempotency_Key="k") for _ in range(2)]
        self.reactor.run(0.1)
        first, second = (wire.response.json for wire in wires)
        self.assertEqual(first, second)
        self.assertEqual(len(self.source.runs), 1)

    def test_keyOfADeletedRun(self) -> None:
        """
        The key of a run whose stream was deleted starts another run.
        """
        first = self.done("POST", "/streams", {}, Idempotency_Key="k").json["url"]
        self.assertEqual(self.done("DELETE", first).status, 204)
        second = self.done("POST", "/streams", {}, Idempotency_Key="k").json["url"]
        self.assertNotEqual(first, second)
        self.assertEqual(self.done("GET", second, Accept="application/json").status, 200)

    def test_deletedWhileItIsWritten(self) -> None:
        """
        A stream that is deleted while a publish is being stored ends
        `cancelled` for its viewers, and the publish is answered.
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
        When the disk refuses a deletion, and the process ends before it is
        tried again, the stream is there as before: nobody has seen an end of
        it, or an entry, whose ID now stands for something else.
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
        When the disk refuses the deletion of a run, the run is stopped and its stream there as before. It is kept as
        long as others from when it has its end: however long the disk stays full, nobody is told that it is gone.
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
        Who cancels a stream while its end is still being stored gets the same
        answer as who asked first.
        """
        wires = [self.do("POST", "/streams/a/cancel") for _ in range(2)]
        self.reactor.run(0.1)
        self.assertEqual([wire.response.status for wire in wires], [200, 200])
        self.assertEqual([wire.response.json["state"] for wire in wires], ["cancelled", "cancelled"])

    def test_runDeletedWhileItWrites(self) -> None:
        """
        A source that writes on while its stream is being deleted is not hurt:
        what it writes is dropped.
        """
        path = self.done("POST", "/streams", {}).json["url"]
        deleted = self.do("DELETE", path)
        self.source.run.write("too late")
        self.reactor.run(0.1)
        self.assertEqual(deleted.response.status, 204)
        self.assertTrue(self.source.run.cancelled)

    def test_textPlainIsOnlyWhatIsStored(self) -> None:
        """
        The text so far holds nothing that the store may still refuse.
        """
        self.publish("one")
        self.held = []
        self.do("POST", "/streams/a", [{"token": " two"}])
        self.reactor.run(0.1)
        self.assertEqual(self.done("GET", "/streams/a", Accept="text/plain").body, b"one")
        self.letGo()
        self.assertEqual(self.done("GET", "/streams/a", Accept="text/plain").body, b"one two")

    def test_lingerOfNothing(self) -> None:
        """
        A run with a linger of 0 whose only viewer goes because the stream was
        deleted, is stopped without a noise, and the response is whole.
        """
        self.serve(self.source, Settings(linger=0))
        path = self.done("POST", "/streams", {}).json["url"]
        viewer = self.come(path=path)
        self.assertEqual(self.done("DELETE", path).status, 204)
        self.assertEqual(self.read(viewer)[-1][:2], ("cancelled", '{"reason":"deleted"}'))
        assert viewer.response
        self.assertTrue(viewer.response.complete)

    def test_openedAgainWithoutRoom(self) -> None:
        """
        PUT for a stream that is there takes no more room: it is answered 200
        also when there is none.
        """
        self.serve(self.source, Settings(maxStreams=1))
        self.assertEqual(self.done("PUT", "/streams/b").status, 201)
        self.assertEqual(self.done("PUT", "/streams/b").status, 200)


@implementer(IFormat)
class LateFormat:
    """`events`, but a source writes just when a viewer has found that there is no more, for the first time."""

    name = "late"
    headers = ()
    reconnects = True

    def __init__(self) -> None:
        self.written = 0

    def render(self, streamLog: IStreamLog) -> IRendering:
        """See L{IFormat.render}."""
        rendering: Any = EventsFormat().render(streamLog)

        class Late(type(rendering)):  # type: ignore[misc]
            """Writes when it is asked whether all has come."""

            def complete(rendered, cursor: int) -> bool:
                complete: bool = super().complete(cursor)
                if not self.written:
                    self.written += 1
                    streamLog.append(Kind.TOKEN, b"late")
                return complete

        return Late(streamLog)  # type: ignore[no-any-return]
