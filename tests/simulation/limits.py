"""
Limits: the shares of each client, as they are documented, compared with the answers that it gets.

Nobody but the server knows in which order it sees requests. So each use of a share has a time in which it was surely
held, and a longer one in which it was possibly held. A client has too much if the former say so. It is refused without
reason if even the latter say that there was room.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.history import History
from tests.simulation.identities import Identity
from tests.simulation.wire import Exchange, Query

#: Limits of an address of the public internet without a limit of its own.
_PUBLIC = {"connection": 256, "viewer": 200, "run": 20, "start": 60, "publish": 1000}

#: Seconds after which an empty bucket is full.
_PERIODS = {"start": 60.0, "publish": 1.0}

#: Seconds. `Retry-After` of a limit for things at a time: nobody knows when there is room again.
_FIXED = 3

#: Number. Permits by which a client may be early: one comes back when half of its time is left. Floats are not exact.
_EARLY = 0.501

#: Seconds in which the server has surely seen what a client has done on a connection that nothing delays.
_SOON = 1.0

#: Seconds. A program may go on for some time after the end of its run.
_RELEASE = 10.0

_STARTS = ("/streams", "/v1/chat/completions", "/api/chat")
_STREAM = re.compile(r"/streams/[^/?]+")

#: The end of a streamed answer.
_END = re.compile(rb"^data: \[DONE\]|^event: (done|failed|cancelled)\b", re.MULTILINE)


@dataclass(slots=True, eq=False)
class Use:
    """
    One request of a client.

    Attributes:
        kinds: The shares that it may take.
        identity: Who has sent it.
        query: The request.
        exchange: The exchange.
        sent: When it was sent.
        life: Life of the server.
        isRefused: Whether it was refused because of a limit of its client.
        takes: Whether it has surely taken its permits.
    """

    kinds: frozenset[str]
    identity: Identity
    query: Query
    exchange: Exchange
    sent: float
    life: int
    isRefused: bool = False
    takes: bool = False

    @property
    def answered(self) -> float:
        """When the answer began; the present or infinity before."""
        begun, over = self.exchange.begunAt, self.exchange.overAt
        return begun if begun is not None else over if over is not None else math.inf

    def isServedIn(self, other: Use) -> bool:
        """Return whether the process that serves another request may serve this one."""
        over = self.exchange.overAt
        # One that was sent while there was no process has waited for the next. `Limits.end` notes its life later.
        waited = self.life == other.life - 1 and (over is None or over >= other.sent)
        return self.life == other.life or waited


@dataclass(slots=True)
class Limits:
    """
    The shares of all clients.

    Attributes:
        history: Takes the verdicts.
        bounds: The limits by the kind of share: `connection`, `viewer`, `run` (at a time), `start` (a minute),
            `publish` (a second). Without a member there is no limit.
        stall: Seconds after which the server cuts a client that takes nothing.
        wide: Whether the network delays nothing.
    """

    history: History
    bounds: dict[str, int]
    stall: float
    wide: bool
    _uses: list[Use] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    def find(self, identity: Identity, kind: str) -> int | None:
        """Return the limit of a client; `None` if it has none."""
        if not (identity.peer if kind == "connection" else identity.client):
            return None
        return self.bounds.get(kind, _PUBLIC[kind] if identity.isPublic else None)

    def watch(self, identity: Identity, query: Query, exchange: Exchange, now: float, life: int) -> Use | None:
        """
        Note a request.

        Args:
            identity: Who has sent it.
            query: The request.
            exchange: The exchange, which has begun.
            now: Seconds since 1970.
            life: Life of the server.

        Returns:
            The use, for `end`; `None` for a client without limits.
        """
        if not identity.client:
            return None
        use = Use(findKinds(query), identity, query, exchange, now, life)
        self._uses.append(use)
        return use

    def end(self, use: Use, life: int, hasRoom: bool) -> None:
        """
        Judge the answer to a request.

        Args:
            use: From `watch`.
            life: Life of the server now.
            hasRoom: Whether the server had room for everybody.
        """
        reply = use.exchange.reply
        if life != use.life:
            # It may have waited for a new process.
            use.life = life
            return
        # An upstream may answer 429 as well.
        isLimited = reply.status == 429 and (reply.json or {}).get("error", {}).get("code") == "rate_limit_exceeded"
        use.isRefused = isLimited or use.exchange.isTurnedAway
        if isLimited or (use.isRefused and hasRoom):
            self._judgeRefusal(use)
        elif reply.status in (200, 201) and not use.isRefused:
            name = reply.headers.get("content-location", reply.headers.get("location", ""))
            # A request that joins a run by its key takes nothing.
            use.takes = "start" not in use.kinds or name not in self._names
            self._names.add(name)

    def mayRefuse(self, use: Use) -> bool:
        """Return whether a limit of its client may have been reached when a request was answered."""
        return any(self._isReached(use, kind) for kind in use.kinds)

    def judgeConnection(self, use: Use) -> None:
        """Judge a connection that was closed without a word, by a server that lives."""
        if not self._isReached(use, "connection"):
            self._blame(use, f"the connection to {use.query.path} is closed, and there is room for it")

    def judge(self) -> None:
        """Judge at the end whether a client had more than its share."""
        known = {(use.identity.client, use.identity.peer, use.life): use.identity for use in self._uses}
        done = set[tuple[str, str, int]]()
        for (client, peer, life), identity in known.items():
            for kind in _PUBLIC:
                limit, owner = self.find(identity, kind), (peer if kind == "connection" else client, kind, life)
                if limit is None or owner in done:
                    continue
                done.add(owner)
                uses = [use for use in self._of(identity, kind) if use.life == life]
                (self._judgeRate if kind in _PERIODS else self._judgeShare)(owner[0], kind, limit, uses)

    # Refusals

    def _judgeRefusal(self, use: Use) -> None:
        """Judge a 429, or a viewer that is told to return."""
        limits = {kind: limit for kind in sorted(use.kinds) if (limit := self.find(use.identity, kind))}
        if not self.mayRefuse(use):
            self._blame(use, f"{use.query.method} {use.query.path} is refused within {limits}")
        wait = use.exchange.reply.retryAfter
        if wait is None:
            return
        longest = [1.5 * _PERIODS[kind] / limit for kind, limit in limits.items() if kind in _PERIODS]
        if wait > max([_FIXED, *longest]) + 1:
            self._blame(use, f"Retry-After is {wait}, with the limits {limits}")
        for kind in use.kinds & set(_PERIODS):
            self._judgeWait(use, kind)

    def _judgeWait(self, use: Use, kind: str) -> None:
        """Check that a client which has waited as long as it was told, and did nothing else, is served."""
        before = [one for one in self._of(use.identity, kind) if one is not use and one.life == use.life]
        last = max(before, key=lambda one: one.answered, default=None)
        if last is None or not last.isRefused or last.exchange.reply.retryAfter is None:
            return
        wait = last.exchange.reply.retryAfter
        idle = all(one is last or one.answered <= last.sent for one in before)
        shares = any(self._isReached(one, share) for one in (use, last) for share in one.kinds - set(_PERIODS))
        if idle and not shares and use.sent >= last.answered + wait:
            self._blame(use, f"it is refused again after the {wait} s of Retry-After")

    def _isReached(self, use: Use, kind: str) -> bool:
        limit = self.find(use.identity, kind)
        if limit is None:
            return False
        others = [one for one in self._of(use.identity, kind) if one is not use and one.sent <= use.answered]
        # Uses of a former process count: the request may have been one of its last.
        # A request that is refused has a connection all the same.
        others = [one for one in others if one.isServedIn(use) and (kind == "connection" or not one.isRefused)]
        if kind in _PERIODS:
            return self._findLevel(kind, limit, others, use) < 1
        moments = [use.sent, *(one.sent for one in others if one.sent > use.sent)]
        return any(sum(one.sent <= at <= self._findLast(one, kind) for one in others) >= limit for at in moments)

    def _findLast(self, use: Use, kind: str) -> float:
        """Return when a share was possibly held for the last time."""
        over, exchange = use.exchange.overAt, use.exchange
        if over is None:
            return math.inf
        if kind == "run":
            # The run of a client that has left goes on, and so does that of one which was too slow, or has no rights.
            return over + _RELEASE if _hasEnd(exchange) else math.inf
        if exchange.reply.complete:
            return over + (_SOON if self.wide else 2 * self.stall)
        return over + (_SOON if self.wide and not exchange.hindered else 2 * self.stall + 12)

    def _findLevel(self, kind: str, limit: int, others: list[Use], use: Use) -> float:
        """Return the least number of permits that a bucket can have had when a request was answered."""
        rate, levels = limit / _PERIODS[kind], []
        for at in (use.sent, *(one.sent for one in others if one.sent > use.sent)):
            level, last = float(limit), at
            times = sorted(min(one.answered, at) for one in others if one.sent <= at)
            for time, cost in [*((time, 1) for time in times), (at, 0)]:
                level = min(limit, level + rate * max(0.0, time - last)) - cost
                last = time
            levels.append(level)
        return min(levels)

    # Too much

    def _judgeShare(self, client: str, kind: str, limit: int, uses: list[Use]) -> None:
        """Check that no more shares were surely held at a time than the limit."""
        held = [span for use in uses if (span := self._findSure(use, kind)) is not None]
        for begin, _ in held:
            count = sum(first <= begin < last for first, last in held)
            if count > limit:
                self.history.blame("limits", f"{client} has {count} of {kind}, and its limit is {limit}")
                return

    def _findSure(self, use: Use, kind: str) -> tuple[float, float] | None:
        """Return when a share was surely held."""
        exchange = use.exchange
        if exchange.begunAt is None or exchange.hindered or exchange.isTurnedAway or exchange.reply.status != 200:
            return None
        # The bytes that have arrived were sent before, by a server that had not ended the response.
        last = (exchange.heardAt if exchange.overAt is None else min(exchange.heardAt, exchange.overAt)) - _SOON
        return (exchange.begunAt, last) if self.wide and last > exchange.begunAt else None

    def _judgeRate(self, client: str, kind: str, limit: int, uses: list[Use]) -> None:
        """Check that no more was done in any time than the bucket gives."""
        taken = sorted((use.answered, use.sent) for use in uses if use.takes)
        for _, begin in taken:
            done = [answered for answered, sent in taken if sent >= begin]
            for count, end in enumerate(done, 1):
                most = limit + limit * (end - begin) / _PERIODS[kind] + _EARLY
                if count > most:
                    text = f"{client} has {count} of {kind} in {end - begin:.3f} s, and its limit is {limit}"
                    self.history.blame("limits", text)
                    return

    def _of(self, identity: Identity, kind: str) -> list[Use]:
        """Return the uses of a kind by the client of an identity."""
        if kind == "connection":
            return [use for use in self._uses if use.identity.peer == identity.peer]
        return [use for use in self._uses if use.identity.client == identity.client and kind in use.kinds]

    def _blame(self, use: Use, text: str) -> None:
        self.history.blame("limits", f"{use.identity.client}: {text}")


def _hasEnd(exchange: Exchange) -> bool:
    """Return whether the end of a run has arrived with an answer."""
    reply = exchange.reply
    streamed = reply.headers.get("content-type", "").startswith("text/event-stream")
    hasEnd = _END.search(reply.body) is not None and b"the answer cannot be whole" not in reply.body
    return reply.complete and (hasEnd or not streamed)


def findKinds(query: Query) -> frozenset[str]:
    """Return the shares that a request may take, beside a connection."""
    return frozenset(_findKinds(query))


def _findKinds(query: Query) -> Iterator[str]:
    path = query.path.partition("?")[0]
    if query.method == "POST" and path in _STARTS:
        yield from ("run", "start")
        if path != "/streams":
            yield "viewer"
    elif path == "/" and "event-stream" in query.headers.get("Accept", ""):
        yield from ("run", "start", "viewer")
    elif _STREAM.fullmatch(path):
        if query.method in ("POST", "PUT"):
            yield "publish"
        elif "event-stream" in query.headers.get("Accept", "") or "format=" in query.path:
            yield "viewer"
