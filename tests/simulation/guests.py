"""
Guests: viewers whose credentials end, and strangers who have none for what they ask for.

They come through the gate of the server: with a token, with a signed link that the application has asked for, or with
the cookie of a session.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.simulation.credentials import APPLICATION, LINK_KEY, Signer, bear, grantOf, makeKey
from tests.simulation.eventsviewer import EventsViewer
from tests.simulation.identities import Identity
from tests.simulation.viewers import Stage
from tests.simulation.wire import GATE_PORT, Exchange, Query, Reply

#: Seconds. Time in which a response must end after the expiry of its principal.
EXPIRY = 5.0

#: How a guest shows its rights.
WAYS = ("token", "token", "link", "cookie")


class Guest(EventsViewer):
    """
    A viewer of a stream behind the gate: each of its responses ends with its rights, and it resumes with new ones.

    Args:
        stage: See `Stage`.
        name: Its name in the history.
        stream: Name of the stream.
        chance: Decides how long its rights last.
    """

    def __init__(self, stage: Stage, name: str, stream: str, chance: Random) -> None:
        super().__init__(replace(stage, identity=Identity(name, port=GATE_PORT)), name, stream)
        self._chance = chance
        self._expires = self._ends = 0.0
        self._way = chance.choice(WAYS)
        self._asks = self._isTried = False
        self._plainPath = self.path

    def start(self) -> None:
        """See `Viewer.start`."""
        if self.finished or self.live or self._asks:
            return
        expires = self._ends = self.stage.now + round(1 + 6 * self._chance.random(), 3)
        token = self.stage.issuer.signer.sign(self.name, [grantOf("read", self.stream)], expires)
        if self._way == "token":
            self.headers = bear(token)
            self._begin(expires)
        elif self._way == "cookie":
            self._ask(Query("POST", "/session", bear(token), b""), self._takeCookie)
        else:
            # Links end at a full second.
            body = json.dumps({"seconds": 1 + int(expires - self.stage.now)}).encode()
            headers = {**bear(makeKey(APPLICATION)), "Content-Type": "application/json"}
            self._ask(Query("POST", f"/streams/{self.stream}/links", headers, body), self._takeLink)

    def _ask(self, query: Query, take: Callable[[Reply], object]) -> None:
        """Ask for a credential."""
        self._asks = True

        def answered(reply: Reply) -> None:
            self._asks = False
            self.stage.history.add(self.name, f"{query.path}: {reply.status}")
            if reply.status == 201 and reply.complete:
                take(reply)
            elif reply.status in (0, 201, 503) or (reply.status == 401 and "Cookie" not in query.headers):
                self._return()
            else:
                self.blame("status", f"{reply.status} for {query.path}: {reply.body[:200]!r}")
                self.finished = True

        self.stage.ask(query, answered)

    def _takeCookie(self, reply: Reply) -> None:
        self.headers = {"Cookie": reply.headers["set-cookie"].partition(";")[0]}
        # In full seconds, the end that is told is a little earlier.
        if not self._ends - 2.0 <= reply.json["expires"] <= self._ends:
            self.blame("rights", f"the cookie of {self._ends} ends at {reply.json['expires']}")
        self._begin(self._ends)

    def _takeLink(self, reply: Reply) -> None:
        self.path = reply.json["url"]
        if not self.path.startswith(f"{self._plainPath}?"):
            self.blame("link", f"the link is {self.path}")
        self._begin(reply.json["expires"])

    def _begin(self, expires: float) -> None:
        self._expires = expires
        super().start()
        exchange = self.exchange
        wait, query = max(0.0, expires - self.stage.now), Query("GET", self.path, self.headers)
        self.stage.after(wait + EXPIRY, lambda: self._checkEnd(exchange))
        if not self._isTried:
            self._isTried = True
            self.stage.after(wait + 0.5, lambda: self.stage.ask(query, self._judgeLate))

    def _judgeLate(self, reply: Reply) -> None:
        """Judge the answer to a request with a credential that has expired."""
        self.stage.history.add(self.name, f"late: {reply.status}")
        if reply.status not in (0, 401, 429, 503):
            self.blame("rights", f"{reply.status} for a {self._way} that has expired")

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
        unknown = self._way == "token" and self.stage.issuer.mayBeUnknown(self.stage.now)
        if self.stage.now < self._expires and not unknown:
            self.blame("rights", f"401 before {self._expires}")
        self._return()


class Stranger:
    """
    A client that asks for a stream with the rights for another one, or with a forged credential.

    Args:
        stage: See `Stage`.
        name: Its name in the history.
    """

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = replace(stage, identity=Identity(name, port=GATE_PORT))
        self._name = name

    def ask(self, stream: str) -> None:
        """Ask for a stream in any way; it must look as if there were none."""
        now, grants = self._stage.now, [grantOf("read,publish,cancel,delete", f"{stream}x")]
        headers = bear(self._stage.issuer.signer.sign(self._name, grants, now + 60))
        for method, path, status in (
            ("GET", f"/streams/{stream}", 404),
            ("DELETE", f"/streams/{stream}", 404),
            ("POST", f"/streams/{stream}/cancel", 404),
            ("PUT", f"/streams/{stream}", 403),
            ("POST", f"/streams/{stream}", 404),
            ("GET", "/streams", 403),
            ("POST", "/streams", 403),
            ("POST", "/v1/chat/completions", 403),
        ):
            query = Query(method, path, headers, b"" if method == "POST" else None)
            self._try(query, status, *((401,) if self._stage.issuer.mayBeUnknown(now) else ()))
        self._forge(stream)

    def _forge(self, stream: str) -> None:
        """Ask with credentials that nobody has given."""
        now, all_ = self._stage.now, [grantOf("read,publish,run,cancel,delete,list", "*")]
        signer = self._stage.issuer.signer
        link = f"rights=read&streams={stream}&expires={int(now) + 60}"
        for headers, query in (
            ({}, ""),
            (bear("sse_unknown"), ""),
            (bear(Signer(LINK_KEY).sign(self._name, all_, now + 60)), ""),
            (bear(Signer(None, 99).sign(self._name, all_, now + 60)), ""),
            (bear(Signer(None, 99).sign(self._name, all_, now + 60, kid="key0")), ""),
            (bear(signer.sign(self._name, all_, now - 1)), ""),
            (bear(signer.sign(self._name, all_, now + 60, alg="none")), ""),
            (bear(signer.sign(self._name, all_, now + 60, crit=["x"])), ""),
            ({"Authorization": "Basic dXNlcjpwYXNz"}, ""),
            ({"Cookie": "sseserver_session=e30.AAAA"}, ""),
            ({}, f"?{link}&sig={'A' * 43}"),
            ({}, f"?{link}&sig=x&sig=y"),
        ):
            self._try(Query("GET", f"/streams/{stream}{query}", headers), 401)

    def _try(self, query: Query, *statuses: int) -> None:
        """Ask; one of the statuses must be the answer."""
        self._stage.ask(query, lambda reply: self._judge(reply, set(statuses), query))

    def _judge(self, reply: Reply, statuses: set[int], query: Query) -> None:
        path = query.path.partition("?")[0]
        self._stage.history.add(self._name, f"{query.method} {path}: {reply.status}")
        if reply.status == 401 and "www-authenticate" not in reply.headers:
            self._stage.history.blame("rights", f"{self._name}: 401 without WWW-Authenticate")
        if reply.status not in {0, 429, 503, *statuses}:
            text = f"{reply.status} for {query.method} {path} with {sorted(query.headers)}, must be {statuses}"
            self._stage.history.blame("rights", f"{self._name}: {text}")
