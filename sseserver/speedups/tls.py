"""
The fast TLS of a connection: Python's `ssl`, without buffers of its own between the channel and TCP.

Twisted's TLS keeps writes until a later turn, encrypts them, and queues the records for another one; each of its
connections has two memory BIOs and a dozen objects of Python. A `TLSConnection` encrypts at once, and its two BIOs
belong to the `TLSServer`: they are empty whenever no connection uses them. `sseserver.speedups.tlsbody` sends the
records of responses past the queue of the TCP connection, at the end of the turn.

`sseserver.command.tlsport` chooses between this and Twisted's TLS.
"""

from __future__ import annotations

from contextlib import suppress
from ssl import MemoryBIO, SSLContext, SSLError, SSLObject, SSLWantReadError
from typing import Any

from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport
from zope.interface import classImplements

from sseserver.speedups.clienthello import NO_PROTOCOL, isCut, isPlainHTTP, listProtocols
from sseserver.speedups.states import TLS_STATES, TLSState
from sseserver.steps import step

#: Bytes. Text of the largest record (RFC 8446 section 5.1).
_RECORD = 16 * 1024


class TLSServer:
    """
    A server's side of TLS, with one certificate.

    Args:
        context: Has key and certificate.
        protocol: Name of the application protocol.
        refusal: Answer to plain HTTP.

    Attributes:
        incoming: Records that are to be decrypted. Each connection empties it before another one uses it.
        outgoing: Records that are to be sent, likewise.
    """

    __slots__ = ("_context", "_protocol", "_refusal", "incoming", "outgoing")

    def __init__(self, context: SSLContext, protocol: bytes, refusal: bytes) -> None:
        self._context = context
        self._protocol = protocol
        self._refusal = refusal
        self.incoming = MemoryBIO()
        self.outgoing = MemoryBIO()

    def refuse(self, data: bytes) -> bytes:
        """
        Return the answer to a client with which there can be no handshake.

        Args:
            data: The first bytes of the connection.

        Returns:
            The answer to plain HTTP, or to a client that offers only other protocols; none to any other.
        """
        if isPlainHTTP(data):
            return self._refusal
        return b"" if self._protocol in (listProtocols(data) or (self._protocol,)) else NO_PROTOCOL

    def accept(self) -> SSLObject:
        """Begin the TLS of one connection."""
        return self._context.wrap_bio(self.incoming, self.outgoing, server_side=True)


class OverTCP:
    """
    Base of a transport over a TCP connection that answers for it in all that is not TLS.

    Attributes:
        transport: The TCP connection.
    """

    __slots__ = ("transport",)

    transport: Any

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See `IConsumer.registerProducer`."""
        self.transport.registerProducer(producer, streaming)

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """See `IProducer.stopProducing`."""
        self.loseConnection()

    def loseWriteConnection(self) -> None:
        """See `ITCPTransport.loseWriteConnection`: TLS has no half of a connection."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """See `ITransport.loseConnection`."""
        raise NotImplementedError("A subclass of OverTCP must implement loseConnection().")

    def getPeer(self) -> Any:
        """See `ITransport.getPeer`."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """See `ITransport.getHost`."""
        return self.transport.getHost()

    def getTcpNoDelay(self) -> Any:
        """See `ITCPTransport.getTcpNoDelay`."""
        return self.transport.getTcpNoDelay()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See `ITCPTransport.setTcpNoDelay`."""
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> Any:
        """See `ITCPTransport.getTcpKeepAlive`."""
        return self.transport.getTcpKeepAlive()

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """See `ITCPTransport.setTcpKeepAlive`."""
        self.transport.setTcpKeepAlive(enabled)

    def getPeerCertificate(self) -> None:
        """See `ISSLTransport.getPeerCertificate`: clients are not asked for one."""
        return


class TLSConnection(OverTCP):
    """
    The TLS of one connection: the protocol of its TCP connection, and the transport of its channel.

    Its states are `TLSState`. As with Twisted's TLS the channel is connected before the handshake, so its deadlines
    hold for that, too.

    Args:
        protocol: The channel.
        server: Its side of TLS.

    Attributes:
        body: Sends records past the queue of the TCP connection; `None` if the channel has no such body.
        disconnecting: Whether the connection is being closed.
        isOpen: Whether bytes can be written.
        protocol: See above; `None` after the end.
    """

    __slots__ = ("_early", "_hello", "_server", "_state", "_tls", "body", "disconnecting", "isOpen", "protocol")

    def __init__(self, protocol: Any, server: TLSServer) -> None:
        self.protocol: Any = protocol
        self.transport: Any = None
        self.body: Any = None
        self.disconnecting = False
        self.isOpen = False
        self._server = server
        self._state = TLSState.SHAKING
        # Made with the first record: until then a client costs no more than without TLS.
        self._tls: Any = None
        # The first bytes, until the record is complete.
        self._hello = b""
        # Written before the end of the handshake.
        self._early = b""

    # The protocol of the TCP connection.

    def makeConnection(self, transport: Any) -> None:
        """See `IProtocol.makeConnection`."""
        self.transport = transport
        self.protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol.dataReceived`."""
        if self._isLost():
            return
        server = self._server
        if self._tls is None:
            self._hello = data = self._hello + data
            if not self._begin(data):
                return
        server.incoming.write(data)
        pieces: list[bytes] = []
        try:
            isOver = self._receive(pieces)
        finally:
            # The rest of a failed connection must not reach the next one.
            server.incoming.read()
        self._flush()
        if self._early and self._state is TLSState.OPEN:
            self._writeEarly()
        if pieces and not self._isLost():
            self.protocol.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if isOver:
            self._end()

    def connectionLost(self, reason: Any) -> None:
        """See `IProtocol.connectionLost`."""
        self._lose()
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)
        # Each of them refers to this object.
        self.body = None

    # The transport of the channel.

    def write(self, data: bytes) -> None:
        """See `ITransport.write`."""
        if self._state is TLSState.SHAKING:
            if not self.disconnecting:
                self._early += data
        elif self.isOpen and data:
            self.transport.write(self.encrypt(data))

    def writeSequence(self, data: Any) -> None:
        """See `ITransport.writeSequence`."""
        self.write(b"".join(data))

    def encrypt(self, data: bytes) -> bytes:
        """
        Encrypt bytes, in an open connection.

        Args:
            data: At least one byte.

        Returns:
            The records, which must be sent before any others; none if the connection has failed, and is lost now.
        """
        outgoing = self._server.outgoing
        try:
            sent = self._tls.write(data)
            while sent < len(data):
                sent += self._tls.write(memoryview(data)[sent : sent + _RECORD])
        except SSLError:
            outgoing.read()
            self.abortConnection()
        return outgoing.read()

    def loseConnection(self) -> None:
        """See `ITransport.loseConnection`: close the connection when the producer has ended, with a `close_notify`."""
        if self.disconnecting:
            return
        self.disconnecting = True
        if self._state is TLSState.SHAKING and not self._early:
            self.abortConnection()
        elif self.transport.producer is None:
            self._shut()

    def abortConnection(self) -> None:
        """See `ITCPTransport.abortConnection`."""
        self.disconnecting = True
        self._lose()
        self.transport.abortConnection()

    def unregisterProducer(self) -> None:
        """See `IConsumer.unregisterProducer`."""
        self.transport.unregisterProducer()
        if self.disconnecting:
            self._shut()

    # The records.

    def _begin(self, data: bytes) -> bool:
        """
        Begin with TLS when the first record is complete, or refuse the client.

        Args:
            data: The first bytes of the connection.

        Returns:
            Whether they are for OpenSSL.
        """
        refusal = self._server.refuse(data)
        if refusal:
            self._lose()
            self.transport.write(refusal)
            self.transport.loseConnection()
            return False
        if isCut(data):
            return False
        self._hello = b""
        self._tls = self._server.accept()
        return True

    def _receive(self, pieces: list[bytes]) -> bool:
        """
        Take the handshake a step further, and decrypt the records.

        Args:
            pieces: Gets the decrypted bytes.

        Returns:
            Whether nothing follows them: the client has sent its `close_notify`, or has broken the protocol.
        """
        tls, incoming = self._tls, self._server.incoming
        try:
            if self._state is TLSState.SHAKING:
                tls.do_handshake()
                self._step(TLSState.OPEN)
                self.isOpen = True
            while incoming.pending or tls.pending():
                piece = tls.read(_RECORD)
                if not piece:
                    return True
                pieces.append(piece)
        except SSLWantReadError:
            return False
        except SSLError:
            return True
        return False

    def _flush(self) -> None:
        """Send the records that OpenSSL has made itself: of the handshake, alerts, and answers to `KeyUpdate`."""
        outgoing = self._server.outgoing
        if outgoing.pending:
            records = outgoing.read()
            if self.body is None:
                self.transport.write(records)
            else:
                self.body.sendRecords(records)

    def _writeEarly(self) -> None:
        """Write the bytes that came before the end of the handshake, and close the connection if they are the last."""
        early, self._early = self._early, b""
        self.transport.write(self.encrypt(early))
        if self.body is not None:
            self.body.forget()
        if self.disconnecting and self.transport.producer is None:
            self._shut()

    def _shut(self) -> None:
        """Send a `close_notify`, if that was not done. The connection ends with that of the client."""
        if self.body is not None:
            self.body.flush()
        if not self.isOpen:
            return
        self._step(TLSState.SHUT)
        self._forbid()
        try:
            self._tls.unwrap()
        except SSLWantReadError:
            self._flush()
        except SSLError:
            self._end()
        else:
            self._end()

    def _end(self) -> None:
        """Answer the `close_notify` of the client, or its mistake, and close the connection when that is sent."""
        if not self._isLost():
            with suppress(SSLError):
                self._tls.unwrap()
            self._flush()
            self._lose()
            self.disconnecting = True
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def _lose(self) -> None:
        """Write and read nothing more."""
        self._step(TLSState.LOST)
        self._forbid()
        self._tls = None
        self._early = self._hello = b""

    def _forbid(self) -> None:
        """Let nothing be written."""
        self.isOpen = False
        if self.body is not None:
            self.body.forget()

    def _isLost(self) -> bool:
        return self._state is TLSState.LOST

    def _step(self, state: TLSState) -> None:
        self._state = step(TLS_STATES, self._state, state)


classImplements(TLSConnection, ISSLTransport, IPushProducer, IConsumer)
