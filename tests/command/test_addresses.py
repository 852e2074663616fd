"""
Tests for `sseserver.command.addresses`: two endpoints with one address.
"""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.addresses import checkDistinct, findPlace
from sseserver.command.listening import BadEndpoint
from tests.certificates import makePEM
from tests.command.test_parsing import OptionsTestCase, parse


class PlaceTests(SynchronousTestCase):
    """`findPlace` and `checkDistinct`."""

    def clash(self, one: str, other: str) -> bool:
        """Return whether two endpoints cannot listen at the same time."""
        clashes = {findPlace(one).overlaps(findPlace(other)), findPlace(other).overlaps(findPlace(one))}
        self.assertEqual(len(clashes), 1)
        return clashes.pop()

    def test_same(self) -> None:
        """An address is the same however it is written, and all addresses of a machine include each of them."""
        pem = Path(self.mktemp())
        pem.write_bytes(b"".join(makePEM()))
        for one, other in (
            ("tcp:1", "tcp:1:backlog=5"),
            ("tcp:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.1:backlog=5"),
            ("tcp:1:interface=127.0.0.1", "tcp:1:interface=localhost"),
            ("tcp:1", "tcp:1:interface=127.0.0.1"),
            ("tcp:1:interface=0.0.0.0", "tcp:1:interface=10.0.0.1"),
            ("tcp6:1", "tcp:1"),
            ("tcp6:1", "tcp:1:interface=10.0.0.1"),
            (r"tcp6:1:interface=\:\:1", r"tcp:1:interface=0\:\:1"),
            (r"tcp:1:interface=\:\:ffff\:127.0.0.1", "tcp:1:interface=127.0.0.1"),
            ("haproxy:tcp:1", "tcp:1"),
            (f"ssl:1:privateKey={pem}", "tcp:1:interface=10.0.0.1"),
            ("unix:/run/a", "unix:/run/../run/a:mode=666"),
            ("systemd:domain=INET:name=a", "systemd:domain=INET:name=a"),
        ):
            self.assertTrue(self.clash(one, other), (one, other))

    def test_different(self) -> None:
        """Other addresses are different ones; port 0 is always another."""
        for one, other in (
            ("tcp:1", "tcp:2"),
            ("tcp:0", "tcp:0"),
            ("tcp:1", r"tcp:1:interface=\:\:1"),
            ("tcp:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.2"),
            ("tcp:1:interface=127.0.0.1", r"tcp:1:interface=\:\:1"),
            ("unix:/run/a", "unix:/run/b"),
            ("unix:/run/a", "tcp:1"),
            ("systemd:domain=INET:name=a", "systemd:domain=INET:name=b"),
        ):
            self.assertFalse(self.clash(one, other), (one, other))

    def test_message(self) -> None:
        """The message names both options."""
        checkDistinct([("listen", "tcp:1"), ("listen", "tcp:2"), ("admin-listen", "unix:a")])
        with self.assertRaises(BadEndpoint) as caught:
            checkDistinct([("listen", "tcp:1"), ("listen", "tcp:2"), ("admin-listen", "tcp:2:interface=127.0.0.1")])
        expected = "--admin-listen tcp:2:interface=127.0.0.1: this is the address of --listen tcp:2"
        self.assertEqual(str(caught.exception), expected)


class OptionTests(OptionsTestCase):
    """The endpoints of a command line."""

    def test_twice(self) -> None:
        """An endpoint that is given twice is refused before a start, also by `--check`."""
        one, other = "tcp:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.1:backlog=7"
        for more in ((), ("--check",)):
            for options in (("--listen", "--listen"), ("--listen", "--admin-listen")):
                message = self.refused(*more, f"{options[0]}={one}", f"{options[1]}={other}")
                self.assertIn("this is the address of --listen", message)
        self.refused("--check", *["--listen=systemd:domain=INET:index=0"] * 2)
        self.assertEqual(len(parse(f"--listen={one}", "--listen=tcp:2:interface=127.0.0.1")["listen"]), 2)
