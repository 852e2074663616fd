"""
Tests for `sseserver.command.access`: the options of access.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor

from sseserver.command.access import isLocal, makeCredentials, reloadCredentials, showsStreams
from sseserver.command.sites import makeSite
from sseserver.command.supervisor import Supervisor
from sseserver.errors import Unauthorized
from sseserver.interfaces import Principal
from sseserver.options.variables import LINK_KEY_VARIABLE, TOKEN_KEY_VARIABLE
from sseserver.service.service import StreamService
from sseserver.sources.text import TextSource
from sseserver.tap import makeSignals
from sseserver.web.access.apikeys import makeKey, writeLine
from tests.command.test_parsing import OptionsTestCase, parse
from tests.web.access.tokens import SHARED, makeToken, publicPEM

CANARY = "canary-" + "c" * 40


class AccessOptionsTestCase(OptionsTestCase):
    """Options of access, without those of the environment."""

    def setUp(self) -> None:
        self.patch(os, "environ", {})
        self.key = makeKey()
        self.keyFile = self.write(writeLine("one", self.key, ["read:a"]).encode())


class MetricsTests(AccessOptionsTestCase):
    """`--metrics`."""

    def test_local(self) -> None:
        """The endpoints of clients have metrics only if nobody else reaches them, whatever guards them."""
        self.assertTrue(parse("--metrics", "--listen=tcp:8000:interface=127.0.0.1")["metrics"])
        for guard in (["--public"], [f"--api-keys={self.keyFile}"]):
            message = self.refused("--metrics", "--host=*", "--listen=tcp:8000", *guard)
            self.assertIn("--metrics: everybody who reaches --listen tcp:8000 could read them; use --admin", message)


class OperatorsTests(AccessOptionsTestCase):
    """`--admin-listen`."""

    def test_streams(self) -> None:
        """Operators have the streams if credentials are asked for, or nobody else reaches their endpoint."""
        here, there = "tcp:9000:interface=127.0.0.1", "tcp:9000:interface=10.0.0.7"
        keys = f"--api-keys={self.keyFile}"
        for arguments, shown in (
            ([f"--admin-listen={here}"], True),
            (["--admin-listen=unix:s"], True),
            ([f"--admin-listen={there}"], False),
            ([f"--admin-listen={there}", keys], True),
            ([f"--admin-listen={there}", "--public"], True),
        ):
            self.assertEqual(showsStreams(MemoryReactor(), parse(*arguments)), shown, arguments)


class PublicTests(AccessOptionsTestCase):
    """Listeners that everybody reaches."""

    def test_local(self) -> None:
        """Loopback addresses and UNIX sockets are local; everything else may be reached by everybody."""
        for endpoint in (
            "tcp:8000:interface=127.0.0.1",
            "tcp:8000:interface=127.1.2.3:backlog=5",
            r"tcp6:8000:interface=\:\:1",
            "tcp:interface=localhost:port=8000",
            "haproxy:tcp:8000:interface=127.0.0.1",
            "tcp:8000:127.0.0.1",
            "unix:/run/socket",
            "unix:socket:mode=660",
            "haproxy:unix:/run/socket",
            "systemd:domain=UNIX:index=0",
            "systemd:index=0:domain=UNIX",
        ):
            self.assertTrue(isLocal(MemoryReactor(), endpoint), endpoint)
        for endpoint in (
            "tcp:8000",
            "tcp6:8000",
            "tcp:8000:interface=",
            "tcp:8000:interface=0.0.0.0",
            r"tcp6:8000:interface=\:\:",
            "tcp:8000:interface=192.0.2.1",
            "tcp:8000:192.0.2.1",
            "tcp:8000:interface=127.0.0.1.example.com",
        ):
            self.assertFalse(isLocal(MemoryReactor(), endpoint), endpoint)

    def test_refused(self) -> None:
        """A listener that everybody reaches needs credentials, or `--public`; the message is one line."""
        local = "--listen=tcp:8001:interface=127.0.0.1"
        message = self.refused(local, "--listen=tcp:8000", "--host=a")
        for part in ("--listen tcp:8000:", "--api-keys", "--public"):
            self.assertIn(part, message)
        parse(local)
        parse()
        tokens = (f"--jwt-key-file={self.write(SHARED.encode())}", "--jwt-algorithm=HS256")
        links = (f"--link-key-file={self.write(CANARY.encode())}",)
        for guards in (("--public",), (f"--api-keys={self.keyFile}",), tokens, links):
            parse("--listen=tcp:8000", "--host=a", *guards)
        os.environ[LINK_KEY_VARIABLE] = CANARY
        parse("--listen=tcp:8000", "--host=a")


class SecretTests(AccessOptionsTestCase):
    """Files and variables with secrets."""

    def test_never(self) -> None:
        """No secret is among the options, and no message about a bad one quotes it."""
        good = (
            f"--api-keys={self.keyFile}",
            "--jwt-algorithm=HS256",
            f"--jwt-key-file={self.write(CANARY.encode())}",
            f"--link-key-file={self.write(CANARY.encode())}",
        )
        self.assertNotIn("canary", repr(parse(*good)))
        for option, data in (
            ("--api-keys", b"canary canary"),
            ("--api-keys", b"canary\xff"),
            ("--api-keys", b"\n" * (4 << 20) + b"x"),
            ("--link-key-file", b"canary"),
            ("--link-key-file", b""),
        ):
            name = self.write(data)
            message = self.refused(f"{option}={name}")
            self.assertTrue(message.startswith(f"{option} {name}: "), message)
            self.assertNotIn("canary", message)
        self.assertIn("No such file", self.refused("--api-keys=missing"))

    def test_tokenKeys(self) -> None:
        """Tokens need a key that fits their algorithm, from a file or from the environment."""
        self.assertIn("--jwt-key-file", self.refused("--jwt-algorithm=RS256"))
        self.assertIn("unknown", self.refused("--jwt-algorithm=none"))
        self.assertIn("needs --jwt-algorithm", self.refused(f"--jwt-key-file={self.keyFile}"))
        self.assertIn("at least 32", self.refused("--jwt-algorithm=HS256", f"--jwt-key-file={self.write(b'canary')}"))
        pem = self.write(publicPEM("RS256").encode())
        self.assertIn("not a key", self.refused("--jwt-algorithm=ES256", f"--jwt-key-file={pem}"))
        parse("--jwt-algorithm=RS256", f"--jwt-key-file={pem}")
        os.environ[TOKEN_KEY_VARIABLE] = SHARED
        parse("--jwt-algorithm=HS256")

    def test_keySet(self) -> None:
        """A key set comes over https, for public keys, and for tokens with an audience."""
        url = "--jwks-url=https://issuer.example/keys"
        parse("--jwt-algorithm=ES256", url, "--jwt-audience=here")
        parse("--jwt-algorithm=ES256", "--jwks-url=http://127.0.0.1:1/keys", "--jwt-audience=here")
        for arguments, part in (
            (("--jwt-algorithm=HS256", url, "--jwt-audience=here"), "shared key"),
            (("--jwt-algorithm=ES256", url), "--jwt-audience"),
            (("--jwt-algorithm=ES256", "--jwks-url=http://issuer.example/", "--jwt-audience=here"), "https"),
            (("--jwt-algorithm=ES256", "--jwks-url=https://u:canary@a/", "--jwt-audience=here"), "password"),
            ((url,), "needs --jwt-algorithm"),
            (("--jwt-algorithm=ES256", url, f"--jwt-key-file={self.keyFile}", "--jwt-audience=a"), "no effect"),
        ):
            message = self.refused(*arguments)
            self.assertIn(part, message)
            self.assertNotIn("canary", message)

    def test_withoutExtra(self) -> None:
        """Without PyJWT the message names the extra."""
        arguments = ("--jwt-algorithm=HS256", f"--jwt-key-file={self.write(SHARED.encode())}")
        parse(*arguments)
        package = sys.modules["sseserver.web.access"]
        self.addCleanup(setattr, package, "jwts", package.jwts)
        del package.jwts
        with patch.dict(sys.modules, {"sseserver.web.access.jwts": None}):
            self.assertIn("sseserver[auth]", self.refused(*arguments))


class CredentialsTests(AccessOptionsTestCase):
    """The authenticator that the options describe."""

    def make(self, *arguments: str) -> Any:
        """Make the authenticator."""
        return makeCredentials(Clock(), parse(*arguments))

    def test_none(self) -> None:
        """Without options of access there is none."""
        self.assertIsNone(self.make())

    def test_made(self) -> None:
        """It takes what the options describe."""
        made = self.make(f"--api-keys={self.keyFile}", f"--link-key-file={self.write(CANARY.encode())}")
        self.assertEqual(made.verify(f"Bearer {self.key}".encode()).name, "key:one")
        self.assertIsNotNone(made.links)
        self.assertRaises(Unauthorized, made.verify, f"Bearer {makeToken()}".encode())
        tokens = self.make(
            "--jwt-algorithm=HS256",
            f"--jwt-key-file={self.write(SHARED.encode())}",
            "--jwt-issuer=issuer",
            "--jwt-audience=here",
        )
        found = tokens.verify(f"Bearer {makeToken()}".encode())
        self.assertEqual((found.name, tokens.links), ("jwt:alice", None))

    def test_keySet(self) -> None:
        """The keys at a URL stay over a reload."""
        options = parse("--jwt-algorithm=ES256", "--jwks-url=http://127.0.0.1:1/keys", "--jwt-audience=here")
        made = makeCredentials(Clock(), options)
        assert made is not None
        before = made.tokens
        reloadCredentials(made, options)
        self.assertIs(made.tokens, before)

    def test_reload(self) -> None:
        """SIGHUP reads the files again; a file that cannot be read changes nothing."""
        options = parse(f"--api-keys={self.keyFile}")
        clock, source = Clock(), TextSource(Clock(), "a", 0)
        credentials = makeCredentials(clock, options)
        assert credentials is not None
        site = makeSite(clock, StreamService(clock, source), options, credentials)

        class Immediate:
            def callFromThread(self, function: Any, *arguments: Any) -> None:
                function(*arguments)

        others = [partial(reloadCredentials, credentials, options)]
        signals = makeSignals(Immediate(), site, source, Supervisor(clock, {}), options, others)
        signals.install()
        self.addCleanup(signals.restore)
        header = f"Bearer {self.key}".encode()

        def find(data: bytes) -> object:
            with open(self.keyFile, "wb") as file:  # noqa: PTH123
                file.write(data)
            os.kill(os.getpid(), signal.SIGHUP)
            try:
                return credentials.verify(header)
            except Unauthorized:
                return None

        line = writeLine("one", self.key, ["publish:b"]).encode()
        self.assertIsNone(find(b""))
        found: Any = find(line)
        assert isinstance(found, Principal)
        self.assertEqual(found.grants[0].pattern, "b")
        self.assertIs(find(b"canary"), found)
