"""
Refusals: when 503, 429 and an invitation to return later are right, and when they are wrong.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from tests.simulation.history import History
from tests.simulation.identities import Identity
from tests.simulation.limits import Limits, Use, findKinds
from tests.simulation.wire import Exchange, Query

#: Codes of the errors of a server without room.
_FULL = ("overloaded", "store_unavailable")


#: Codes of errors after which the client is told when to come again. A token source has codes of its own.
_TEMPORARY = (*_FULL, "rate_limit_exceeded", "shutdown")

#: The resources of which each kind of request needs some.
_NEEDS = {
    "publish": frozenset({"streams"}),
    "run": frozenset({"streams", "runs"}),
    "viewer": frozenset({"viewers"}),
}


@dataclass(slots=True)
class Refusals:
    """
    Judges all answers to all actors.

    Attributes:
        history: Takes the verdicts.
        limits: The shares of the clients.
        tight: What the server may have no room for: `streams`, `runs`, `viewers`.
        relays: Whether runs may end with any status, which an upstream has chosen.
    """

    history: History
    limits: Limits
    tight: frozenset[str] = frozenset()
    relays: bool = False
    _shut: dict[str, list[list[float]]] = field(default_factory=lambda: defaultdict(list))

    def shutFrom(self, reason: str, now: float) -> None:
        """Note that the server may refuse everything from now on; with the reason `leaving`, that it is not ready."""
        self._shut[reason].append([now, float("inf")])

    def shutUntil(self, reason: str, then: float) -> None:
        """Note that a reason to refuse everything has ended, or will at a time."""
        for span in self._shut[reason]:
            span[1] = min(span[1], then)

    def isShut(self, begin: float, end: float, *reasons: str) -> bool:
        """Return whether there was a reason to refuse everything within some time."""
        spans = [span for reason in reasons or ("down", "disk") for span in self._shut[reason]]
        return any(first <= end and begin <= last for first, last in spans)

    def judge(self, identity: Identity, query: Query, exchange: Exchange, use: Use | None, life: int) -> None:
        """
        Judge an answer.

        Args:
            identity: Who has sent the request.
            query: The request.
            exchange: Its exchange, which is over.
            use: What the limits know about it.
            life: Life of the server.
        """
        reply, kinds = exchange.reply, findKinds(query)
        relayed = self.relays and "run" in kinds
        over = float("inf") if exchange.overAt is None else exchange.overAt
        isUp = not self.isShut(exchange.sentAt, over)
        isServed = isUp and not any(_NEEDS.get(kind, kinds) & self.tight for kind in kinds or {"viewer"})
        if use is not None:
            self.limits.end(use, life, isServed)
            if exchange.isClosed and isUp:
                self.limits.judgeConnection(use)
        if query.isSecure and reply.status and exchange.protocol != "http/1.1":
            self.history.blame("edge", f"{query.path}: the server speaks {exchange.protocol}")
        if not reply.complete:
            return
        code = (reply.json or {}).get("error", {}).get("code") if reply.status in (429, 503) else None
        if (
            (reply.status == 429 and not (identity.client or relayed))
            or (reply.status == 503 and code in _FULL and isServed and not relayed)
            or (exchange.isTurnedAway and isServed and not (use is not None and self.limits.mayRefuse(use)))
        ):
            self._blame(identity, query, exchange)
        if code in _TEMPORARY and reply.retryAfter is None and not relayed:
            self.history.blame("refused", f"{query.method} {query.path}: {reply.status} without Retry-After")

    def _blame(self, identity: Identity, query: Query, exchange: Exchange) -> None:
        who, reply = identity.client or "a program on this machine", exchange.reply
        text = f"{query.method} {query.path} of {who}: {reply.status} {reply.body[:200]!r}, and there is room"
        self.history.blame("refused", text)
