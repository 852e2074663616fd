"""
Identities: who an actor is for the server, by its address, by what a proxy says, or by its credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from tests.simulation.credentials import bear, grantOf, makeKey, makeToken
from tests.simulation.wire import GATE_PORT, PORT, Query

#: Address of a proxy that the server trusts; its network.
PROXY, PROXIES = "10.9.0.1", "10.9.0.0/16"


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Someone for whom an actor sends its requests.

    Attributes:
        client: The client whose shares they take; empty for a program on the server's machine, which has no limits.
        peer: The client whose connections they take; empty for no limit.
        source: Address from which it connects.
        headers: Headers of its requests.
        port: Port of its requests.
        isPublic: Whether it has an address of the public internet, with limits of its own.
    """

    client: str = ""
    peer: str = ""
    source: str = "127.0.0.1"
    headers: Mapping[str, str] = field(default_factory=dict)
    port: int = PORT
    isPublic: bool = False

    def dress(self, query: Query) -> Query:
        """Return a request as this client sends it."""
        port = self.port if query.port == PORT else query.port
        return replace(query, source=self.source, headers={**self.headers, **query.headers}, port=port)


#: A program on the machine of the server.
LOCAL = Identity()


def makeNeighbours(chance: Random, now: float) -> list[Identity]:
    """
    Make the identities of one client: several ways to be the same.

    Args:
        chance: Chooses.
        now: Seconds since 1970.
    """
    number = chance.randint(2, 9)
    kind = chance.choice(("address", "forwarded", "network", "public", "key", "token"))
    if kind == "address":
        # Nobody believes the claims of a client.
        source = f"10.1.0.{number}"
        claims = ({}, {"X-Forwarded-For": f"10.2.0.{number}"}, {"X-Forwarded-For": "127.0.0.1"})
        return [Identity(f"address {source}", source, source, claim) for claim in claims]
    if kind == "public":
        source = f"9.9.9.{number}"
        return [Identity(f"address {source}", source, source, isPublic=True)]
    if kind == "forwarded":
        # Only the last entry was written by a trusted proxy.
        values = (
            f"10.3.0.{number}",
            f"10.4.0.1, 10.3.0.{number}",
            f"10.3.0.{number}:55, {PROXY}",
            f"x,10.3.0.{number}",
        )
        return [_forward(f"10.3.0.{number}", value) for value in values]
    if kind == "network":
        # All addresses of one customer of a provider.
        return [_forward(f"2a00:0:0:{number}::", f"2a00:0:0:{number}::{last}") for last in (1, 2)]
    if kind == "key":
        return [Identity("shop", headers=bear(makeKey("shop")), port=GATE_PORT)]
    name = f"user{number}"
    grants = [grantOf("read,publish,run,cancel", "*")]
    tokens = [makeToken(name, grants, now + life) for life in (1000, 2000)]
    return [Identity(name, headers=bear(token), port=GATE_PORT) for token in tokens]


def _forward(client: str, value: str) -> Identity:
    isPublic = client.startswith("2a00")
    return Identity(f"address {client}", "", PROXY, {"X-Forwarded-For": value}, isPublic=isPublic)
