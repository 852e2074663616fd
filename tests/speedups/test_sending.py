"""`sseserver.speedups.sending`, and the function of the compiled build that stands in its place."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.trial.unittest import SynchronousTestCase

from sseserver.speedups import sending
from sseserver.speedups.sendbuffer import SendBuffer


class NoReactor(Clock):
    """A reactor that polls nothing."""

    def addWriter(self, writer: object) -> None:
        """See `IReactorFDSet.addWriter`."""


class SendingTests(SynchronousTestCase):
    """Bytes on a real connection."""

    def setUp(self) -> None:
        """Connect two sockets."""
        self.socket, self.peer = socket.socketpair()
        self.socket.setblocking(False)
        self.peer.setblocking(False)
        self.addCleanup(self.socket.close)
        self.addCleanup(self.peer.close)

    def makeBuffer(self) -> tuple[SendBuffer, Any]:
        """Make the buffer of a connection, and the connection."""
        reactor: Any = NoReactor()
        transport: Any = Connection(self.socket, None, reactor)
        transport.connected = True
        return SendBuffer(transport), transport

    def write(self, buffer: SendBuffer, data: bytes) -> None:
        """Write a small piece, and send it."""
        buffer.add(data)
        buffer.flush()

    def test_send(self) -> None:
        """The number of bytes that were sent is returned."""
        self.assertEqual(sending.send(self.socket, b"abc"), 3)
        self.assertEqual(self.peer.recv(10), b"abc")

    def test_noRoom(self) -> None:
        """A full socket takes a part, and then nothing."""
        data = b"x" * (1 << 24)
        taken = sending.send(self.socket, data)
        self.assertTrue(0 < taken < len(data))
        self.assertEqual(sending.send(self.socket, data), 0)

    def test_closed(self) -> None:
        """A closed socket takes nothing, even if another one has its descriptor now."""
        self.socket.close()
        other, end = socket.socketpair()
        self.addCleanup(other.close)
        self.addCleanup(end.close)
        end.setblocking(False)
        self.assertEqual(sending.send(self.socket, b"abc"), 0)
        self.assertRaises(BlockingIOError, end.recv, 10)

    def test_buffer(self) -> None:
        """A buffer sends its bytes at once, and leaves none to its transport."""
        buffer, _ = self.makeBuffer()
        self.write(buffer, b"abc")
        self.assertEqual(self.peer.recv(10), b"abc")
        self.assertTrue(buffer.isEmpty())

    def test_bufferOfFullSocket(self) -> None:
        """Bytes that a full socket does not take are queued, once and in order."""
        buffer, transport = self.makeBuffer()
        text = b"".join(b"%4d" % number for number in range(1000))
        got = b""
        while buffer.isEmpty():
            self.write(buffer, text[:2000])
            got += b"."
        written = len(got) * 2000
        queued = b"".join(transport._tempDataBuffer)
        received = self.peer.recv(1 << 24)
        while len(received) + len(queued) < written:
            received += self.peer.recv(1 << 24)
        self.assertEqual(received + queued, text[:2000] * len(got))

    def test_bufferOfClosedSocket(self) -> None:
        """A buffer whose socket was closed without its transport sends nothing to the next one with its descriptor."""
        buffer, transport = self.makeBuffer()
        self.write(buffer, b"a")
        self.assertEqual(self.peer.recv(10), b"a")
        self.socket.close()
        other, end = socket.socketpair()
        self.addCleanup(other.close)
        self.addCleanup(end.close)
        end.setblocking(False)
        self.write(buffer, b"b")
        self.assertRaises(BlockingIOError, end.recv, 10)
        self.assertEqual(transport._tempDataBuffer, [b"b"])
