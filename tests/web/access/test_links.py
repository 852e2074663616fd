"""
Tests of `sseserver.web.access.links`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import parse_qs

from sseserver.errors import Unauthorized
from sseserver.interfaces import Right
from sseserver.web.access.links import Links
from tests.web.access.cases import grant

KEY = b"1" * 32


def parse(query: str) -> Mapping[bytes, Sequence[bytes]]:
    """Parse a query as twisted.web does."""
    parsed: Mapping[bytes, Sequence[bytes]] = parse_qs(query.encode("latin-1"), True)
    return parsed


class LinkTests(SynchronousTestCase):
    """Signed links."""

    def test_read(self) -> None:
        """The bearer of a link has its rights until its expiry, whatever else is in the URL."""
        links = Links([KEY])
        query = links.make(grant("read,list:chat-*"), 1000)
        self.assertRegex(query, r"^rights=read,list&streams=chat-\*&expires=1000&sig=[A-Za-z0-9_-]{43}$")
        for given in (query, f"format=text&{query}&from=now", query.replace("*", "%2A").replace(",", "%2c")):
            principal = links.read(parse(given))
            # Its name stands in logs.
            self.assertNotIn(query.partition("sig=")[2][:6], principal.name)
            self.assertEqual((principal.grants, principal.expires), ((grant("read,list:chat-*"),), 1000.0))
        self.assertTrue(principal.allows(Right.READ, "chat-1"))
        other = links.read(parse(links.make(grant("read,list:chat-*"), 1001)))
        self.assertNotEqual(principal.name, other.name)

    def test_changed(self) -> None:
        """A link that was changed in any way is refused."""
        query = Links([KEY]).make(grant("read:chat-1"), 1000)
        signature = query[-43:]
        for changed in (
            "sig=",
            "sig",
            f"sig={signature}",
            query.replace("read", "publish"),
            query.replace("read", "list,read"),
            query.replace("chat-1", "chat-*"),
            query.replace("chat-1", "chat-2"),
            query.replace("1000", "2000"),
            query.replace("1000", "1000.0"),
            query.replace("1000", "01000"),
            query[:-1],
            query + "A",
            query + "=",
            query + "&rights=read",
            query + "&streams=*",
            query + "&expires=2000",
            query + f"&sig={signature}",
            query.replace("rights", "Rights"),
            query.replace("rights=read&", ""),
            query.replace("&expires=1000", ""),
            query.replace("read&streams=chat-1", "read%0Achat-1&streams="),
            query.replace("1000", ""),
            f"rights=%FF&streams=a&expires=1&sig={signature}",
            f"rights=read&streams=chat-1&expires=1000&sig={'A' * 43}",
        ):
            self.assertRaises(Unauthorized, Links([KEY]).read, parse(changed))
        self.assertRaises(Unauthorized, Links([b"2" * 32]).read, parse(query))
        self.assertEqual(Links([b"2" * 32, KEY]).read(parse(query)).expires, 1000.0)
