"""
Tests of `sseserver.web.access.signing`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.web.access.signing import Signer, readSigningKeys

KEYS = (b"1" * 32, b"2" * 32)


class SigningTests(SynchronousTestCase):
    """Keys and signatures."""

    def test_keys(self) -> None:
        """A file has a key in each line; short ones and none are refused."""
        self.assertEqual(readSigningKeys(f"\n{'1' * 32}\n {'2' * 32} \n"), KEYS)
        for text in ("", "\n", "canary", f"{'1' * 32}\ncanary", "x" * 1025):
            self.assertNotIn("canary", str(self.assertRaises(ValueError, readSigningKeys, text)))

    def test_signatures(self) -> None:
        """A signature is worth its own text, for its own purpose, under any of the keys."""
        signer = Signer(KEYS, b"link")
        signature = signer.sign(b"text")
        self.assertRegex(signature, r"^[A-Za-z0-9_-]{43}$")
        digest = signer.findKey(b"text", signature)
        self.assertIsNotNone(digest)
        self.assertEqual(Signer(KEYS[::-1], b"link").findKey(b"text", signature), digest)
        self.assertIsNone(Signer(KEYS[1:], b"link").findKey(b"text", signature))
        self.assertIsNone(Signer(KEYS, b"session").findKey(b"text", signature))
        for text, given in (
            (b"texT", signature),
            (b"", signature),
            (b"text", ""),
            (b"text", signature[:-1]),
            (b"text", f"{signature}="),
            (b"text", signature.swapcase()),
            (b"text", "\xe4" * 43),
            (b"text", "\ud800"),
        ):
            self.assertIsNone(signer.findKey(text, given), (text, given))

    def test_digests(self) -> None:
        """A signer knows its keys by their digests, which are no keys, and differ by purpose."""
        signer = Signer(KEYS, b"link")
        digest = signer.findKey(b"text", signer.sign(b"text")) or b""
        self.assertTrue(signer.knows(digest))
        self.assertFalse(Signer(KEYS[1:], b"link").knows(digest))
        self.assertFalse(Signer(KEYS, b"session").knows(digest))
        self.assertFalse(any(signer.knows(key) for key in KEYS))
