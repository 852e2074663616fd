"""
Hostile clients at the edge of HTTP, against a server process: a healthy viewer does not notice them.

The sizes are small; with `SSESERVER_LONG=1` they are those of a real attack.
"""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import ssl
import time

from tests.certificates import makePEM
from tests.integration.alive import LONG
from tests.integration.hostile import HostileTestCase
from tests.integration.servers import PATIENCE
from tests.smuggling import FORMS, SECOND

#: Number of slow clients, of endless bodies, and of JSON bombs of each kind.
SLOW, ENDLESS, BOMBS = (1000, 50, 20) if LONG else (200, 5, 2)

#: Bytes of a JSON bomb.
BOMB = 30_000_000 if LONG else 3_000_000

#: Seconds. Time for which slow bodies are sent: the whole time that a body has, or a part of it.
BODY_TIME = 40 if LONG else 3

_STATUS = re.compile(rb"(?:^|\n)HTTP/1\.1 (\d{3}) ")


class SlowTests(HostileTestCase):
    """Clients that send slowly."""

    def countOpen(self, connections: list[socket.socket]) -> int:
        """Send a byte on each connection, and count those that the server has not closed."""
        count = 0
        for connection in connections:
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.send(b"a")
            try:
                while connection.recv(65536):
                    pass
            except BlockingIOError:
                count += 1
            except OSError:
                pass
        return count

    def test_F15_heads(self) -> None:
        """Clients that send a head byte by byte are cut after its time, and do not disturb others."""
        with self.alive():
            held = [self.connect() for _ in range(SLOW)]
            for connection in held:
                self.send(connection, b"GET / HTTP/1.1\r\nX: ")
            deadline = time.monotonic() + PATIENCE
            while self.countOpen(held) and time.monotonic() < deadline:
                time.sleep(0.5)
            self.assertEqual(self.countOpen(held), 0)

    def test_F15_bodies(self) -> None:
        """The same with bodies."""
        with self.alive():
            held = [self.connect() for _ in range(SLOW)]
            for connection in held:
                self.send(connection, b"POST /streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
            end = time.monotonic() + BODY_TIME
            while time.monotonic() < end:
                left = self.countOpen(held)
                time.sleep(0.5)
            self.assertEqual(left, 0 if LONG else SLOW)
            for connection in held:
                connection.close()


class LargeTests(HostileTestCase):
    """Clients that send much."""

    def flood(self, connection: socket.socket, data: bytes, limit: int) -> int:
        """Send the same bytes until the server closes the connection; return the number of bytes that it took."""
        sent = 0
        while sent < limit and self.send(connection, data):
            sent += len(data)
        return sent

    def test_F82_chunks(self) -> None:
        """An endless body in chunks is cut, and its client may read why."""
        head = b"POST /streams HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        with self.alive():
            for size in (1, 65536):
                chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
                for _ in range(ENDLESS):
                    connection = self.connect()
                    connection.sendall(head)
                    # A byte in six, or nearly all of them.
                    self.flood(connection, chunk * (65536 // size), 10**8 if size > 1 else 10**6)
                    connection.close()

    def test_F82_tenGigabytes(self) -> None:
        """A body of 10 GB is refused by its length, and not received."""
        head = b"POST /streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10737418240\r\n%b\r\n"
        with self.alive():
            waiting = self.connect()
            waiting.sendall(head % b"Expect: 100-continue\r\n")
            self.assertTrue(waiting.recv(1000).startswith(b"HTTP/1.1 413 "))
            waiting.close()
            for _ in range(ENDLESS):
                connection = self.connect()
                connection.sendall(head % b"")
                self.assertLess(self.flood(connection, b"x" * 65536, 10**9), 10**8)
                connection.close()

    def test_F84_bombs(self) -> None:
        """JSON that is small as bytes and large as values, or deep, is refused without a pause for others."""
        bombs = (b"[" * BOMB, b'{"x":' * (BOMB // 5), b"[%b0]" % (b"[]," * (BOMB // 3)), b'"' * BOMB, b"\\" * BOMB)
        with self.alive():
            for bomb in bombs * BOMBS:
                body = b'{"messages": [{"role": "user", "content": "x"}], "x": %b}' % bomb
                connection = self.connect()
                connection.sendall(
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                connection.sendall(body)
                self.assertRegex(self.read(connection), rb"^HTTP/1\.1 4(00|13) ")
                connection.close()


class FormTests(HostileTestCase):
    """Requests that a proxy may read in another way."""

    def test_F78_forms(self) -> None:
        """F78: each form gets exactly one answer, an error, and the connection is closed, over TLS too."""
        with self.alive():
            for name, form in FORMS.items():
                for tls in (False, True):
                    connection = self.connect(tls)
                    self.send(connection, form + SECOND)
                    statuses = _STATUS.findall(self.read(connection))
                    self.assertEqual(len(statuses), 1, name)
                    self.assertIn(statuses[0], {b"400", b"415", b"417", b"501"}, name)
                    connection.close()

    def test_F81_large(self) -> None:
        """F81: a client that sends a large head in one piece can read the answer."""
        with self.alive():
            for head, status in ((b"GET /%b", b"414"), (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: %b", b"431")):
                for size in (20_000, 900_000):
                    connection = self.connect()
                    self.send(connection, head % (b"a" * size) + b"\r\n\r\n")
                    self.assertEqual(_STATUS.findall(self.read(connection)), [status])
                    connection.close()


class CertificateTests(HostileTestCase):
    """The TLS port."""

    def awaitCertificate(self, old: bytes | None) -> bytes | None:
        """Return the certificate of a new connection, once it is another one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.closing(self.connect(True)) as connection:
                assert isinstance(connection, ssl.SSLSocket)
                if (new := connection.getpeercert(True)) != old:
                    return new
            time.sleep(0.1)
        raise AssertionError("The certificate is the old one.")

    def test_reload(self) -> None:
        """At HUP a new certificate is used for new connections, and a viewer on the old one is not cut."""
        with self.serve() as process:
            viewer = self.connect(True)
            viewer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
            self.assertIn(b"200 OK", viewer.recv(1000))
            old = self.awaitCertificate(None)
            self.pem.write_bytes(b"".join(makePEM()))
            process.send_signal(signal.SIGHUP)
            self.assertNotEqual(self.awaitCertificate(old), old)
            received = viewer.recv(1000)
            while b"event: done" not in received:
                data = viewer.recv(65536)
                self.assertTrue(data)
                received += data

    def test_plainHTTP(self) -> None:
        """Plain HTTP on the TLS port gets an answer."""
        with self.serve():
            connection = socket.create_connection(("127.0.0.1", self.tlsPort), PATIENCE)
            self.addCleanup(connection.close)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received = self.read(connection)
            self.assertTrue(received.startswith(b"HTTP/1.1 400 "))
            self.assertIn(b"https://", received)
