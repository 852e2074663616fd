"""
Tests of `sseserver.web.access.apikeys`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import Right
from sseserver.web.access.apikeys import ApiKeys, makeKey, readKeyFile, readTime, writeLine


class KeyFileTests(SynchronousTestCase):
    """The file of keys."""

    def test_keys(self) -> None:
        """A line is worth its key: with its name, its rights and its expiry; no other text is."""
        one, two = makeKey(), makeKey()
        lines = [writeLine("one", one, ["read:a", "list:*"]), writeLine("two", two, [], "2027-01-31T00:00:00Z")]
        text = "\n".join(["# keys", "", *lines, "  "])
        self.assertNotIn(one, text)
        keys = ApiKeys(readKeyFile(text))
        found = keys.find(one)
        assert found is not None
        self.assertEqual((found.name, found.expires), ("key:one", None))
        self.assertEqual([found.allows(Right.READ, name) for name in "ab"], [True, False])
        found = keys.find(two)
        assert found is not None
        self.assertEqual(
            (found.name, found.grants, found.expires), ("key:two", (), readTime("2027-01-31T01:00:00+01:00"))
        )
        for other in ("", makeKey(), one[:-1], one + "a", one.upper()):
            self.assertIsNone(keys.find(other))

    def test_random(self) -> None:
        """Each key has 256 random bits, and a beginning that a search for lost secrets finds."""
        keys = {makeKey() for _ in range(100)}
        self.assertEqual(len(keys), 100)
        for key in keys:
            self.assertRegex(key, r"^sse_[A-Za-z0-9_-]{43}$")

    def test_wrongLines(self) -> None:
        """A wrong line is named by its number; nothing of it is quoted."""
        good = writeLine("one", makeKey(), ["read:a"])
        digest = good.split()[1]
        for wrong in (
            "one",
            "canary",
            f"a/b {digest} read:a",
            f"two {digest}0 read:a",
            f"two {digest.upper()} read:a",
            f"two md5:{'0' * 32} read:a",
            f"two {digest} canary",
            f"two {digest} read:a expires=canary",
            f"two {digest} read:a expires=2027-01-31T00:00:00",
            f"two {digest} expires=2027-01-31T00:00:00Z read:a",
            good,
        ):
            error = self.assertRaises(ValueError, readKeyFile, f"{good}\n{wrong}\n")
            self.assertIn("line 2: ", str(error))
            self.assertNotIn("canary", str(error))

    def test_fingerprint(self) -> None:
        """The principal of a name is found again as long as it has the same key, with its present rights."""
        key = makeKey()
        keys = ApiKeys(readKeyFile(writeLine("one", key, ["read:a"])))
        fingerprint = keys.fingerprint("key:one")
        self.assertIsNone(keys.fingerprint("key:two"))
        self.assertEqual(keys.recall("key:one", fingerprint), keys.find(key))
        for name, other in (("key:one", None), ("key:one", "0" * 16), ("key:two", fingerprint), ("key:two", None)):
            self.assertIsNone(keys.recall(name, other))
        changed = ApiKeys(readKeyFile(writeLine("one", key, ["publish:a"])))
        found = changed.recall("key:one", fingerprint)
        self.assertTrue(found is not None and found.allows(Right.PUBLISH, "a") and not found.allows(Right.READ, "a"))
        replaced = ApiKeys(readKeyFile(writeLine("one", makeKey(), ["read:a"])))
        self.assertIsNone(replaced.recall("key:one", fingerprint))
