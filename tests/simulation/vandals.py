"""
Vandals: clients that send heads and bodies which must be refused, or none at all, byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.simulation.network import SimSocket
from tests.simulation.viewers import Stage
from tests.simulation.wire import PORT

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")

#: Seconds that a server allows for a head, and for a body without a byte.
_HEAD, _BODY = 10.0, 30.0

#: Seconds. Deadlines are looked at now and then; what is sent late, arrives late.
_LATE = 2.0

_HOST = b"Host: 127.0.0.1:8000\r\n"
_LIST = b"GET /streams HTTP/1.1\r\n" + _HOST + b"\r\n"
_POST = b"POST /streams/nobody HTTP/1.1\r\n" + _HOST + b"Content-Type: text/plain\r\n"


@dataclass(frozen=True, slots=True)
class Attack:
    """
    The bytes of one connection.

    Attributes:
        data: What is sent.
        statuses: The statuses of the answers, in order, without 100.
        within: Seconds after which the last answer must have begun.
    """

    data: bytes
    statuses: tuple[int, ...]
    within: float = 5.0


#: The attacks, and some requests that only look like one.
ATTACKS = (
    Attack(b"GET /streams HTTP/1.1\r\n\r\n", (400,)),
    Attack(b"GET /streams HTTP/1.1\r\n" + _HOST + b"Host: b\r\n\r\n", (400,)),
    Attack(b"GET /streams HTTP/1.1\r\n" + _HOST + b"X: a\r\n b\r\n\r\n", (400,)),
    Attack(b"GET /streams HTTP/1.1\r\n" + _HOST + b"X\x00: a\r\n\r\n", (400,)),
    Attack(_POST + b"Transfer-Encoding: identity\r\n\r\nGET / HTTP/1.1\r\n", (400,)),
    Attack(_POST.replace(b"1.1", b"1.0", 1) + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", (400,)),
    Attack(_POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", (400,)),
    Attack(_POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    Attack(_POST + b"Content-Length: +1\r\n\r\nx", (400,)),
    Attack(_POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n0\r\n\r\n", (400,)),
    Attack(_POST + b"Expect: the-unexpected\r\nContent-Length: 1\r\n\r\nx", (417,)),
    Attack(b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\n" + _HOST + b"\r\n", (414,)),
    Attack(b"GET /streams HTTP/1.1\r\n" + _HOST + b"X: " + b"x" * 17_000 + b"\r\n\r\n", (431,)),
    Attack(b"GET /streams HTTP/1.1\r\n" + _HOST + b"X: y\r\n" * 600 + b"\r\n", (400,)),
    Attack(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + _HOST + b"\r\n", (501,)),
    Attack(b"GET http://elsewhere.example/streams HTTP/1.1\r\n" + _HOST + b"\r\n", (421,)),
    Attack(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", (400,)),
    Attack(_POST + b"Content-Length: 99999999999\r\n\r\nx", (413,)),
    Attack(b"GET /stre", (408,), _HEAD + _LATE),
    Attack(b"GET /streams HTTP/1.1\r\n" + _HOST, (408,), _HEAD + _LATE),
    Attack(_POST + b"Content-Length: 100\r\n\r\nx", (408,), _BODY + _LATE),
    Attack(_LIST + _POST + b"Content-Length: 100\r\n\r\nx", (200, 408), _BODY + _LATE),
    # Nothing is wrong with these.
    Attack(b"GET http://127.0.0.1:8000/streams HTTP/1.1\r\nHost: ignored\r\nConnection: close\r\n\r\n", (200,)),
    Attack(b"GET /streams HTTP/1.0\r\n" + _HOST + b"\r\n", (200,)),
    Attack(_LIST * 2 + _POST + b"Content-Length: 1\r\n\r\nx" + _LIST, (200, 200, 404, 200)),
    Attack(_POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n2\r\nyz\r\n0\r\n\r\n" + _LIST, (404, 200)),
    Attack(_POST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", (404,)),
)


class Vandal:
    """
    One connection of an attack.

    Args:
        stage: See `Stage`.
        number: Of this vandal.
        strict: Whether the server closes a connection without an answer only if it goes down.
    """

    def __init__(self, stage: Stage, number: int, strict: bool) -> None:
        self._stage = stage
        self._name = f"vandal{number}"
        self._attack: Attack = stage.chance.choice(ATTACKS)
        self._pieces = self._cut(self._attack.data)
        self._strict = strict
        self._begin = stage.now
        self._out = self._received = b""
        self._isOver = False
        self._socket: SimSocket | None = None

    def start(self) -> None:
        """Connect, and send the first piece."""
        self._stage.network.connect(PORT, self._connected, lambda: None)

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """Cut the bytes of an attack into few pieces."""
        chance = self._stage.chance
        places = sorted(chance.randint(0, len(data)) for _ in range(chance.choice((0, 0, 1, 3))))
        yield from (data[begin:end] for begin, end in zip((0, *places), (*places, len(data)), strict=True))

    def _connected(self, sock: SimSocket) -> None:
        self._socket = sock
        sock.watch = self._work
        self._begin = self._stage.now
        self._send()
        self._stage.after(self._attack.within + _LATE, self._judge)

    def _send(self) -> None:
        piece = next(self._pieces, None)
        if piece is not None and not self._isOver:
            self._out += piece
            self._work()
            self._stage.after(round(self._stage.chance.random() * 0.2, 3), self._send)

    def _work(self) -> None:
        sock = self._socket
        assert sock is not None
        try:
            while self._out and sock.writable:
                self._out = self._out[sock.send(self._out) :]
        except OSError:
            # The server has closed the connection; its answer may have arrived.
            self._out = b""
        try:
            while sock.readable:
                data = sock.recv(16384)
                if not data:
                    break
                self._received += data
        except OSError:
            sock.watch = None

    def _judge(self) -> None:
        """Judge the answers so far, and leave."""
        assert self._socket is not None
        self._isOver = True
        self._socket.watch = None
        self._socket.close()
        found = tuple(int(status) for status in _STATUS.findall(self._received) if status != b"100")
        line = self._attack.data[:60]
        self._stage.history.add(self._name, f"{line!r}: {found}")
        isShut = self._stage.refusals.isShut(self._begin, self._stage.now)
        expected = self._attack.statuses
        right = all(one == other or (isShut and one == 503) for one, other in zip(found, expected, strict=False))
        if not right or len(found) > len(expected):
            self._blame(f"{line!r} is answered {found}, must be {expected}: {self._received[-300:]!r}")
        elif len(found) < len(expected) and self._strict and not isShut and self._stage.network.weather.wide:
            self._blame(f"{line!r} is answered {found} only, must be {expected}")

    def _blame(self, text: str) -> None:
        self._stage.history.blame("edge", f"{self._name}: {text}")
