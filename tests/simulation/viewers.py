"""
Viewers: actors that follow streams in all formats, lose their connections, and resume where they were.

Each viewer judges at once what it can judge alone, and tells `Truth` the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.simulation.credentials import Issuer
from tests.simulation.history import History
from tests.simulation.identities import LOCAL, Identity
from tests.simulation.limits import Use
from tests.simulation.network import Network
from tests.simulation.refusals import Refusals
from tests.simulation.truth import Truth
from tests.simulation.wire import EventParser, Exchange, Frame, Malformed, Query, Reply

_ID = re.compile("([A-Za-z0-9]{22})-(0|[1-9][0-9]*)")

#: Types of the events that end a stream.
ENDS = ("done", "failed", "cancelled")

#: Requests of a viewer until it gives up.
_MOST = 40


@dataclass(frozen=True, slots=True)
class Stage:
    """
    The surroundings that all actors share.

    Attributes:
        network: Connects them.
        history: Takes what they see.
        truth: Knows all streams.
        chance: Decides what they do.
        refusals: Judges all answers.
        issuer: Issues tokens.
        identity: Who they are for the server.
    """

    network: Network
    history: History
    truth: Truth
    chance: Random
    refusals: Refusals
    issuer: Issuer
    identity: Identity = LOCAL

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self.network.world.now

    def ask(
        self,
        query: Query,
        onEnd: Callable[[Reply], object],
        onBody: Callable[[bytes], object] = lambda _: None,
        timeout: float | None = 30.0,
    ) -> Exchange:
        """Send a request; see `Exchange`."""
        identity, refusals, truth = self.identity, self.refusals, self.truth
        query = identity.dress(query)
        use: Use | None = None

        def end(reply: Reply) -> None:
            refusals.judge(identity, query, exchange, use, truth.lives)
            onEnd(reply)

        exchange = Exchange(self.network, query, end, onBody, timeout)
        use = refusals.limits.watch(identity, query, exchange, self.now, truth.lives)
        return exchange

    def after(self, delay: float, call: Callable[[], object]) -> None:
        """Do something later."""
        self.network.world.after(delay, call)


def parseID(text: str | None) -> tuple[str, int] | None:
    """Read an event ID."""
    match = _ID.fullmatch(text or "")
    return (match[1], int(match[2])) if match else None


class Viewer:
    """
    A viewer with reconnection, as `EventSource` does it.

    Args:
        stage: See `Stage`.
        name: Its name in the history.
        path: Target of its requests.
        stream: Name of the stream; empty if it learns that later.
        lastEventID: ID to start from; empty for the start.

    Attributes:
        finished: Whether it needs nothing more.
        epoch: Epoch that it follows; empty before the first event.
        cursor: Number in the last event ID.
        live: Whether a response is under way.
        headers: Headers of its requests, beside the usual ones.
    """

    accept = "text/event-stream"
    resumes = True

    def __init__(self, stage: Stage, name: str, path: str, stream: str = "", lastEventID: str = "") -> None:
        self.stage = stage
        self.name = name
        self.path = path
        self.stream = stream
        self.finished = False
        self.epoch = ""
        self.cursor = 0
        self.requests = 0
        self.headers: dict[str, str] = {}
        self.exchange: Exchange | None = None
        self.heard = 0.0
        self._lastEventID = lastEventID
        # Whether the ID is one that the server gave to this viewer.
        self._own = not lastEventID
        self._parser = EventParser()
        self._count = 0
        self._ended = False
        self._mayBeGone = True
        # Life of the server that was asked for the last event, and of the one that was asked last.
        self._life = self._askedLife = 0
        # Time of the request.
        self._askedAt = 0.0

    @property
    def live(self) -> bool:
        """Whether a response is under way."""
        return self.exchange is not None and not self.exchange.over

    @property
    def listening(self) -> bool:
        """Whether a response is under way that has begun, and is read."""
        return self.exchange is not None and self.live and not self.exchange.paused and self._count > 0

    def start(self) -> None:
        """Send the first request, or the next one."""
        if self.finished or self.live:
            return
        self.requests += 1
        self._parser = EventParser()
        self._count = 0
        headers = {"Accept": self.accept, **self.headers}
        if self._lastEventID and self.resumes:
            headers["Last-Event-ID"] = self._lastEventID
        self.heard = self._askedAt = self.stage.now
        self._askedLife = self.stage.truth.lives
        self._mayBeGone = self.stage.truth.mayBeGone(self.stream)
        self.exchange = self.stage.ask(Query("GET", self.path, headers), self._over, self._take, timeout=None)

    def blame(self, rule: str, text: str) -> None:
        """Report a broken promise."""
        self.stage.history.blame(rule, f"{self.name} at {self.path}: {text}")

    def leave(self) -> None:
        """Need nothing more, and close the connection."""
        self._finish()

    def see(self, frame: Frame) -> None:
        """Take an event of the stream."""
        raise NotImplementedError

    def ends(self) -> None:
        """Note that the viewer has the end of the stream."""
        self._ended = True

    def _take(self, data: bytes) -> None:
        self.heard = self.stage.now
        assert self.exchange is not None
        if self.exchange.reply.status != 200:
            return
        try:
            frames = self._parser.feed(data)
        except (Malformed, UnicodeDecodeError) as error:
            self.blame("wire", str(error))
            self._finish()
            return
        for frame in frames:
            self.stage.history.add(self.name, f"{frame.type} {frame.id} {frame.data[:200]!r}")
            if self._ended:
                self.blame("end", f"{frame.type} {frame.id} after the end")
            self._count += 1
            # Bytes may arrive after the server that has sent them was killed.
            self._life = self._askedLife
            if frame.id == "":
                self.blame("wire", "an empty ID")
            self.see(frame)
            if frame.id is not None:
                self._lastEventID = frame.id
                self._own = True

    def _over(self, reply: Reply) -> None:
        """Take the end of a response."""
        self.stage.history.add(self.name, f"over: {reply.status} {'complete' if reply.complete else 'cut'}")
        if self.finished:
            return
        if self._ended:
            self.finished = True
        elif reply.status == 204:
            self._refused()
        elif reply.status == 404:
            if not (self._mayBeGone or self.stage.truth.mayBeGone(self.stream)):
                self.blame("gone", f"404 for {self.stream}")
            self.finished = True
        elif reply.status >= 500 and reply.status != 503:
            self.blame("status", f"{reply.status} {reply.body[:300]!r}")
        elif reply.status not in (0, 200, 503) and not (reply.status == 429 and self.stage.identity.client):
            self.blame("status", f"{reply.status} {reply.body[:300]!r}")
            self.finished = True
        self._return()

    def _return(self) -> None:
        if self.requests >= _MOST:
            self.finished = True
        if not self.finished:
            retry = (self._parser.retry or 1000) / 1000
            wait = self.exchange.reply.retryAfter if self.exchange is not None else None
            self.stage.after(max(min(retry, 5.0), wait or 0), self.start)

    def _refused(self) -> None:
        """Judge a 204: the viewer must have the terminal event."""
        self.finished = True
        truth = self.stage.truth
        asked = parseID(self._lastEventID)
        known = truth.epochs.get(asked[0]) if asked else None
        if asked is None:
            if "from=now" not in self.path:
                self.blame("204", "without an ID")
        elif known is not None and known.terminal:
            if known.terminal != asked[1]:
                self.blame("204", f"for {self._lastEventID}, the end is {known.terminal}")
        elif self.path != "/":
            self.blame("204", f"for {self._lastEventID}, and nobody has seen an end")
        elif self._life == truth.lives and not truth.forgets:
            self.blame("204 at /", f"for {self._lastEventID}, and nobody has seen an end")

    def _finish(self) -> None:
        self.finished = True
        if self.exchange is not None:
            self.exchange.drop()
