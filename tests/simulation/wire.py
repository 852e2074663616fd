"""
HTTP and event streams as the actors and the oracle read them. Nothing here comes from sseserver.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.network import Network, SimSocket
from tests.simulation.secure import SecureSocket
from tests.simulation.world import Timer

#: Address of the server, and of the programs on its machine.
LOCALHOST = "127.0.0.1"

#: Port of the server.
PORT = 8000

#: Port for operators.
ADMIN_PORT = 8001

#: Port that asks for credentials.
GATE_PORT = 8002

#: Port with TLS.
TLS_PORT = 8004

#: Port on which each connection begins with the PROXY protocol.
PROXIED_PORT = 8003

#: Status of a response that is no HTTP.
MALFORMED = 599


@dataclass(frozen=True, slots=True)
class Query:
    """
    A request.

    Attributes:
        method: Its method.
        path: Its target.
        headers: Its headers, without those that `encode` adds.
        body: Its body; `None` for none.
        close: Whether the connection ends after the response.
        port: Port of the server.
        source: Address of the client.
        prefix: Bytes before the request.
        isSecure: Whether it is sent with TLS.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    close: bool = False
    port: int = PORT
    source: str = LOCALHOST
    prefix: bytes = b""
    isSecure: bool = False

    def encode(self) -> bytes:
        """Write the request."""
        headers = {"Host": f"127.0.0.1:{self.port}", **self.headers}
        if self.body is not None:
            headers["Content-Length"] = str(len(self.body))
        if self.close:
            headers["Connection"] = "close"
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{self.method} {self.path} HTTP/1.1\r\n{fields}\r\n"
        return self.prefix + head.encode() + (self.body or b"")


class Malformed(Exception):
    """The server's bytes are not what HTTP or an event stream allows."""


@dataclass(slots=True)
class Reply:
    """
    A response as far as it has arrived.

    Attributes:
        status: Status; 0 before the head is complete.
        headers: Headers, with names in lower case.
        body: Body so far.
        complete: Whether the response has arrived as a whole.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    @property
    def retryAfter(self) -> int | None:
        """Seconds of the header `Retry-After`; `None` if it is missing, or has no whole number of them."""
        value = self.headers.get("retry-after", "")
        return int(value) if value.isascii() and value.isdigit() else None

    @property
    def json(self) -> Any:
        """Body as JSON; `None` if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class ReplyParser:
    """
    Reads one response.

    Args:
        headOnly: Whether the request was a HEAD.
        onBody: Called with each piece of the body.
    """

    def __init__(self, headOnly: bool, onBody: Callable[[bytes], object]) -> None:
        self.reply = Reply()
        self._headOnly = headOnly
        self._onBody = onBody
        self._buffer = b""
        self._left: int | None = None
        self._chunked = False
        self._inBody = False

    def feed(self, data: bytes) -> None:
        """Take bytes of the connection."""
        self._buffer += data
        if not self._inBody:
            self._readHead()
        if self._inBody and not self.reply.complete:
            self._readBody()
        if self.reply.complete and self._buffer:
            raise Malformed(f"bytes after the response: {self._buffer[:100]!r}")

    def end(self) -> None:
        """Take the end of the connection."""
        if self._inBody and self._left is None and not self._chunked:
            self.reply.complete = True

    def _readHead(self) -> None:
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", lines[0])
        if match is None:
            raise Malformed(f"a status line: {lines[0][:200]!r}")
        reply = self.reply
        reply.status = int(match[1])
        for line in lines[1:]:
            name, _, value = line.partition(":")
            reply.headers[name.lower()] = value.strip()
        self._buffer = rest
        self._inBody = True
        self._chunked = reply.headers.get("transfer-encoding") == "chunked"
        if self._headOnly or reply.status in (204, 304):
            reply.complete = True
        elif not self._chunked and "content-length" in reply.headers:
            self._left = int(reply.headers["content-length"])

    def _readBody(self) -> None:
        if self._chunked:
            self._readChunks()
        elif self._left is None:
            data, self._buffer = self._buffer, b""
            self._deliver(data)
        else:
            data, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
            self._left -= len(data)
            self._deliver(data)
            self.reply.complete = not self._left

    def _readChunks(self) -> None:
        while not self.reply.complete:
            line, separator, rest = self._buffer.partition(b"\r\n")
            if not separator:
                if len(line) > 20:
                    raise Malformed(f"the size of a chunk: {line[:100]!r}")
                return
            if not re.fullmatch(rb"[0-9a-fA-F]+", line):
                raise Malformed(f"the size of a chunk: {line[:100]!r}")
            size = int(line, 16)
            if len(rest) < size + 2:
                return
            if rest[size : size + 2] != b"\r\n":
                raise Malformed("a chunk without its line end")
            self._buffer = rest[size + 2 :]
            if size:
                self._deliver(rest[:size])
            else:
                self.reply.complete = True

    def _deliver(self, data: bytes) -> None:
        if data:
            self.reply.body += data
            self._onBody(data)


#: The body of a response that tells an EventSource to return later.
_RETURN = re.compile(rb"retry: [0-9]+\n\n")


class Exchange:
    """
    One request on one connection, and its response.

    Args:
        network: Connects.
        query: The request.
        onEnd: Called once with the response, complete or not.
        onBody: Called with each piece of the body.
        timeout: Seconds until the actor gives up.

    Attributes:
        reply: The response so far.
        paused: Whether the actor reads nothing for now.
        disturbed: Whether the actor or the network has kept the response from arriving as it was sent.
        hindered: The same, but for an actor that closes the connection.
        sentAt: When it began, in seconds since 1970.
        begunAt: When the first byte of the response has arrived; `None` before.
        heardAt: When the last one has.
        overAt: When the exchange was over; `None` before.
    """

    def __init__(
        self,
        network: Network,
        query: Query,
        onEnd: Callable[[Reply], object],
        onBody: Callable[[bytes], object] = lambda _: None,
        timeout: float | None = 30.0,
    ) -> None:
        self.paused = False
        self.disturbed = self.hindered = False
        self.sentAt = self.heardAt = network.world.now
        self.begunAt: float | None = None
        self.overAt: float | None = None
        self._network = network
        self._parser = ReplyParser(query.method == "HEAD", onBody)
        self._onEnd: Callable[[Reply], object] | None = onEnd
        self._out = query.encode()
        self._isSecure = query.isSecure
        self._socket: SimSocket | SecureSocket | None = None
        # Whether the server has ended the response, well or not.
        self._ended = False
        self._timer: Timer | None = None
        if timeout is not None:
            self._timer = network.world.after(timeout, self.drop)
        network.connect(query.port, self._connected, self.drop, query.source)

    @property
    def reply(self) -> Reply:
        """The response so far."""
        return self._parser.reply

    @property
    def over(self) -> bool:
        """Whether nothing more will arrive."""
        return self._onEnd is None

    @property
    def protocol(self) -> str | None:
        """Protocol that the server has chosen in the handshake of TLS, if there was one."""
        return self._socket.protocol if isinstance(self._socket, SecureSocket) else None

    @property
    def isClosed(self) -> bool:
        """Whether the server has accepted the connection, and has closed it without a word."""
        return self.over and self._socket is not None and self._ended and self.begunAt is None and not self.hindered

    @property
    def isTurnedAway(self) -> bool:
        """Whether the whole response is an event stream that tells the client to return later."""
        reply = self.reply
        return reply.complete and reply.status == 200 and _RETURN.fullmatch(reply.body) is not None

    def drop(self, reset: bool = False) -> None:
        """Close the connection, and report what has arrived."""
        self.disturbed = self.disturbed or not self._ended
        if self._socket is not None:
            self._socket.watch = None
            if reset:
                self._socket.reset()
            else:
                self._socket.close()
        self._end()

    def cut(self) -> None:
        """Lose the connection on its way."""
        self.disturbed = self.hindered = True
        if self._socket is not None:
            self._socket.cut()

    def stall(self, stalled: bool) -> None:
        """Let the network deliver nothing, or go on."""
        self.disturbed = self.disturbed or stalled
        self.hindered = self.hindered or stalled
        if self._socket is not None:
            self._socket.stall(stalled)

    def shutdown(self) -> None:
        """Close the sending half."""
        self.disturbed = self.hindered = True
        if self._socket is not None:
            self._socket.shutdown(1)

    def pause(self, paused: bool) -> None:
        """Stop reading, or go on."""
        self.disturbed = self.disturbed or paused
        self.hindered = self.hindered or paused
        self.paused = paused
        if not paused:
            self._work()

    def _connected(self, sock: SimSocket) -> None:
        if self.over:
            sock.close()
            return
        self._socket = SecureSocket(sock) if self._isSecure else sock
        self._socket.watch = self._work
        self._work()

    def _work(self) -> None:
        """Send and read what can be."""
        sock = self._socket
        if sock is None or self.over:
            return
        try:
            while self._out and sock.writable:
                self._out = self._out[sock.send(self._out) :]
            while not self.paused and sock.readable and not self.over:
                data = sock.recv(16384)
                if not data:
                    self._ended = True
                    self._parser.end()
                    self.drop()
                    return
                self.heardAt = self._network.world.now
                self.begunAt = self.heardAt if self.begunAt is None else self.begunAt
                self._parser.feed(data)
                if self.reply.complete:
                    self._ended = True
                    self.drop()
        except OSError:
            self._ended = True
            self.drop()
        except Malformed as error:
            # No server sends this status: every actor reports it.
            self.reply.status, self.reply.body, self.reply.complete = MALFORMED, str(error).encode(), True
            self.drop()

    def _end(self) -> None:
        onEnd, self._onEnd = self._onEnd, None
        self.overAt = self._network.world.now if self.overAt is None else self.overAt
        if self._timer is not None:
            self._timer.cancel()
        if onEnd is not None:
            onEnd(self.reply)


#: The fields that the server may write.
_FIELDS = ("data", "id", "event", "retry")


@dataclass(frozen=True, slots=True)
class Frame:
    """An event as a client dispatches it; `id` is `None` if the event has none, `retry` likewise."""

    type: str
    data: str
    id: str | None
    retry: int | None


class EventParser:
    """
    Parses an event stream (WHATWG HTML 9.2.6). An event that is not complete at the end is dropped.

    Attributes:
        retry: The last reconnection time, in milliseconds; `None` before the first.
    """

    def __init__(self) -> None:
        self.retry: int | None = None
        self._text = b""
        self._fields: list[tuple[str, str]] = []

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; return the events that they complete."""
        self._text += data
        frames = []
        while (found := self._text.find(b"\n")) >= 0:
            line, self._text = self._text[:found], self._text[found + 1 :]
            if b"\r" in line:
                raise Malformed(f"CR in an event stream: {line[:100]!r}")
            frame = self._take(line.decode("utf-8"))
            if frame is not None:
                frames.append(frame)
        return frames

    def _take(self, line: str) -> Frame | None:
        if line:
            name, _, value = line.partition(":")
            if name and name not in _FIELDS:
                raise Malformed(f"a field: {line[:100]!r}")
            if name:
                self._fields.append((name, value.removeprefix(" ")))
            return None
        fields, self._fields = self._fields, []
        values: dict[str, list[str]] = {}
        for name, value in fields:
            values.setdefault(name, []).append(value)
        retry = None
        if "retry" in values:
            retry = self.retry = int(values["retry"][-1])
        if "data" not in values:
            return None
        return Frame(
            values.get("event", ["message"])[-1],
            "\n".join(values["data"]),
            values["id"][-1] if "id" in values else None,
            retry,
        )
