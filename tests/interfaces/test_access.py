"""
Tests of `sseserver.interfaces.access`: what grants allow.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from sseserver.interfaces import ANYONE, Grant, Principal, Right

READ = frozenset({Right.READ})
BOTH = frozenset({Right.READ, Right.PUBLISH})


class GrantTests(SynchronousTestCase):
    """Grants and their patterns."""

    def test_patterns(self) -> None:
        """A pattern is a name, or the beginning of names if it ends in `*`."""
        for pattern, fitting, others in (
            ("news", ["news"], ["new", "news2", "News", ""]),
            ("chat-*", ["chat-", "chat-1", "chat-*"], ["chat", "cha", "xchat-1"]),
            ("*", ["", "a", "*"], []),
            ("a*b", ["a*b"], ["ab", "axb"]),
            ("", [""], ["a"]),
        ):
            grant = Grant(READ, pattern)
            self.assertEqual([grant.matches(name) for name in fitting], [True] * len(fitting), pattern)
            self.assertEqual([grant.matches(name) for name in others], [False] * len(others), pattern)

    def test_covers(self) -> None:
        """A grant covers another one that allows nothing more."""
        for one, other, covered in (
            (Grant(BOTH, "*"), Grant(READ, "a*"), True),
            (Grant(READ, "*"), Grant(BOTH, "a"), False),
            (Grant(READ, "a*"), Grant(READ, "a*"), True),
            (Grant(READ, "a*"), Grant(READ, "ab*"), True),
            (Grant(READ, "ab*"), Grant(READ, "a*"), False),
            (Grant(READ, "ab"), Grant(READ, "ab*"), False),
            (Grant(READ, "a*"), Grant(READ, "a"), True),
            (Grant(READ, "a"), Grant(READ, "a"), True),
            (Grant(READ, "a"), Grant(READ, "b"), False),
        ):
            self.assertEqual(one.covers(other), covered, (one, other))


class PrincipalTests(SynchronousTestCase):
    """Principals."""

    def test_rights(self) -> None:
        """A right of one grant is no right on the names of another one."""
        principal = Principal("p", (Grant(READ, "a*"), Grant(frozenset({Right.PUBLISH}), "b")))
        self.assertTrue(principal.allows(Right.READ, "a1"))
        self.assertTrue(principal.allows(Right.PUBLISH, "b"))
        for right, name in ((Right.PUBLISH, "a1"), (Right.READ, "b"), (Right.READ, "c"), (Right.LIST, "a1")):
            self.assertFalse(principal.allows(right, name), (right, name))

    def test_anyone(self) -> None:
        """Without authentication everybody may do everything, for ever."""
        self.assertTrue(all(ANYONE.allows(right, name) for right in Right for name in ("", "a")))
        self.assertFalse(ANYONE.isExpired(1e12))

    def test_expiry(self) -> None:
        """The rights end at the time of the expiry."""
        principal = Principal("p", (), 10.0)
        self.assertEqual([principal.isExpired(now) for now in (9.99, 10.0, 11.0)], [False, True, True])
