"""
Wires in memory with TLS: OpenSSL on both sides, our own transport or Twisted's on the server's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from OpenSSL import SSL

from sseserver.command.tlsport import Certificate, TLSFactory
from sseserver.options import defaultOf
from tests.certificates import makeCertificate
from tests.wires import Wire, WireReactor


def secure(site: Any, reactor: WireReactor, plain: bool | None = None) -> TLSFactory:
    """
    Put TLS under a site.

    Args:
        site: The factory of the channels.
        reactor: Calls later.
        plain: Whether it is that of Twisted; by default as the environment says.
    """
    plain = bool(defaultOf("plain")) if plain is None else plain
    return TLSFactory(Certificate(makeCertificate(), plain), site, reactor)


class TLSWire(Wire):
    """
    A TLS connection, seen from the client. The handshake is over when it is made.

    Args:
        factory: A factory of connections with TLS around the site.
        reactor: Moves the bytes.
        context: Of the client.
        session: A session of the client that it resumes.

    Attributes:
        client: The client's side of TLS.
    """

    def __init__(
        self, factory: Any, reactor: WireReactor, context: SSL.Context | None = None, session: Any = None
    ) -> None:
        super().__init__(factory, reactor)
        self.client = SSL.Connection(context or SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.client.set_connect_state()
        if session is not None:
            self.client.set_session(session)
        # Bytes of the server that OpenSSL has, and those that it has decrypted.
        self._given = 0
        self._decrypted = b""
        while not self._shakeHands():
            self.exchange()
        self.exchange()

    def send(self, data: bytes) -> None:
        """Encrypt bytes, and send them to the server."""
        self.client.sendall(data)
        self.exchange()

    @property
    def received(self) -> bytes:
        """All bytes from the server, decrypted."""
        self._give()
        try:
            while True:
                self._decrypted += self.client.recv(1 << 16)
        except SSL.Error:
            return self._decrypted

    def _shakeHands(self) -> bool:
        try:
            self.client.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def shutDown(self) -> None:
        """Send a `close_notify`."""
        self.client.shutdown()
        self.exchange()

    def exchange(self) -> None:
        """Send the bytes that OpenSSL has for the server, and give it the answer."""
        with suppress(SSL.WantReadError):
            while True:
                self.socket.incoming += self.client.bio_read(1 << 16)
        self.reactor.turn()
        self._give()

    def _give(self) -> None:
        sent = self.socket.sent
        if len(sent) > self._given:
            self.client.bio_write(sent[self._given :])
            self._given = len(sent)
