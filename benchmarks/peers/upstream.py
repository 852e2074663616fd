"""
An upstream: answers every request, whatever it asks, with an endless chat completion of paced chunks.

    python benchmarks/peers/upstream.py --port 8123 [--rate 20]

The first chunk comes with the head. A chunk's text is the time at which it was sent (nanoseconds of the monotonic
clock) and its number. One process, one epoll loop, one `send` a chunk, and one queue for the pace of all connections:
as all have the same interval, who was served last is due last.
"""

from __future__ import annotations

import argparse
import select
import socket
import time
from collections import deque

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-BenchmarkBenchmarkBenchmark","object":"chat.completion.chunk","created":1730000000,'
    b'"model":"benchmark","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":"%d %d "},'
    b'"logprobs":null,"finish_reason":null}]}\n\n'
)


class Connection:
    """
    One connection, with what it has asked so far and the number of its last chunk.
    """

    __slots__ = ("answering", "asked", "number", "socket")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.asked = b""
        self.answering = False
        self.number = 0

    def whole(self) -> bool:
        """
        Whether a request is there.
        """
        head, mark, body = self.asked.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return bool(mark) and len(body) >= int(lengths[0][15:] if lengths else 0)

    def send(self, before: bytes = b"") -> bool:
        """
        Send a chunk; tell whether that went.
        """
        self.number += 1
        event = EVENT % (time.monotonic_ns(), self.number)
        data = b"%b%x\r\n%b\r\n" % (before, len(event), event)
        try:
            return self.socket.send(data) == len(data)
        except OSError:
            return False


class Upstream:
    """
    All of it.

    Args:
        port: To listen on.
        rate: Chunks each second of each answer.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._interval = 1 / rate
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._due: deque[tuple[float, Connection]] = deque()

    def serve(self) -> None:
        """
        Until SIGTERM.
        """
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
                if connection.answering and self._checked(connection, connection.send()):
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
        connection.asked += data
        if self._checked(connection, bool(data)) and not connection.answering and connection.whole():
            connection.answering = True
            if self._checked(connection, connection.send(HEAD)):
                self._due.append((time.monotonic() + self._interval, connection))

    def _checked(self, connection: Connection, alive: bool) -> bool:
        if not alive and connection.socket.fileno() >= 0:
            del self._connections[connection.socket.fileno()]
            self._epoll.unregister(connection.socket)
            connection.socket.close()
            connection.answering = False
        return alive


def main() -> None:
    """
    Serve.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=20.0, help="chunks each second of each answer")
    options = parser.parse_args()
    Upstream(options.port, options.rate).serve()


if __name__ == "__main__":
    main()
