"""
Identities: who an actor is for the server, by its address, by what a proxy says, or by its credential.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random

from tests.simulation.credentials import Signer, bear, grantOf, makeKey
from tests.simulation.wire import GATE_PORT, PORT, PROXIED_PORT, TLS_PORT, Query

#: Address of a proxy that the server trusts; its network.
PROXY, PROXIES = "10.9.0.1", "10.9.0.0/16"


#: Begins the header of the PROXY protocol, version 2.
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


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
        prefix: The header of the PROXY protocol, before each request.
        isSecure: Whether it speaks TLS.
    """

    client: str = ""
    peer: str = ""
    source: str = "127.0.0.1"
    headers: Mapping[str, str] = field(default_factory=dict)
    port: int = PORT
    isPublic: bool = False
    prefix: bytes = b""
    isSecure: bool = False

    def dress(self, query: Query) -> Query:
        """Return a request as this client sends it."""
        port = self.port if query.port == PORT else query.port
        headers = {**self.headers, **query.headers}
        query = replace(query, prefix=self.prefix, isSecure=self.isSecure)
        return replace(query, source=self.source, headers=headers, port=port)


#: A program on the machine of the server, and one that speaks TLS.
LOCAL = Identity()
SECURE = Identity(port=TLS_PORT, isSecure=True)


def makeNeighbours(chance: Random, now: float, signer: Signer) -> list[Identity]:
    """
    Make the identities of one client: several ways to be the same.

    Args:
        chance: Chooses.
        now: Seconds since 1970.
        signer: Signs tokens.
    """
    number = chance.randint(2, 9)
    kind = chance.choice(("address", "forwarded", "network", "public", "key", "token", "proxied"))
    if kind == "proxied":
        # The PROXY protocol, versions 1 and 2; what the client itself says about its address is not believed.
        client, addresses = f"10.5.0.{number}", bytes((10, 5, 0, number, 10, 9, 0, 1, 1, 0, 31, 64))
        lines = (b"PROXY TCP4 %b 10.9.0.1 256 8000\r\n" % client.encode(), _SIGNATURE + b"\x21\x11\0\x0c" + addresses)
        owner = f"address {client}"
        return [Identity(owner, owner, PROXY, port=PROXIED_PORT, prefix=line) for line in lines]
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
    tokens = [signer.sign(name, grants, now + life) for life in (1000, 2000)]
    return [Identity(name, headers=bear(token), port=GATE_PORT) for token in tokens]


def _forward(client: str, value: str) -> Identity:
    isPublic = client.startswith("2a00")
    return Identity(f"address {client}", "", PROXY, {"X-Forwarded-For": value}, isPublic=isPublic)
