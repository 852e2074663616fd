"""
Guests: viewers whose credentials end, and strangers who have none for what they ask for.

The server has its streams a second time below `/guarded`, behind an authenticator that believes the header `X-Guest`.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.web.resource import Resource
from zope.interface import implementer

from sseserver import Grant, IAuthenticator, Principal, Right, StreamResource, StreamService, Unauthorized
from tests.simulation.eventsviewer import EventsViewer
from tests.simulation.viewers import Stage
from tests.simulation.wire import Exchange, Query, Reply

#: Seconds. Time in which a response must end after the expiry of its principal.
EXPIRY = 5.0


@implementer(IAuthenticator)
class Believer:
    """Believes a header: the name of the stream that the guest may read, and the end of its rights."""

    def authenticate(self, request: Any) -> Principal:
        """See `IAuthenticator.authenticate`."""
        name, _, expires = (request.getHeader(b"x-guest") or b"").decode("ascii").partition(" ")
        if not name:
            raise Unauthorized("Guests have a name.")
        return Principal(name, (Grant(frozenset({Right.READ}), name),), float(expires))


def guard(root: Resource, service: StreamService) -> None:
    """Put the streams of a service below `/guarded` of a site's root."""
    root.putChild(b"guarded", StreamResource(service, access=Believer()))


class Guest(EventsViewer):
    """
    A viewer of a guarded stream: each of its responses ends with its rights, and it resumes with new ones.

    Args:
        stage: See `Stage`.
        name: Its name in the history.
        stream: Name of the stream.
        chance: Decides how long its rights last.
    """

    def __init__(self, stage: Stage, name: str, stream: str, chance: Random) -> None:
        super().__init__(stage, name, stream)
        self.path = f"/guarded{self.path}"
        self._chance = chance
        self._expires = 0.0

    def start(self) -> None:
        """See `Viewer.start`."""
        if not (self.finished or self.live):
            self._expires = self.stage.now + round(1 + 6 * self._chance.random(), 3)
            self.headers = {"X-Guest": f"{self.stream} {self._expires!r}"}
        super().start()
        exchange = self.exchange
        self.stage.after(self._expires - self.stage.now + EXPIRY, lambda: self._checkEnd(exchange))

    def _checkEnd(self, exchange: Exchange | None) -> None:
        """Check that a response which nothing has delayed is over."""
        if exchange is None or exchange is not self.exchange or not self.listening or exchange.disturbed:
            return
        # Through a narrow network the last bytes take their time.
        if self.stage.network.weather.wide:
            self.blame("expiry", f"a response goes on {EXPIRY} s after {self._expires}")

    def _over(self, reply: Reply) -> None:
        """See `Viewer._over`. A request that comes late has no rights any more."""
        if reply.status != 401:
            super()._over(reply)
            return
        if self.stage.now < self._expires:
            self.blame("rights", f"401 before {self._expires}")
        self._return()


class Stranger:
    """
    A client that asks for a stream with the rights for another one.

    Args:
        stage: See `Stage`.
        name: Its name in the history.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self._name = name

    def ask(self, stream: str) -> None:
        """Ask for a stream in any way; it must look as if there were none."""
        headers = {"X-Guest": f"{stream}x {self._stage.now + 60!r}"}
        for method, path, status in (
            ("GET", f"/streams/{stream}", 404),
            ("DELETE", f"/streams/{stream}", 404),
            ("POST", f"/streams/{stream}/cancel", 404),
            ("PUT", f"/streams/{stream}", 403),
        ):
            query = Query(method, f"/guarded{path}", headers, b"" if method == "POST" else None)
            Exchange(self._stage.network, query, lambda reply, s=status, q=query: self._judge(reply, s, q))

    def _judge(self, reply: Reply, status: int, query: Query) -> None:
        self._stage.history.add(self._name, f"{query.method} {query.path}: {reply.status}")
        if reply.status not in (0, status, 503):
            self._stage.history.blame("rights", f"{self._name}: {reply.status} for {query.method} {query.path}")
