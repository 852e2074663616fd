"""
Tests for `sseserver.apis.admin.families`: each metric changes when its event happens.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from sseserver.apis.admin.families import FAMILIES
from sseserver.apis.admin.measured import MetricType
from sseserver.errors import RateLimited, SourceError, StoreUnavailable
from sseserver.interfaces import IPersistence
from sseserver.service.clients import Client
from sseserver.settings import Settings
from sseserver.stores.persistent import PersistentStore
from sseserver.values import Change, Reason, StoredEntries, StoredStream
from tests.apis.admin.cases import MetricsTestCase


class TableTests(MetricsTestCase):
    """The table."""

    def test_names(self) -> None:
        """Names follow the rules of Prometheus: the unit, and `_total` for counters only; help texts are sentences."""
        for family in FAMILIES:
            self.assertRegex(family.name, r"^sseserver_[a-z_]+[a-z]$")
            self.assertEqual(family.name.endswith("_total"), family.type is MetricType.COUNTER, family.name)
            self.assertEqual(family.name.endswith("_seconds") or family.type is not MetricType.HISTOGRAM, True)
            self.assertRegex(family.help, r"^[A-Z].{10,110}\.$")
        self.assertEqual(len({family.name for family in FAMILIES}), len(FAMILIES))

    def test_labels(self) -> None:
        """The values of labels are there from the start, and no name or text of a client is among them."""
        before = set(self.read())
        self.ask("/streams/secret-name", method="PUT")
        self.ask("/streams/secret-name?x=secret-query", method="POST", body=b"secret-text")
        self.view("/", lastEventID="secret-id").close()
        self.view("/")
        self.source.run.end("secret-reason")
        self.assertEqual(set(self.read()), before)
        self.assertNotIn("secret", self.scrape())
        known = {label for family in FAMILIES for label in family.labels} | {"le"}
        self.assertEqual({label for _, labels in before for label, _ in labels}, known)


class UpstreamTests(MetricsTestCase):
    """Several upstreams."""

    def test_states(self) -> None:
        """Each upstream has its state and its counts, and `/readyz` names its problem."""
        for name, values in (("local", (1, 3, 1)), ("cloud", (0, 0, 0))):
            read = [
                self.value(f"sseserver_upstream_{each}", upstream=name)
                for each in ("up", "requests_total", "failures_total")
            ]
            self.assertEqual(tuple(read), values)
        response = self.connect(self.admin).ask("/readyz")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.json["upstreams"], {"local": None, "cloud": "It is gone."})


class EventTests(MetricsTestCase):
    """Events of the server."""

    settings = Settings(maxViewers=2)

    def test_ready(self) -> None:
        """The server is ready until it is going to stop."""
        self.assertEqual(self.value("sseserver_ready"), 1)
        self.service.leave()
        self.assertEqual(self.value("sseserver_ready"), 0)

    def test_viewers(self) -> None:
        """Viewers that come, get everything, leave, return, and find no room."""
        viewer, other = self.view("/"), self.view("/")
        self.assertEqual(self.value("sseserver_viewers"), 2)
        self.view("/")
        self.assertEqual(self.value("sseserver_viewers_ended_total", reason="limit"), 1)
        other.close()
        self.assertEqual(self.value("sseserver_viewers_ended_total", reason="left"), 1)
        self.source.runs[0].write("a")
        self.reactor.advance(1)
        asked = self.lastID(viewer)
        viewer.close()
        self.view("/", lastEventID=asked)
        self.assertEqual(self.value("sseserver_resumes_total", result="continued"), 1)
        self.source.runs[0].end()
        self.reactor.run(1)
        self.assertEqual(self.value("sseserver_viewers_ended_total", reason="complete"), 1)
        self.assertEqual(self.value("sseserver_viewers"), 0)
        self.view("/", lastEventID=f"{asked.rpartition('-')[0]}-2")
        self.view("/", lastEventID="nothing")
        self.assertEqual(self.value("sseserver_resumes_total", result="finished"), 2)

    def test_gaps(self) -> None:
        """A viewer that returns with the ID of another stream has a gap."""
        path = self.startRun()
        self.view(path, lastEventID=f"{'x' * 22}-1")
        self.assertEqual(self.value("sseserver_resumes_total", result="gap"), 1)
        self.assertEqual(self.value("sseserver_gaps_total", reason="lost"), 1)

    def test_sent(self) -> None:
        """Entries and bytes are counted for each viewer."""
        path = self.startRun()
        viewers = [self.view(path), self.view(path)]
        self.write("a", "b")
        self.end()
        self.assertEqual(self.value("sseserver_sent_entries_total"), 6)
        bodies = sum(len(viewer.response.body) for viewer in viewers)
        self.assertEqual(self.value("sseserver_sent_bytes_total"), bodies)
        self.assertEqual(self.value("sseserver_tokens_total"), 2)

    def test_streams(self) -> None:
        """Streams are counted by writer and state, until they are deleted."""
        path = self.startRun()
        for name in ("a", "b"):
            self.ask(f"/streams/{name}", method="PUT")
        self.assertEqual(self.value("sseserver_streams", kind="run", state="open"), 1)
        self.assertEqual(self.value("sseserver_streams", kind="published", state="open"), 2)
        self.source.run.fail(SourceError("No.", Reason.REFUSED))
        self.ask("/streams/a", method="DELETE")
        self.ask("/streams/b", method="POST", headers={"Stream-Closed": "true"}, body=b"")
        self.assertEqual(self.value("sseserver_streams", kind="run", state="ended"), 1)
        self.assertEqual(self.value("sseserver_streams", kind="published", state="open"), 0)
        self.assertEqual(self.value("sseserver_streams", kind="published", state="ended"), 1)
        self.assertEqual(self.value("sseserver_streams_ended_total", kind="run", state="failed"), 1)
        self.assertEqual(self.value("sseserver_streams_ended_total", kind="published", state="done"), 1)
        self.ask(path, method="DELETE")
        self.assertEqual(self.value("sseserver_streams", kind="run", state="ended"), 0)

    def test_published(self) -> None:
        """Published entries are counted once, however often their publish is repeated."""
        self.ask("/streams/a", method="PUT")
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
        for _ in range(3):
            body = b'[{"token": "a"}, {"event": "b", "data": "c"}]'
            self.assertEqual(self.ask("/streams/a", method="POST", headers=headers, body=body).status, 200)
        self.assertEqual(self.value("sseserver_published_entries_total"), 2)

    def test_upstreamErrors(self) -> None:
        """Runs that failed because of an upstream are counted by the reason, other failures are not."""
        for reason in (Reason.REFUSED, Reason.TIMEOUT, Reason.EXIT):
            self.startRun()
            self.source.run.fail(SourceError("No.", reason))
        self.assertEqual(self.value("sseserver_upstream_errors_total", reason="refused"), 1)
        self.assertEqual(self.value("sseserver_upstream_errors_total", reason="timeout"), 1)
        self.assertEqual(self.value("sseserver_runs_ended_total", reason="exit"), 1)

    def test_requests(self) -> None:
        """Requests that were refused are counted by their status, whoever has refused them."""
        wire = self.connect(self.factory)
        wire.send(b"GET / HTTP/1.1\r\n folded\r\n\r\n")
        self.assertEqual(self.value("sseserver_requests_refused_total", status="400"), 1)
        self.ask("/nothing")
        self.ask("/nothing", method="PUT")
        self.assertEqual(self.value("sseserver_requests_refused_total", status="404"), 2)
        wire = self.connect(self.factory)
        wire.send(b"POST /streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        self.assertEqual(self.value("sseserver_requests_refused_total", status="413"), 1)
        wire = self.connect(self.factory)
        wire.send(b"FOO example.com:80 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(sum(self.factory.refusals.counts.values()), 5)

    def test_clients(self) -> None:
        """A client that has its share is refused, and counted by its limit, not by its name."""
        self.serve(self.source, Settings(maxViewersPerClient=1, runsPerMinute=1))
        clients = self.service.ledger.clients
        client = Client("address 192.0.2.1", False)
        clients.startRun(client)
        clients.viewers.add(client)
        self.assertRaises(RateLimited, clients.startRun, client)
        self.assertRaises(RateLimited, clients.checkViewer, client)
        self.assertEqual(self.value("sseserver_clients_refused_total", limit="starts"), 1)
        self.assertEqual(self.value("sseserver_clients_refused_total", limit="viewers"), 1)
        self.assertNotIn("192.0.2.1", self.scrape())

    def test_connections(self) -> None:
        """Open connections are counted, those without room as well."""
        before = self.value("sseserver_connections")
        self.view("/")
        self.assertEqual(self.value("sseserver_connections"), before + 1)
        self.factory.connections.limit = self.factory.connections.count
        self.connect(self.factory)
        self.assertEqual(self.value("sseserver_connections_refused_total"), 1)
        self.assertEqual(self.value("sseserver_connections_limit"), self.factory.connections.limit)

    def test_ledger(self) -> None:
        """Each account of the ledger has its bytes, its number and its limit."""
        self.startRun()
        for account, figures in self.service.ledger.report().items():
            self.assertEqual(self.value("sseserver_ledger_bytes", account=account), figures.used)
            self.assertEqual(self.value("sseserver_ledger_items", account=account), figures.count)
            self.assertEqual(self.value("sseserver_ledger_limit_bytes", account=account), figures.limit)

    def test_process(self) -> None:
        """The process: its times, its memory, the lag of its reactor, its versions."""
        self.lag.startService()
        self.reactor.advance(0.1)
        self.reactor.advance(0.6)
        self.assertAlmostEqual(self.value("sseserver_reactor_lag_seconds_sum"), 0.5)
        self.lag.stopService()
        self.assertGreater(self.value("sseserver_cpu_seconds_total"), 0)
        self.assertGreater(self.value("sseserver_resident_memory_bytes"), 1 << 20)
        self.assertEqual(self.value("sseserver_start_time_seconds"), self.service.created)


class QueueTests(MetricsTestCase):
    """Runs that wait."""

    settings = Settings(maxRuns=1)

    def test_runs(self) -> None:
        """Runs are counted while they wait and while they work."""
        self.startRun()
        path = self.startRun()
        self.assertEqual(self.value("sseserver_runs", state="working"), 1)
        self.assertEqual(self.value("sseserver_runs", state="waiting"), 1)
        self.ask(f"{path}/cancel", method="POST", body=b"")
        self.source.run.end()
        self.assertEqual(self.value("sseserver_runs", state="working"), 0)
        self.assertEqual(self.value("sseserver_runs", state="waiting"), 0)
        self.assertEqual(self.value("sseserver_runs_started_total"), 2)
        self.assertEqual(self.value("sseserver_runs_ended_total", reason="asked"), 1)


@implementer(IPersistence)
class SlowPersistence:
    """
    A persistence that has stored a group when the test says so.

    Attributes:
        writes: The writes that are not finished.
    """

    def __init__(self) -> None:
        self.writes: list[Deferred[None]] = []

    def start(self, now: float) -> Sequence[StoredStream]:
        """See `IPersistence.start`."""
        return ()

    def stop(self) -> Deferred[None]:
        """See `IPersistence.stop`."""
        return succeed(None)

    def write(self, changes: Sequence[Change]) -> Deferred[None]:
        """See `IPersistence.write`."""
        self.writes.append(Deferred())
        return self.writes[-1]

    def read(self, epoch: str, first: int, last: int) -> Deferred[StoredEntries]:
        """See `IPersistence.read`."""
        raise AssertionError("Nothing is read.")


class StoreTests(MetricsTestCase):
    """A store that writes to a disk."""

    def setUp(self) -> None:
        super().setUp()
        self.persistence = SlowPersistence()
        self.serve(self.source, store=PersistentStore(self.reactor, self.persistence, 1 << 20))

    def finish(self, seconds: float, error: Exception | None = None) -> None:
        """Let the disk take some time for the next group."""
        self.reactor.advance(0)
        self.reactor.advance(seconds)
        written = self.persistence.writes.pop(0)
        if error is None:
            written.callback(None)
        else:
            written.errback(error)

    def test_commits(self) -> None:
        """Groups that were stored are counted by their times, and those that were not."""
        self.service.open("a")
        self.finish(0.5)
        self.assertEqual(self.value("sseserver_store_commit_seconds_count"), 1)
        self.assertEqual(self.value("sseserver_store_commit_seconds_sum"), 0.5)
        opening = self.service.open("b")
        self.finish(0.5, StoreUnavailable("Full."))
        self.failureResultOf(opening, StoreUnavailable)
        self.assertEqual(self.value("sseserver_store_failures_total"), 1)
        self.assertEqual(self.value("sseserver_store_commit_seconds_count"), 1)
        self.assertEqual(len(self.flushLoggedErrors(StoreUnavailable)), 1)

    def test_streams(self) -> None:
        """A stream that could not be stored, and one whose deletion failed, are counted as they are."""
        self.service.open("a")
        self.finish(0)
        deleting = self.service.delete("a")
        self.assertEqual(self.value("sseserver_streams", kind="published", state="open"), 0)
        self.finish(0, StoreUnavailable("Full."))
        self.failureResultOf(deleting, StoreUnavailable)
        self.assertEqual(self.value("sseserver_streams", kind="published", state="open"), 1)
        self.assertEqual(self.value("sseserver_streams", kind="published", state="ended"), 0)
        self.flushLoggedErrors(StoreUnavailable)
