"""
Pages: browsers with pages of other origins, of which the gate lets one in.
"""

from __future__ import annotations

from dataclasses import replace

from tests.simulation.credentials import APPLICATION, bear, makeKey
from tests.simulation.identities import Identity
from tests.simulation.viewers import Stage
from tests.simulation.wire import GATE_PORT, Query, Reply

#: Origin of an application's pages, which may use the server.
ORIGIN = "https://app.example"

#: Origins of others.
_FOREIGN = ("https://evil.example", "null", "https://app.example:444", "http://app.example")

_ALLOW = "access-control-allow-origin"


class Page:
    """
    A page in a browser.

    Args:
        stage: See `Stage`.
        number: Of this page.
    """

    def __init__(self, stage: Stage, number: int) -> None:
        self._stage = replace(stage, identity=Identity(f"page{number}", port=GATE_PORT))
        self._name = f"page{number}"
        self._isListed = stage.chance.random() < 0.5
        self._origin = ORIGIN if self._isListed else stage.chance.choice(_FOREIGN)

    def visit(self, stream: str) -> None:
        """Do with a stream whatever scripts of the page can."""
        path, key = f"/streams/{stream}", bear(makeKey(APPLICATION))
        asks = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
        }
        self._ask(Query("OPTIONS", path, asks), 204 if self._isListed else 403)
        self._ask(Query("OPTIONS", path, asks | {"Sec-Fetch-Site": "cross-site"}), 204 if self._isListed else 403)
        # A page may ask for everything, but read the answer only if its origin is listed.
        self._ask(Query("GET", path, {"Accept": "application/json", **key}), 200, 404)
        self._ask(Query("GET", path), 401)
        kind = {"Content-Type": "application/json"}
        self._ask(Query("POST", "/streams", {**kind, **key}, b"{"), 400 if self._isListed else 403)
        self._ask(
            Query("DELETE", "/streams/nobody", {"Sec-Fetch-Site": "same-site", **key}), 404 if self._isListed else 403
        )

    def _ask(self, query: Query, *statuses: int) -> None:
        query = replace(query, headers={"Origin": self._origin, **query.headers})
        self._stage.ask(query, lambda reply: self._judge(query, reply, statuses))

    def _judge(self, query: Query, reply: Reply, statuses: tuple[int, ...]) -> None:
        self._stage.history.add(self._name, f"{query.method} {query.path} from {self._origin}: {reply.status}")
        if reply.status in (0, 429, 503):
            return
        what = f"{query.method} {query.path} from {self._origin}"
        if reply.status not in statuses:
            self._blame(f"{reply.status} for {what}, must be {statuses}")
        if reply.headers.get(_ALLOW) != (ORIGIN if self._isListed else None):
            self._blame(f"{what} is allowed for {reply.headers.get(_ALLOW)}")
        if "origin" not in reply.headers.get("vary", "").lower():
            self._blame(f"the answer to {what} does not vary with the origin")

    def _blame(self, text: str) -> None:
        self._stage.history.blame("origin", f"{self._name}: {text}")
