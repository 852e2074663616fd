"""
Tests of publishing and runs while the store is writing, and when it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.settings import Settings
from sseserver.stores.sqlite import SQLiteStore
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import measureStream
from sseserver.streams.followed import FLUSH_TICK
from sseserver.web.accept import JSON, PLAIN_TEXT
from tests.apis.cases import PublishingTestCase, listEvents
from tests.fakes import logged
from tests.wires import Wire


class Thread:
    """The thread of a store, which works on demand."""

    def __init__(self) -> None:
        self.held = False
        self.full = False
        self._waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """See `SQLiteStore`: call a function in the thread."""
        result: Deferred[Any] = Deferred()
        self._waiting.append((result, function, arguments))
        if not self.held:
            self.work()
        return result

    def work(self) -> None:
        """Make the calls that are waiting."""
        waiting, self._waiting = self._waiting, []
        for result, function, arguments in waiting:
            if self.full and function.__name__ == "commit":
                result.errback(Failure(StoreUnavailable("The disk is full.")))
                continue
            try:
                value = function(*arguments)
            except Exception:
                result.errback(Failure())
            else:
                result.callback(value)


class SlowStoreTests(PublishingTestCase):
    """A store that is still writing, and one that cannot write."""

    def setUp(self) -> None:
        super().setUp()
        super().stop()
        self.thread = Thread()
        self.serveSlowly(self.settings)
        self.addCleanup(self.flushLoggedErrors)

    def serveSlowly(self, settings: Settings) -> None:
        """Serve from an SQLite file, which the thread writes."""
        self.store = SQLiteStore(self.reactor, self.mktemp(), settings.window, self.thread)
        self.serve(self.source, settings, self.store)

    def stop(self) -> None:
        self.thread.held = self.thread.full = False
        self.thread.work()
        self.reactor.advance(2)
        stopped = self.beginStop()
        for _ in range(5):
            self.reactor.advance(FLUSH_TICK)
        for each in stopped:
            self.successResultOf(each)

    def begin(self, path: str, **keywords: Any) -> Wire:
        """Make a request that may have to wait for its answer."""
        wire = self.connect(self.factory)
        wire.begin(path, **keywords)
        self.reactor.advance(0)
        return wire

    def open(self, name: str) -> str:
        """Open a stream; return its epoch."""
        return str(self.begin(f"/streams/{name}", method="PUT").response.json["epoch"])

    def send(self, name: str, body: bytes, key: str | None = None, closed: bool = False) -> Wire:
        """Publish in JSON."""
        headers = {"Content-Type": JSON, "Stream-Closed": "true" if closed else "false"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.begin(f"/streams/{name}", method="POST", body=body, headers=headers)

    def go(self) -> None:
        """Let the thread finish its work."""
        self.thread.held = False
        self.thread.work()
        self.reactor.advance(FLUSH_TICK)
        self.reactor.advance(FLUSH_TICK)

    def test_visibleWhenStored(self) -> None:
        """
        Publisher, viewers and readers of the state see an entry when the store has it, and not
        before.
        """
        epoch = self.open("a")
        viewer = self.view("/streams/a")
        self.thread.held = True
        wire = self.send("a", b'{"token":"x"}')
        self.assertEqual((wire.received, listEvents(viewer)), (b"", []))
        self.assertEqual(self.ask("/streams/a", JSON).json["last"], 0)
        self.go()
        self.assertEqual(wire.response.json["ids"], [f"{epoch}-1"])
        self.assertEqual(listEvents(viewer), [("message", "x")])

    def test_textWhenStored(self) -> None:
        """The text so far has stored tokens only: a crash cannot take them back."""
        self.open("a")
        self.send("a", b'{"token":"x"}')
        self.thread.held = True
        self.send("a", b'{"token":"y"}')
        self.assertEqual(self.ask("/streams/a", PLAIN_TEXT).body, b"x")
        self.go()
        self.assertEqual(self.ask("/streams/a", PLAIN_TEXT).body, b"xy")

    def test_oneKeyTwice(self) -> None:
        """
        A retry that arrives before the store has answered gets the same answer, and doubles
        nothing.
        """
        self.open("a")
        self.thread.held = True
        wires = [self.send("a", b'{"token":"x"}', "k", closed=True) for _ in range(3)]
        other = self.send("a", b'{"token":"y"}', "k")
        self.go()
        self.assertEqual(len({wire.response.body for wire in wires}), 1)
        self.assertError(other.response, 422, "idempotency_key_reused")
        self.assertEqual([name for name, _ in self.read("a")], ["message", "done"])

    def test_oneRunForOneKey(self) -> None:
        """
        Two requests with one key start one run, also if the second arrives before the store has the
        first.
        """
        self.thread.held = True
        wires = [self.begin("/streams", method="POST", body=b"{}", headers={"Idempotency-Key": "k"}) for _ in range(2)]
        self.go()
        self.assertEqual(len(self.source.runs), 1)
        self.assertEqual(wires[0].response.json, wires[1].response.json)

    def test_full(self) -> None:
        """
        If the disk is full a publish is answered 503 and is not stored. Viewers stay, and a retry
        with the same key succeeds later.
        """
        self.open("a")
        viewer = self.view("/streams/a")
        self.thread.full = True
        refused = self.send("a", b'[{"token":"x"},{"token":"y"}]', "k")
        self.assertEqual((refused.response.status, refused.response.error["code"]), (503, "store_unavailable"))
        self.assertIn("retry-after", refused.response.headers)
        closing = self.send("a", b"", closed=True)
        new = self.begin("/streams/b", method="PUT")
        # The store retries at intervals.
        self.reactor.run(2)
        self.assertEqual((closing.response.status, new.response.status), (503, 503))
        self.assertEqual((listEvents(viewer), viewer.response.complete), ([], False))
        state = self.state("/streams/a")
        self.assertEqual((state["last"], state["bytes"], state["state"]), (0, 0, "open"))
        self.thread.full = False
        self.reactor.run(2)
        again = self.send("a", b'[{"token":"x"},{"token":"y"}]', "k")
        self.assertEqual(again.response.status, 200)
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual("".join(data for _, data in listEvents(viewer)), "xy")
        self.assertEqual(self.begin("/streams/b", method="PUT").response.status, 201)

    def test_runIsKept(self) -> None:
        """The tokens of a run are kept while the disk is full, and appear when there is room."""
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        self.source.run.write("a")
        self.reactor.run(1)
        self.thread.full = True
        self.source.run.write("b")
        self.source.run.end()
        self.reactor.run(3)
        self.assertEqual(listEvents(viewer), [("message", "a")])
        self.thread.full = False
        self.reactor.run(3)
        self.assertEqual([data for name, data in listEvents(viewer) if name == "message"], ["a", "b"])
        self.assertEqual(listEvents(viewer)[-1][0], "done")

    def test_deletedWhileItRuns(self) -> None:
        """A source that writes while its stream is being deleted gets no error, and is stopped."""
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        self.thread.held = True
        deleting = self.begin(path, method="DELETE")
        self.source.run.write("late")
        self.reactor.advance(FLUSH_TICK)
        self.go()
        self.assertEqual(deleting.response.status, 204)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(listEvents(viewer), [("cancelled", '{"reason":"deleted"}')])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_endsWhileItIsDeleted(self) -> None:
        """
        A source that ends while its stream is being deleted gets no error, and its place is free
        for the next run.
        """
        self.serveSlowly(Settings(maxRuns=1))
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        self.thread.held = True
        self.begin(path, method="DELETE")
        with logged() as events:
            if not self.source.run.done.called:
                self.source.run.end()
            self.go()
        self.assertEqual([event for event in events if "log_failure" in event], [])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.begin("/streams", method="POST", body=b"")
        self.assertEqual(len(self.source.runs), 2)

    def test_nameOfADeletedOne(self) -> None:
        """The name of a deleted stream is free at once, before the store has deleted it."""
        epoch = self.open("a")
        self.thread.held = True
        deleting = self.begin("/streams/a", method="DELETE")
        making = self.begin("/streams/a", method="PUT")
        self.go()
        self.assertEqual((deleting.response.status, making.response.status), (204, 201))
        self.assertNotEqual(making.response.json["epoch"], epoch)

    def test_roomOfAFinishedOne(self) -> None:
        """An ended stream makes room at once, before the store has deleted it."""
        self.serveSlowly(Settings(maxStreams=1))
        self.open("a")
        self.send("a", b"", closed=True)
        self.reactor.run(1)
        self.thread.held = True
        making = self.begin("/streams/b", method="PUT")
        self.go()
        self.assertEqual(making.response.status, 201)
        self.assertEqual(self.begin("/streams/a", method="GET").response.status, 404)

    def test_cancelledTwice(self) -> None:
        """Cancelling is idempotent, also while the store writes the end."""
        self.open("a")
        self.thread.held = True
        wires = [self.begin("/streams/a/cancel", method="POST", body=b"") for _ in range(2)]
        self.go()
        self.assertEqual([wire.response.status for wire in wires], [200, 200])
        self.assertEqual([wire.response.json["state"] for wire in wires], ["cancelled"] * 2)

    def test_stoppedWhileItRuns(self) -> None:
        """When the service stops, the end of a run is stored, and no timer is left."""
        super().stop()
        self.serveSlowly(replace(self.settings, drain=0))
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        stopped = self.service.stopService()
        self.reactor.pump([FLUSH_TICK] * 5)
        self.successResultOf(stopped)
        # Idle connections have deadlines.
        for wire in self.wires:
            wire.close()
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if "LoopingCall" in str(call)], [])
        self.assertEqual([name for name, _ in listEvents(viewer)], ["failed"])
        self.service.startService()
        self.assertEqual([name for name, _ in self.read(path.removeprefix("/streams/"))], ["failed"])

    def test_stoppedUnseen(self) -> None:
        """When the service stops, the end of a run without viewers is stored."""
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        self.stop()
        # Idle connections have deadlines.
        for wire in self.wires:
            wire.close()
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if "LoopingCall" in str(call)], [])
        self.service.startService()
        self.assertEqual([name for name, _ in self.read(path.removeprefix("/streams/"))], ["failed"])

    def test_costs(self) -> None:
        """The byte count of the store is exact, also after it has refused entries."""
        self.open("a")
        self.send("a", b'{"token":"xyz"}')
        self.thread.full = True
        self.send("a", b'[{"token":"a"},{"token":"b"}]')
        self.assertEqual(self.store.used, measureStream("a") + ENTRY_COST + 3)
        self.thread.full = False
        self.reactor.run(2)
        self.begin("/streams/a", method="DELETE")
        self.assertEqual((self.store.used, self.store.count), (0, 0))
