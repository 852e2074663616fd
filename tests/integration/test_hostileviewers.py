"""
Viewers that never read, and peers that vanish without a word: the server cuts them, and a healthy viewer does not
notice them.

The sizes are small; with `SSESERVER_LONG=1` they are those of a real attack, at the default limits.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import re
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from tests.integration.alive import LONG, Watch, measure, watching
from tests.integration.hostile import HostileTestCase
from tests.integration.servers import PATIENCE, ask

#: Number of viewers that never read, over plain connections and over TLS; number of peers that vanish.
PLAIN, TLS, MUTED = (1000, 300, 1000) if LONG else (100, 30, 100)

#: Times of the small sizes; the real ones have the default limits.
LIMITS = () if LONG else ("--stall=3", "--heartbeat=1")

#: Seconds after which a peer that takes nothing is gone at the latest: twice `--stall`, or the time of an idle
#: connection, which is longer; and time for a busy machine.
GONE = 120.0

#: Bytes of the stream that is not read, of one publish into it, and of its entries.
SIZE, PART = 20_000_000, 1_000_000
SMALL, LARGE = 4_000, PART

LINE = "All work and no play makes Jack a dull boy.\n"

#: Bytes. Limit of the resident memory of the server, stream included; and of its growth for each viewer, in which they
#: share what they have in common.
PEAK = 300_000_000
VIEWER = 300_000

#: Requests of viewers of a stream.
REQUESTS = [
    b"GET /streams/large HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
    b"GET /streams/large HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n",
    b"GET /streams/large?format=entries HTTP/1.1\r\nHost: localhost\r\n\r\n",
]

#: Requests of peers that vanish: their answers are large, wait for more, or are complete; or the head is not.
VANISHING = [
    *REQUESTS[:2],
    b"GET /streams/quiet HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
    b"GET /streams/quiet HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
    b"GET /streams/quiet HTTP/1.1\r\nHost: loc",
]

#: Option of Linux: a program of the classic Berkeley Packet Filter decides which packets a socket gets.
_SO_ATTACH_FILTER = 26

#: The program `return 0`: no packet arrives, not even an acknowledgement.
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)


def mute(connection: socket.socket) -> None:
    """Drop every packet for a socket, as if the network was cut: its peer gets no acknowledgement, FIN or RST."""
    program = ctypes.create_string_buffer(_DROP_ALL, len(_DROP_ALL))
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))


def resetPeak(pid: int) -> None:
    """Let the largest resident memory of a process be what it is now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")


def readPeak(pid: int) -> int:
    """Return the largest resident memory that a process has had, in bytes."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    assert match is not None
    return int(match[1]) * 1024


class ViewerTests(HostileTestCase):
    """A server with a stream of 20 MB and a quiet one."""

    @contextlib.contextmanager
    def watch(self, entry: int) -> Iterator[tuple[int, Watch]]:
        """
        Run the server with its streams, check that it is alive, and yield its process ID and the watch.

        Args:
            entry: Bytes of the entries of the large stream.
        """
        with self.serve(f"--window={2 * SIZE}", *LIMITS) as process:
            token = (LINE * (entry // len(LINE) + 1))[:entry]
            body = json.dumps([{"token": token}] * (PART // entry)).encode("ascii")
            for name, bodies in (("quiet", [b'{"token": "x"}']), ("large", [body] * (SIZE // PART))):
                self.assertEqual(ask(self.port, "PUT", f"/streams/{name}")[0], 201)
                for each in bodies:
                    answer = ask(self.port, "POST", f"/streams/{name}", {"Content-Type": "application/json"}, each)
                    self.assertEqual(answer[0], 200, answer)
            # Memory that the first viewer of a stream takes is not the attack's.
            text = ask(self.port, "GET", "/streams/large", {"Accept": "text/plain"})[2]
            self.assertEqual(len(text), SIZE)
            with watching(process.pid, self.port) as watch:
                resetPeak(process.pid)
                yield process.pid, watch
                watch.check(self, self.output)

    def awaitGone(self, pid: int, watch: Watch) -> float:
        """Wait until the server has closed all connections of the attack, and return the seconds that it took."""
        began = time.monotonic()
        while measure(pid).descriptors > watch.before.descriptors + 5:
            self.assertLess(time.monotonic() - began, PATIENCE + GONE)
            time.sleep(0.2)
        return time.monotonic() - began

    def ignore(self, entry: int) -> None:
        """Send requests of viewers that never read, and check the server."""
        with self.watch(entry) as (pid, watch):
            held = []
            for number in range(PLAIN + TLS):
                held.append(self.connect(number >= PLAIN))
                held[-1].sendall(REQUESTS[number % len(REQUESTS)])
            self.awaitGone(pid, watch)
            self.checkPeak(pid, watch, PLAIN + TLS)
            for connection in held:
                connection.close()

    def checkPeak(self, pid: int, watch: Watch, viewers: int) -> None:
        """Check the largest memory of the server."""
        peak = readPeak(pid)
        self.assertLess(peak, PEAK)
        self.assertLess((peak - watch.before.resident) / viewers, VIEWER)

    def test_F2_neverReading(self) -> None:
        """F2: viewers that never read are cut, over TLS too, and take little memory until then."""
        self.ignore(SMALL)

    def test_F2_neverReadingLarge(self) -> None:
        """F2: the same with entries of 1 MB."""
        self.ignore(LARGE)

    def test_F2_muted(self) -> None:
        """F2: peers that vanish without closing their connections are cut, whatever their connections did last."""
        with self.watch(LARGE) as (pid, watch):
            held = []
            kinds = VANISHING if LONG else [*VANISHING[:3], VANISHING[4]]
            for number in range(MUTED):
                request = kinds[number % len(kinds)]
                # The kinds over TLS are all of them.
                connection = self.connect(number % 7 == 0)
                connection.sendall(request)
                if request.endswith(b"\r\n\r\n"):
                    self.assertIn(b"200 OK", connection.recv(200))
                mute(connection)
                held.append(connection)
            self.awaitGone(pid, watch)
            self.checkPeak(pid, watch, MUTED)
            for connection in held:
                self.cut(connection)

    def cut(self, connection: socket.socket) -> None:
        """Close a socket at once; the system would send a FIN again and again, since it gets no acknowledgement."""
        plain = socket.socket(fileno=connection.detach()) if isinstance(connection, ssl.SSLSocket) else connection
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        plain.close()
