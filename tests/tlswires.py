"""
Wires in memory with TLS: OpenSSL on both sides, Twisted's own transport on the server's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from OpenSSL import SSL

from tests.wires import Wire, WireReactor


class TLSWire(Wire):
    """
    A TLS connection, seen from the client. The handshake is over when it is made.

    Args:
        factory: A `TLSMemoryBIOFactory` around the site.
        reactor: Moves the bytes.
    """

    def __init__(self, factory: Any, reactor: WireReactor) -> None:
        super().__init__(factory, reactor)
        self._client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self._client.set_connect_state()
        # Bytes of the server that OpenSSL has, and those that it has decrypted.
        self._given = 0
        self._decrypted = b""
        while not self._shakeHands():
            self._exchange()
        self._exchange()

    def send(self, data: bytes) -> None:
        """Encrypt bytes, and send them to the server."""
        self._client.send(data)
        self._exchange()

    @property
    def received(self) -> bytes:
        """All bytes from the server, decrypted."""
        self._give()
        try:
            while True:
                self._decrypted += self._client.recv(1 << 16)
        except SSL.Error:
            return self._decrypted

    def _shakeHands(self) -> bool:
        try:
            self._client.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def _exchange(self) -> None:
        """Send the bytes that OpenSSL has for the server, and give it the answer."""
        with suppress(SSL.WantReadError):
            self.socket.incoming += self._client.bio_read(1 << 16)
        self.reactor.turn()
        self._give()

    def _give(self) -> None:
        sent = self.socket.sent
        if len(sent) > self._given:
            self._client.bio_write(sent[self._given :])
            self._given = len(sent)
