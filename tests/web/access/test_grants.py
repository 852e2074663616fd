"""
Tests of `sseserver.web.access.grants`.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import Grant, Right
from sseserver.web.access.grants import MAX_GRANTS, MAX_RUN_PATTERN, readGrant, readGrants, writeGrant


class GrantTests(SynchronousTestCase):
    """Grants as text."""

    def test_bothWays(self) -> None:
        """A text is read and written back, with its rights in one order."""
        for text, rights, pattern, again in (
            ("read:news", {Right.READ}, "news", "read:news"),
            ("list,read:chat-*", {Right.READ, Right.LIST}, "chat-*", "read,list:chat-*"),
            ("run,run:*", {Right.RUN}, "*", "run:*"),
            ("read,publish,run,cancel,delete,list:a.b_c~d-*", set(Right), "a.b_c~d-*", None),
        ):
            grant = readGrant(text)
            self.assertEqual(grant, Grant(frozenset(rights), pattern))
            self.assertEqual(writeGrant(grant), again or text)

    def test_refused(self) -> None:
        """Anything else is refused, and not quoted."""
        for text in (
            "",
            "read",
            "read:",
            ":news",
            "read news",
            "Read:news",
            "read,:news",
            "read;publish:a",
            "write:a",
            "read:a b",
            "read:*a",
            "read:a**",
            "read:a*b",
            "read:a/b",
            "read:\xe4",
            f"read:{'a' * 129}",
            "run:news",
            f"run:{'a' * MAX_RUN_PATTERN}*",
        ):
            error = self.assertRaises(ValueError, readGrant, text)
            self.assertNotIn("write:", str(error))

    def test_number(self) -> None:
        """The number of grants is limited."""
        self.assertEqual(len(readGrants(["read:a"] * MAX_GRANTS)), MAX_GRANTS)
        self.assertRaises(ValueError, readGrants, ["read:a"] * (MAX_GRANTS + 1))
