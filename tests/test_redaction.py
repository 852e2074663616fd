"""
Tests of `sseserver.redaction`.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from sseserver.redaction import (
    ShownRequest,
    escapeControls,
    escapeJSON,
    hasSecret,
    hideCredentials,
    hideSecrets,
    showMessage,
)


class RedactionTests(SynchronousTestCase):
    """URLs as logs show them."""

    def test_hidden(self) -> None:
        """Members with credentials are dropped, however they are written; everything else stays as it is."""
        for target, shown in (
            (b"/streams/a", b"/streams/a"),
            (b"/a?format=text&from=now", b"/a?format=text&from=now"),
            (b"/a?rights=read&sig=canary", b"/a?rights=read"),
            (b"/a?sig=canary", b"/a"),
            (b"/a?x=1&SIG=canary&y=2", b"/a?x=1&y=2"),
            (b"/a?s%69g=canary", b"/a"),
            (b"/a?access_token=canary&token=canary&key=canary&api_key=canary&x", b"/a?x"),
            (b"/a?sig=can?ary&b?c", b"/a?b?c"),
            (b"/a?&&", b"/a?&&"),
            (b"/a?", b"/a?"),
            (b"/a?x=1;sig=canary&y", b"/a?y"),
            (b"/a?X-Amz-Signature=canary&X-Amz-Date=1&private_token=canary", b"/a?X-Amz-Date=1"),
            (b"/a?signal=1&monkey=2", b"/a?signal=1&monkey=2"),
            (b"http://a/#access_token=canary&x", b"http://a/#x"),
            (b"http://a/?sig=canary#token=canary", b"http://a/"),
            (b"http://a/?b#c", b"http://a/?b#c"),
            (b"http://user:canary@a:80/b@c?d", b"http://a:80/b@c?d"),
            (b"/streams/a@b", b"/streams/a@b"),
            (b"*", b"*"),
            (b"", b""),
        ):
            self.assertEqual(hideCredentials(target), shown)

    def test_request(self) -> None:
        """A request shows neither its own credential nor that of the page which it came from."""
        headers = {b"referer": b"http://a/b?sig=canary&c", b"user-agent": b"x?sig=1"}
        request = SimpleNamespace(uri=b"/a?sig=canary", getHeader=headers.get, method=b"GET")
        shown = ShownRequest(request)
        self.assertEqual((shown.uri, shown.method, shown.getHeader(b"referer")), (b"/a", b"GET", b"http://a/b?c"))
        self.assertEqual((shown.getHeader(b"user-agent"), shown.getHeader(b"x")), (b"x?sig=1", None))

    def test_F76_controls(self) -> None:
        """F76: control characters of a text are escaped, but for LF and TAB; in JSON those that it allows."""
        self.assertEqual(escapeControls("a\r\x1b\x07\x7f\x9b\ud800\n\tö"), "a\\x0d\\x1b\\x07\\x7f\\x9b\\ud800\n\tö")
        self.assertEqual(escapeJSON('"ö\x7f\x9b"'), '"ö\\u007f\\u009b"')
        self.assertEqual(escapeJSON('"\\u001b"'), '"\\u001b"')

    def test_order(self) -> None:
        """Characters that change the order of a line, or end it, are escaped as well; visible ones are not."""
        foreign = "a\u202eb\u2028c\u200fd\U000e0001"
        self.assertEqual(escapeControls(f"{foreign}\n"), "a\\u202eb\\u2028c\\u200fd\\U000e0001\n")
        self.assertEqual(json.loads(escapeJSON(f'"{foreign}"')), foreign)
        self.assertTrue(escapeJSON(f'"{foreign}"').isprintable())
        for text in ("ä 📖 \xa0", "a\n\tb\n"):
            self.assertEqual(escapeControls(text), text)


class ValueTests(SynchronousTestCase):
    """Values of options, and messages about them."""

    def test_secrets(self) -> None:
        """Passwords of URLs, and values behind the names of credentials, are hidden."""
        for text, shown in (
            ("https://user:canary@host/a", "https://…@host/a"),
            ("https://canary@host", "https://…@host"),
            ("redis://:canary/with/slash@host/0", "redis://…@host/0"),
            ("http://user:canary", "http://…"),
            ("no folder 'redis:/user:canary@host'", "no folder 'redis:…@host'"),
            ("user:canary@host:80", "user:…@host:80"),
            ("http://user:1canary/v1", "http://…/v1"),
            ("https://a/?token=canary&x=1", "https://a/?token=…&x=1"),
            ("OPENAI_API_KEY=canary run", "OPENAI_API_KEY=… run"),
            ("run --password canary", "run --password …"),
            ("curl -H 'Authorization: Bearer canary", "curl -H 'Authorization: …"),
        ):
            self.assertEqual(hideSecrets(text), shown)
            self.assertTrue(hasSecret(text))
        self.assertTrue(hasSecret("curl -H 'x-api-key: canary' a"))

    def test_others(self) -> None:
        """Everything else stays as it is."""
        for text in (
            "http://127.0.0.1:8000/",
            "redis://a:1,b:2,[::1]:3/0",
            "https://[::1]:8000/v1?api-version=1",
            "did you mean http://a:80/?",
            "http://a:80: refused",
            "ssl:443:privateKey=/a:certKey=/b",
            "unix:/run/a@b.sock",
            "systemd:domain=INET:name=a@b",
            "--jwt-key-file /a: No such file",
            "--upstream-header api-key: there is none",
            "$SSESERVER_JWT_KEY: the key is too short",
            "grep -i -- {prompt} README.md",
            "a@b",
        ):
            self.assertEqual(showMessage(text), text)
        self.assertEqual(showMessage("a\nb\x1b[2J\u202e\udcff"), "a\\x0ab\\x1b[2J\\u202e\\udcff")
