"""
Tests of publishing and runs while the store is writing, and when it cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.settings import Settings
from sseserver.stores.sqlite import SQLiteStore
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.log import FLUSH_TICK
from sseserver.web.accept import JSON, PLAIN
from tests.apis.cases import PublishingTestCase, told
from tests.fakes import logged
from tests.wires import Wire


class Thread:
    """A store's thread that works when it is told to."""

    def __init__(self) -> None:
        self.held = False
        self.full = False
        self._waiting: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """See L{SQLiteStore}: call a function in the thread."""
        result: Deferred[Any] = Deferred()
        self._waiting.append((result, function, arguments))
        if not self.held:
            self.work()
        return result

    def work(self) -> None:
        """Do what waits."""
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
    """What happens while the store is still writing, and when it cannot."""

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
        stopped = [service.stopService() for service in self.services]
        for _ in range(5):
            self.reactor.advance(FLUSH_TICK)
        for each in stopped:
            self.successResultOf(each)

    def begin(self, path: str, **keywords: Any) -> Wire:
        """Make a request whose answer has to wait."""
        wire = self.connect(self.factory)
        wire.begin(path, **keywords)
        self.reactor.advance(0)
        return wire

    def open(self, name: str) -> str:
        """Open a stream; give its epoch."""
        return str(self.begin(f"/streams/{name}", method="PUT").response.json["epoch"])

    def send(self, name: str, body: bytes, key: str | None = None, closed: bool = False) -> Wire:
        """Publish in JSON."""
        headers = {"Content-Type": JSON, "Stream-Closed": "true" if closed else "false"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.begin(f"/streams/{name}", method="POST", body=body, headers=headers)

    def go(self) -> None:
        """Let the thread do all it has to."""
        self.thread.held = False
        self.thread.work()
        self.reactor.advance(FLUSH_TICK)
        self.reactor.advance(FLUSH_TICK)

    def test_visibleWhenStored(self) -> None:
        """
        The answer to a publish, and the event to the viewers, come when the
        store has it, not before; nor does any other reading show it.
        """
        epoch = self.open("a")
        viewer = self.view("/streams/a")
        self.thread.held = True
        wire = self.send("a", b'{"token":"x"}')
        self.assertEqual((wire.received, told(viewer)), (b"", []))
        self.assertEqual(self.ask("/streams/a", JSON).json["last"], 0)
        self.go()
        self.assertEqual(wire.response.json["ids"], [f"{epoch}-1"])
        self.assertEqual(told(viewer), [("message", "x")])

    def test_textWhenStored(self) -> None:
        """
        The text so far is what the store has: after a crash it is still there.
        """
        self.open("a")
        self.send("a", b'{"token":"x"}')
        self.thread.held = True
        self.send("a", b'{"token":"y"}')
        self.assertEqual(self.ask("/streams/a", PLAIN).body, b"x")
        self.go()
        self.assertEqual(self.ask("/streams/a", PLAIN).body, b"xy")

    def test_oneKeyTwice(self) -> None:
        """
        A retry that overtakes the store's answer to the first is answered the
        same, and doubles nothing.
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
        Two requests to start a run with one key, the second before the store
        has the first, start one run.
        """
        self.thread.held = True
        wires = [self.begin("/streams", method="POST", body=b"{}", headers={"Idempotency-Key": "k"}) for _ in range(2)]
        self.go()
        self.assertEqual(len(self.source.runs), 1)
        self.assertEqual(wires[0].response.json, wires[1].response.json)

    def test_full(self) -> None:
        """
        When the disk is full a publish is refused with 503 and is not there;
        its viewers stay; and it goes on by itself when there is room, with the
        same key, too.
        """
        self.open("a")
        viewer = self.view("/streams/a")
        self.thread.full = True
        refused = self.send("a", b'[{"token":"x"},{"token":"y"}]', "k")
        self.assertEqual((refused.response.status, refused.response.error["code"]), (503, "store_unavailable"))
        self.assertIn("retry-after", refused.response.headers)
        closing = self.send("a", b"", closed=True)
        new = self.begin("/streams/b", method="PUT")
        # The store tries now and then only.
        self.reactor.run(2)
        self.assertEqual((closing.response.status, new.response.status), (503, 503))
        self.assertEqual((told(viewer), viewer.response.complete), ([], False))
        state = self.state("/streams/a")
        self.assertEqual((state["last"], state["bytes"], state["state"]), (0, 0, "open"))
        self.thread.full = False
        self.reactor.run(2)
        again = self.send("a", b'[{"token":"x"},{"token":"y"}]', "k")
        self.assertEqual(again.response.status, 200)
        self.reactor.advance(FLUSH_TICK)
        self.assertEqual("".join(data for _, data in told(viewer)), "xy")
        self.assertEqual(self.begin("/streams/b", method="PUT").response.status, 201)

    def test_runIsKept(self) -> None:
        """
        What a run writes while the disk is full is not lost: it comes when
        there is room.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        self.source.run.write("a")
        self.reactor.run(1)
        self.thread.full = True
        self.source.run.write("b")
        self.source.run.end()
        self.reactor.run(3)
        self.assertEqual(told(viewer), [("message", "a")])
        self.thread.full = False
        self.reactor.run(3)
        self.assertEqual([data for name, data in told(viewer) if name == "message"], ["a", "b"])
        self.assertEqual(told(viewer)[-1][0], "done")

    def test_deletedWhileItRuns(self) -> None:
        """
        A source that writes while its stream is being deleted is told nothing
        of it, and is stopped.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        self.thread.held = True
        deleting = self.begin(path, method="DELETE")
        self.source.run.write("late")
        self.reactor.advance(FLUSH_TICK)
        self.go()
        self.assertEqual(deleting.response.status, 204)
        self.assertTrue(self.source.run.cancelled)
        self.assertEqual(told(viewer), [("cancelled", '{"reason":"deleted"}')])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_endsWhileItIsDeleted(self) -> None:
        """
        Nor is a source that ends while its stream is being deleted; nothing of
        the run stays behind.
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
        """
        A name is free as soon as its stream is deleted, though the store is
        still busy with that.
        """
        epoch = self.open("a")
        self.thread.held = True
        deleting = self.begin("/streams/a", method="DELETE")
        making = self.begin("/streams/a", method="PUT")
        self.go()
        self.assertEqual((deleting.response.status, making.response.status), (204, 201))
        self.assertNotEqual(making.response.json["epoch"], epoch)

    def test_roomOfAFinishedOne(self) -> None:
        """
        A finished stream makes room at once, though the store is still busy
        with forgetting it.
        """
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
        """
        To cancel is idempotent also while the store writes the end.
        """
        self.open("a")
        self.thread.held = True
        wires = [self.begin("/streams/a/cancel", method="POST", body=b"") for _ in range(2)]
        self.go()
        self.assertEqual([wire.response.status for wire in wires], [200, 200])
        self.assertEqual([wire.response.json["state"] for wire in wires], ["cancelled"] * 2)

    def test_stoppedWhileItRuns(self) -> None:
        """
        When the service is stopped a run gets its end, which is stored; and
        nothing is left on the clock.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        viewer = self.view(path)
        self.stop()
        # Idle connections have their timeouts.
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if "LoopingCall" in str(call)], [])
        self.assertEqual([name for name, _ in told(viewer)], ["failed"])
        self.service.startService()
        self.assertEqual([name for name, _ in self.read(path.removeprefix("/streams/"))], ["failed"])

    def test_stoppedUnseen(self) -> None:
        """
        So it is when nobody watches the run.
        """
        path = self.begin("/streams", method="POST", body=b"").response.headers["location"]
        self.stop()
        # Idle connections have their timeouts.
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if "LoopingCall" in str(call)], [])
        self.service.startService()
        self.assertEqual([name for name, _ in self.read(path.removeprefix("/streams/"))], ["failed"])

    def test_costs(self) -> None:
        """
        What the store counts is what it has, also after it has refused.
        """
        self.open("a")
        self.send("a", b'{"token":"xyz"}')
        self.thread.full = True
        self.send("a", b'[{"token":"a"},{"token":"b"}]')
        self.assertEqual(self.store.used, ENTRY_COST + 3)
        self.thread.full = False
        self.reactor.run(2)
        self.begin("/streams/a", method="DELETE")
        self.assertEqual((self.store.used, self.store.count), (0, 0))
