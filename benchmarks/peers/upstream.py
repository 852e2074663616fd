"""
An upstream: answers every request with an endless chat completion of paced chunks.

    python benchmarks/peers/upstream.py PORT RATE

The first chunk comes with the head. A chunk's text is the time at which it was sent (nanoseconds of the
monotonic clock) and its number. One epoll loop, one `send` for each chunk, one queue for the pace of all
connections: as all have the same interval, the one served last is due last.
"""

import select
import socket
import sys
import time
from collections import deque

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-BenchmarkBenchmarkBenchmark","object":"chat.completion.chunk","created":1730000000,'
    b'"model":"benchmark","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":"%d %d "},'
    b'"logprobs":null,"finish_reason":null}]}\n\n'
)


class Connection:
    """One connection, with its request so far and the number of its last chunk."""

    __slots__ = ("answering", "number", "received", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.received = b""
        self.answering = False
        self.number = 0

    def isComplete(self) -> bool:
        """Whether the request is complete."""
        head, mark, body = self.received.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return bool(mark) and len(body) >= int(lengths[0][15:] if lengths else 0)

    def send(self, before: bytes = b"") -> bool:
        """Send a chunk, and return whether the connection is alive."""
        self.number += 1
        event = EVENT % (time.monotonic_ns(), self.number)
        data = b"%b%x\r\n%b\r\n" % (before, len(event), event)
        try:
            return self.socket.send(data) == len(data)
        except OSError:
            return False


class Upstream:
    """The server: a port, and the chunks per second of each answer."""

    def __init__(self, port: int, rate: float) -> None:
        self._interval = 1 / rate
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: deque[tuple[float, Connection]] = deque()

    def serve(self) -> None:
        """Serve until SIGTERM."""
        while True:
            wait = self._due[0][0] - time.monotonic() if self._due else 1.0
            for descriptor, _ in self._epoll.poll(max(0.0, wait)):
                if descriptor == self._listener.fileno():
                    self._accept()
                else:
                    self._read(self._connections[descriptor])
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                due, connection = self._due.popleft()
                if connection.answering and self._check(connection, connection.send()):
                    self._due.append((due + self._interval, connection))

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = Connection(connection)
        self._epoll.register(connection, select.EPOLLIN)

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.socket.recv(65536)
        except OSError:
            data = b""
        connection.received += data
        if self._check(connection, bool(data)) and not connection.answering and connection.isComplete():
            connection.answering = True
            if self._check(connection, connection.send(HEAD)):
                self._due.append((time.monotonic() + self._interval, connection))

    def _check(self, connection: Connection, alive: bool) -> bool:
        if not alive and connection.socket.fileno() >= 0:
            del self._connections[connection.socket.fileno()]
            self._epoll.unregister(connection.socket)
            connection.socket.close()
            connection.answering = False
        return alive


if __name__ == "__main__":
    Upstream(int(sys.argv[1]), float(sys.argv[2])).serve()
