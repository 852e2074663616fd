"""
Tests for L{sseserver.pool}: where its agent connects to. That connections are
used again is tested with who uses them, in test_upstream.py.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import SchemeNotSupported

from sseserver.pool import makeAgent


class AgentTests(SynchronousTestCase):
    """An agent on a pretended reactor."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.agent = makeAgent(self.reactor, 7.0)
        self.lookedUp: list[str] = []

        def resolve(receiver: Any, name: str, *arguments: object, **more: object) -> Any:
            self.lookedUp.append(name)
            return receiver

        self.patch(self.reactor.nameResolver, "resolveHostName", resolve)

    def connecting(self, url: bytes) -> list[tuple[Any, ...]]:
        """Ask for a URL; give where the reactor was told to connect, and for how long."""
        self.agent.request(b"GET", url).addErrback(lambda _: None)
        return [(host, port, timeout) for host, port, _, timeout, _ in self.reactor.tcpClients]

    def test_digits(self) -> None:
        """
        An address in digits is connected to at once, and not looked up.
        """
        self.assertEqual(self.connecting(b"http://127.0.0.1:81/"), [("127.0.0.1", 81, 7.0)])
        self.assertEqual(self.connecting(b"http://[::1]:82/")[1:], [("::1", 82, 7.0)])
        self.assertEqual(self.lookedUp, [])

    def test_name(self) -> None:
        """
        A name is looked up.
        """
        self.assertEqual(self.connecting(b"http://localhost:81/"), [])
        self.assertEqual(self.lookedUp, ["localhost"])

    def test_tls(self) -> None:
        """
        The same by TLS.
        """
        self.assertEqual(self.connecting(b"https://127.0.0.1/"), [("127.0.0.1", 443, 7.0)])
        self.connecting(b"https://localhost/")
        self.assertEqual(self.lookedUp, ["localhost"])

    def test_otherScheme(self) -> None:
        """
        What is neither is refused.
        """
        self.failureResultOf(self.agent.request(b"GET", b"ftp://127.0.0.1/"), SchemeNotSupported)
