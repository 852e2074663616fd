"""
Grants as text: `read,list:chat-*`. Key files, the scopes of tokens, and the programs that make keys and links use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sseserver.interfaces import Grant, Right

#: A pattern: a stream name, or the beginning of names and `*`.
_PATTERN = re.compile(r"[A-Za-z0-9._~-]{1,128}|[A-Za-z0-9._~-]{0,127}\*")

#: Number of grants that a credential can have.
MAX_GRANTS = 100

#: Characters. Longest pattern with the right to run: the names of runs have 22 random characters beside the prefix.
MAX_RUN_PATTERN = 107

_RIGHTS = {right.value: right for right in Right}


def readGrant(text: str) -> Grant:
    """
    Convert text to a grant.

    Args:
        text: Rights with commas between them, a colon, and a pattern.

    Raises:
        ValueError: It is anything else. The message does not quote the text.
    """
    rights, colon, pattern = text.partition(":")
    if not colon:
        raise ValueError("a grant is RIGHTS:PATTERN, such as read,list:chat-*")
    return makeGrant(rights.split(","), pattern)


def makeGrant(rights: Sequence[object], pattern: object) -> Grant:
    """
    Make a grant of values from outside.

    Args:
        rights: The names of rights.
        pattern: A stream name, or a prefix and `*`.

    Raises:
        ValueError: A right is unknown, or the pattern is none.
    """
    if not rights or not all(isinstance(right, str) and right in _RIGHTS for right in rights):
        raise ValueError(f"a right is one of {', '.join(_RIGHTS)}")
    if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        raise ValueError("a pattern is a stream name, or a prefix of names and *")
    grant = Grant(frozenset(_RIGHTS[str(right)] for right in rights), pattern)
    if Right.RUN in grant.rights and not (pattern.endswith("*") and len(pattern) <= MAX_RUN_PATTERN):
        raise ValueError(f"the right run needs a pattern that ends in *, of at most {MAX_RUN_PATTERN} characters")
    return grant


def readGrants(texts: Iterable[str]) -> tuple[Grant, ...]:
    """
    Convert texts to grants.

    Raises:
        ValueError: One of them is no grant, or they are too many.
    """
    grants = tuple(map(readGrant, texts))
    if len(grants) > MAX_GRANTS:
        raise ValueError(f"a credential has at most {MAX_GRANTS} grants")
    return grants


def writeGrant(grant: Grant) -> str:
    """Return the text of a grant, with the rights always in the same order."""
    return f"{writeRights(grant)}:{grant.pattern}"


def writeRights(grant: Grant) -> str:
    """Return the names of the rights of a grant, with commas between them, always in the same order."""
    return ",".join(name for name, right in _RIGHTS.items() if right in grant.rights)
