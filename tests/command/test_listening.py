"""
Tests for `sseserver.command.listening`: the endpoints of `--listen`.
"""

from __future__ import annotations

import errno
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command import listening as listeningModule
from sseserver.command import systemd
from sseserver.command.listening import (
    BadEndpoint,
    ExplainedEndpoint,
    checkEndpoint,
    checkInterface,
    findHost,
    makeURL,
    restrictEndpoint,
    suggestEndpoint,
)
from tests.certificates import makePEM


class RestrictTests(SynchronousTestCase):
    """`restrictEndpoint`."""

    def test_F75_mode(self) -> None:
        """F75: a UNIX socket without a mode is for its owner and its group; every other endpoint stays as it is."""
        for description in ("unix:/run/a", r"unix:/run/a\:mode=600", "unix:/run/a:backlog=5", "unix:address=/run/a"):
            self.assertEqual(restrictEndpoint(description), f"{description}:mode=660")
        for description in ("unix:/a:mode=666", "unix:/a:600", "unix:/a:lockfile=0:mode=600", "tcp:8000", "unixes:/a"):
            self.assertEqual(restrictEndpoint(description), description)


class CheckTests(SynchronousTestCase):
    """`checkEndpoint`."""

    def explain(self, description: str) -> str:
        """Return the message about an endpoint that is refused."""
        with self.assertRaises(BadEndpoint) as caught:
            checkEndpoint(MemoryReactorClock(), description)
        return str(caught.exception)

    def test_F134_words(self) -> None:
        """F134: mistakes are explained in plain words."""
        for description, message in (
            ("tcp:8000:interface=::1", r"a colon in a value is written as \:, such as interface=\:\:1"),
            ("tcp:1:2:3:4:5:6", r"a colon in a value is written as \:, such as interface=\:\:1"),
            ("tcp", "the parameter port is missing"),
            ("tcp:8000:interfaces=a", "an endpoint of type tcp has no parameter interfaces"),
            ("tcp:http-alt-nowhere", "'http-alt-nowhere' is not a number"),
            ("tcp:70000", "the port must be between 0 and 65535"),
            ("unix:/a:mode=9", "'9' is not an octal number"),
            ("8000", "there is no endpoint type '8000'; did you mean tcp:8000?"),
            ("nope", "there is no endpoint type 'nope'; an endpoint is written as tcp:8000 or unix:PATH"),
            ("ssl:1:privateKey=/nowhere/key.pem", "/nowhere/key.pem: No such file or directory"),
        ):
            self.assertEqual(self.explain(description), message)

    def test_interface(self) -> None:
        """An endpoint that names no interface would listen on all of them."""
        for description in ("tcp:9000", "tcp6:9000:backlog=7", "ssl:9000:privateKey=a"):
            with self.assertRaises(BadEndpoint) as caught:
                checkInterface(description)
            self.assertIn(f"{description}:interface=127.0.0.1", str(caught.exception))
        for description in ("tcp:9000:interface=10.0.0.1", "unix:/run/admin.sock", "systemd:domain=INET:index=1"):
            checkInterface(description)

    def test_F134_systemd(self) -> None:
        """F134: without a socket of systemd the message says so."""
        self.patch(systemd, "readVariables", dict)
        for place in ("index=0", "name=web"):
            message = self.explain(f"systemd:domain=INET:{place}")
            self.assertEqual(message, "this process was not started by systemd with a socket")

    def test_F134_certificate(self) -> None:
        """F134: a file that is no certificate is named as such."""
        key = Path(self.mktemp())
        key.write_bytes(makePEM()[0])
        other = Path(self.mktemp())
        other.write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
        self.assertIn("PEM", self.explain(f"ssl:1:privateKey={key}:certKey={other}"))

    def test_good(self) -> None:
        """Addresses with escaped colons are accepted."""
        for description in (r"tcp:8000:interface=\:\:1", "tcp:0", "unix:/run/s.sock", "tcp6:8000"):
            checkEndpoint(MemoryReactorClock(), description)


class RefusedEndpoint:
    """Endpoint that cannot listen."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def listen(self, factory: object) -> Deferred[IListeningPort]:
        """See `IStreamServerEndpoint.listen`."""
        return fail(self.error)


class ExplainTests(SynchronousTestCase):
    """`ExplainedEndpoint`."""

    def test_refused(self) -> None:
        """The message has the option, and the reason of the system, in whichever way Twisted reports it."""
        missing = FileNotFoundError(errno.ENOENT, "No such file or directory")
        taken = OSError(errno.EADDRINUSE, "Address already in use")
        for description, error, reason in (
            ("unix:/a/s", missing, "the folder of the socket does not exist"),
            ("unix:/a/s", CannotListenError("", "/a/s", missing), "the folder of the socket does not exist"),
            ("unix:/a", OSError("AF_UNIX path too long"), "AF_UNIX path too long"),
            ("tcp:80", CannotListenError("", 80, taken), "Address already in use"),
            ("tcp:80", CannotListenError("", 80, "no"), "no"),
        ):
            endpoint: Any = RefusedEndpoint(error)
            refused = ExplainedEndpoint(description, endpoint).listen(Factory())
            message = str(self.failureResultOf(refused, BadEndpoint).value)
            self.assertEqual(message, f"--listen {description}: {reason}")

    def test_otherErrors(self) -> None:
        """An error that has nothing to do with an address stays as it is."""
        endpoint: Any = RefusedEndpoint(ZeroDivisionError())
        self.failureResultOf(ExplainedEndpoint("tcp:80", endpoint).listen(Factory()), ZeroDivisionError)


class HostTests(SynchronousTestCase):
    """`findHost`."""

    def test_addresses(self) -> None:
        """An endpoint on one address is reached under it; for one on several, or on none, there is no such host."""
        for description, host in (
            ("tcp:8000:interface=127.0.0.1", "127.0.0.1"),
            ("tcp:8000:interface=Box.example", "box.example"),
            (r"tcp:8000:interface=0\:\:1", "[::1]"),
            (r"tcp6:8000:interface=\:\:1", "[::1]"),
            ("haproxy:tcp:8000:interface=10.0.0.1", "10.0.0.1"),
            ("tcp:8000", None),
            ("tcp6:8000", None),
            ("tcp:8000:interface=0.0.0.0", None),
            (r"tcp:8000:interface=\:\:", None),
            (r"tcp:8000:interface=fe80\:\:1%eth0", None),
            ("unix:/run/s.sock", None),
        ):
            self.assertEqual(findHost(MemoryReactorClock(), description), host, description)

    def test_adopted(self) -> None:
        """A socket of systemd is asked for its address."""
        for family, address, host in (
            (socket.AF_INET, ("127.0.0.1", 0), "127.0.0.1"),
            (socket.AF_INET, ("", 0), None),
            (socket.AF_UNIX, str(Path(tempfile.mkdtemp(), "s")), None),
        ):
            with socket.socket(family) as listening:
                listening.bind(address)
                endpoint = AdoptedStreamServerEndpoint(MemoryReactorClock(), listening.fileno(), family)
                self.patch(listeningModule, "parseEndpoint", lambda *_, made=endpoint: made)
                self.assertEqual(findHost(MemoryReactorClock(), "systemd:domain=INET:index=0"), host)
                self.assertNotEqual(listening.fileno(), -1)


class AddressTests(SynchronousTestCase):
    """`suggestEndpoint` and `makeURL`."""

    def test_F95_suggestion(self) -> None:
        """F95: a port, a host with a port and a URL become endpoints; anything else does not."""
        for text, endpoint in (
            ("8000", "tcp:8000"),
            (":8000", "tcp:8000"),
            ("localhost:8000", "tcp:8000:interface=127.0.0.1"),
            ("10.0.0.1:80", "tcp:80:interface=10.0.0.1"),
            ("http://127.0.0.1:8000/", "tcp:8000:interface=127.0.0.1"),
        ):
            self.assertEqual(suggestEndpoint(text), endpoint)
        for text in ("", "tcp", "::1", "https://a/b", "8000000"):
            self.assertIsNone(suggestEndpoint(text))

    def test_F94_url(self) -> None:
        """F94: the URL is one that a browser on this machine can open."""
        for description, address, url in (
            ("tcp:8000", IPv4Address("TCP", "0.0.0.0", 8000), "http://127.0.0.1:8000/"),
            ("tcp:8000", IPv4Address("TCP", "10.0.0.1", 8000), "http://10.0.0.1:8000/"),
            ("tcp:80", IPv4Address("TCP", "127.0.0.1", 80), "http://127.0.0.1/"),
            ("tcp6:8000", IPv6Address("TCP", "::", 8000), "http://[::1]:8000/"),
            ("ssl:443", IPv4Address("TCP", "127.0.0.1", 443), "https://127.0.0.1/"),
            ("ssl:80", IPv4Address("TCP", "127.0.0.1", 80), "https://127.0.0.1:80/"),
        ):
            self.assertEqual(makeURL(description, address), url)
        self.assertIsNone(makeURL("unix:/s", UNIXAddress("/s")))
