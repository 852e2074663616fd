"""
Tests of `sseserver.redaction`.
"""

from __future__ import annotations

from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from sseserver.redaction import ShownRequest, escapeControls, escapeJSON, hideCredentials


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
