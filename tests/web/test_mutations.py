"""
Mutated requests to the whole server, on plain and fast channels: no 5xx, nothing in the log, nothing left behind.

20,000 requests; with `SSESERVER_LONG=1`, 200,000.
"""

from __future__ import annotations

import os
import re
from random import Random
from typing import Any

from twisted.web.resource import IResource

from sseserver.settings import Settings
from sseserver.web.site import StreamSite
from tests.mutations import mutate
from tests.served import ServedTestCase

#: Number of requests, and of those on one server.
REQUESTS = 200_000 if os.environ.get("SSESERVER_LONG") == "1" else 20_000
ROUND = 1000

_STATUS = re.compile(rb"(?:^|\n)HTTP/1\.1 (\d{3}) ")

#: Statuses of bugs. Others say what the server does not have (501), or has no room for (503).
BUGS = {b"500", b"502", b"504"}


class MutationTests(ServedTestCase):
    """Mutated requests, each on a connection of its own."""

    settings = Settings(maxStreams=50, keep=1.0, linger=1.0)
    takesPrompt = True
    plain = False

    def site(self, resource: IResource) -> StreamSite:
        """See `WireTestCase.site`."""
        return StreamSite(resource, reactor=self.reactor, plain=self.plain, accessLog=None)

    def attack(self, random: Random) -> None:
        """Send one request in some pieces, and disconnect."""
        data = mutate(random)
        wire = self.connect(self.factory)
        self.wires.remove(wire)
        place = 0
        for _ in range(random.choice((1, 1, 2, 3))):
            cut = random.randrange(place, len(data) + 1)
            wire.send(data[place:cut])
            place = cut
        wire.send(data[place:])
        self.reactor.advance(0.05)
        for run in self.source.runs:
            run.done.callback(None) if not run.done.called else None
        self.source.runs.clear()
        self.reactor.advance(0.05)
        statuses = _STATUS.findall(wire.received)
        self.assertEqual(BUGS.intersection(statuses), set(), data)
        wire.close()
        self.reactor.advance(0)

    def test_mutated(self) -> None:
        """Each request is answered without a bug, and a closed connection leaves nothing."""
        for start in range(0, REQUESTS // 2, ROUND):
            self.serve(self.source)
            site: Any = self.factory
            for seed in range(start, start + ROUND):
                self.attack(Random(seed + (10**9 if self.plain else 0)))
                self.assertEqual((site.connections.count, site.bodies.used), (0, 0), seed)
                self.assertEqual(self.flushLoggedErrors(), [], seed)
            for service in self.services:
                service.hurry()
            self.reactor.run(5, 0.5)


class PlainMutationTests(MutationTests):
    """The same on plain channels."""

    plain = True
