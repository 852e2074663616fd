"""
The key server of an issuer: publishes a JSON Web Key Set, replaces keys, and is not always there.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from tests.simulation.credentials import Issuer, Signer
from tests.simulation.network import Network

#: Port of the key server.
KEYS_PORT = 9002

#: Seconds between two fetches of the server, whatever keys tokens name, and the time of a fetch.
_PAUSE, _FETCH = 10.0, 10.0


class KeyServer(Issuer):
    """
    An issuer with key pairs.

    Args:
        network: Of the simulation.
        chance: Decides when it fails, and when it has another key.
    """

    def __init__(self, network: Network, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self._network = network
        self._signers = [Signer(None)]
        self.signer = self._signers[0]
        # When the server has asked last.
        self._askedAt = float("-inf")
        network.listen(KEYS_PORT, lambda sock, peer: _Connection(self, sock))
        network.world.after(round(chance.random() * 12, 3), self._renew)

    def mayBeUnknown(self, now: float) -> bool:
        """See `Issuer.mayBeUnknown`."""
        return now - self._askedAt < _PAUSE + _FETCH

    def answer(self) -> bytes | None:
        """Return the answer to a request for the keys; `None` for none."""
        self._askedAt = self._network.world.now
        if self._chance.random() < 0.2:
            return None
        others = [{"kty": "RSA", "kid": "other"}, {"kty": "oct", "kid": "shared", "k": "AAAA"}]
        body = json.dumps({"keys": [*others, *(signer.public for signer in self._signers)]}).encode()
        if self._chance.random() < 0.1:
            body = self._chance.choice((b"{}", b"<html>"))
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def _renew(self) -> None:
        """Add a key pair, and use it from now on."""
        self.signer = Signer(None, len(self._signers))
        self._signers.append(self.signer)


class _Connection:
    """One connection to the key server."""

    def __init__(self, server: KeyServer, sock: Any) -> None:
        self._server = server
        self._socket = sock
        self._received = self._out = b""
        sock.watch = self._work

    def _work(self) -> None:
        sock = self._socket
        if sock.closed:
            return
        try:
            while sock.readable:
                data = sock.recv(16384)
                if not data:
                    sock.close()
                    return
                self._received += data
            if b"\r\n\r\n" in self._received:
                self._received = b""
                answer = self._server.answer()
                if answer is None:
                    sock.reset()
                    return
                self._out += answer
            while self._out and sock.writable:
                self._out = self._out[sock.send(self._out) :]
        except OSError:
            sock.close()
