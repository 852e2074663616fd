"""
Tests for `sseserver.command.effects`: options that exclude or need each other.
"""

from __future__ import annotations

import sys

from sseserver.command.effects import checkEffects, findConflict, isNeeded
from sseserver.options import OPTIONS
from sseserver.options.conflicts import CONFLICTS
from sseserver.options.types import FLAG
from tests.certificates import makePEM
from tests.command.test_parsing import OptionsTestCase, parse

REDIS = "--store=redis://localhost"
UPSTREAM = "--upstream=http://127.0.0.1:1/v1"

#: Command lines that have a conflict which depends on values, and one beside each that has none.
CASES = {
    ("interval", "text"): (("--interval=1", "--text=-"), ("--interval=1", f"--text={__file__}")),
    ("prompt", "exec"): (("--prompt=a", "--exec=cat"), ("--prompt=a", "--exec=echo {prompt}")),
    ("pin-model", "model"): (("--pin-model", UPSTREAM), ("--pin-model", "--model=a", UPSTREAM)),
    ("proxy-protocol", "listen"): (
        ("--proxy-protocol", "--trusted-proxy=127.0.0.1", "--listen={ssl}"),
        ("--proxy-protocol", "--trusted-proxy=127.0.0.1"),
    ),
    ("jwks-url", "jwt-algorithm"): (
        ("--jwks-url=https://a/", "--jwt-algorithm=HS384", "--jwt-audience=a"),
        ("--jwks-url=https://a/", "--jwt-algorithm=ES256", "--jwt-audience=a"),
    ),
    ("jwks-url", "jwt-audience"): (
        ("--jwks-url=https://a/", "--jwt-algorithm=ES256"),
        ("--jwks-url=https://a/", "--jwt-algorithm=ES256", "--jwt-audience=a"),
    ),
    ("sync", "store"): (("--sync=full", REDIS), ("--sync=full", "--store=sqlite:a")),
    ("redis-credentials-file", "store"): (
        (f"--redis-credentials-file={__file__}", "--store=sqlite:a"),
        ("--redis-credentials-file={secret}", REDIS),
    ),
    ("redis-prefix", "store"): (("--redis-prefix=a", "--store=memory"), ("--redis-prefix=a", REDIS)),
    ("window", "max-bytes"): (("--window=2M", "--max-bytes=1M"), ("--window=2M", "--max-bytes=2M")),
    ("retry-interrupted", "store"): (
        ("--retry-interrupted=1", "--store=sqlite:a", UPSTREAM),
        ("--retry-interrupted=0", "--store=sqlite:a", UPSTREAM),
    ),
    ("retry-interrupted", "upstream"): (
        ("--retry-interrupted=1", REDIS),
        ("--retry-interrupted=1", REDIS, UPSTREAM),
    ),
    ("workers", "store"): (("--workers=2", "--store=sqlite:a"), ("--workers=1", "--store=sqlite:a")),
    ("workers", "text"): (("--workers=2", REDIS, "--text=-"), ("--workers=1", "--text=-")),
    ("workers", "metrics"): (("--workers=2", REDIS, "--metrics"), ("--workers=1", "--metrics")),
}


class ConflictTests(OptionsTestCase):
    """Each pair of the table."""

    def fill(self, arguments: tuple[str, ...]) -> list[str]:
        """Return a command line with the names of files."""
        secret = self.write(b"secret")
        key, certificate = map(self.write, makePEM())
        endpoint = f"ssl:8443:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
        return [word.replace("{secret}", secret).replace("{ssl}", endpoint) for word in arguments]

    def test_pairs(self) -> None:
        """Two options that exclude each other are refused in either order, with the message of the table."""
        key = self.write(b"k" * 32)
        words = {
            "text": f"--text={__file__}",
            "exec": f"--exec={sys.executable}",
            "upstream": UPSTREAM,
            "interval": "--interval=1",
            "public": "--public",
            "api-keys": f"--api-keys={self.write(b'')}",
            "jwt-algorithm": "--jwt-algorithm=HS256",
            "jwt-key-file": f"--jwt-key-file={key}",
            "link-key-file": f"--link-key-file={key}",
            "jwks-url": "--jwks-url=https://a/",
        }
        for conflict in CONFLICTS:
            if conflict.when is None:
                pair = [words[conflict.option], words[conflict.other]]
                needed = [] if conflict.option != "jwt-key-file" else ["--jwt-algorithm=ES256", "--jwt-audience=a"]
                for arguments in (pair, pair[::-1]):
                    self.assertEqual(self.refused(*arguments, *needed), conflict.message)

    def test_values(self) -> None:
        """Values that exclude each other are refused with the message of the table; the others are not."""
        for conflict in CONFLICTS:
            if conflict.when is not None:
                bad, good = map(self.fill, CASES[conflict.option, conflict.other])
                self.assertEqual(self.refused(*bad), conflict.message)
                parse(*good)

    def test_needs(self) -> None:
        """An option without needs can always have an effect; one of several needs is enough."""
        self.assertTrue(isNeeded((), ()))
        self.assertFalse(isNeeded(("a", "b"), ("c",)))
        self.assertTrue(isNeeded(("a", "b"), ("b",)))

    def test_defaults(self) -> None:
        """Without options there is no conflict; a flag that is off is not given."""
        options = parse()
        self.assertIsNone(findConflict(options, ()))
        checkEffects(options, ())
        self.assertTrue(all(option.default is False for option in OPTIONS if option.type is FLAG))
