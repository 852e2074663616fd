"""
JSON Web Tokens (RFC 7519), verified with PyJWT.

Algorithm and keys are fixed by the configuration. Nothing in the header of a token chooses them, but for `kid`, which
selects one of the configured keys.

`sseserver.command.access` gives the verifier to `Credentials`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import jwt
from twisted.internet.defer import Deferred

from sseserver.errors import SSEServerError, Unauthorized
from sseserver.interfaces import Grant, Principal
from sseserver.web.access.grants import MAX_GRANTS, makeGrant, readGrant

#: The algorithms, and for those with a shared key its least number of bytes: that of the hash (RFC 7518 section 3.2).
ALGORITHMS = {"HS256": 32, "HS384": 48, "HS512": 64, "RS256": 0, "ES256": 0, "EdDSA": 0}

#: Bits. Shortest RSA key (RFC 7518 section 3.3).
_RSA_BITS = 2048

#: Claim with the grants, and prefix of the scopes that are grants.
CLAIM = "sseserver"

#: Seconds by which the clock of the issuer may be ahead. An expiry has no such tolerance.
_SKEW = 60

#: Characters. Longest subject.
_MAX_SUBJECT = 255


class TokenKey(NamedTuple):
    """
    A key that verifies signatures.

    Attributes:
        material: The key, as PyJWT takes it.
        digest: Tells it from other keys.
    """

    material: Any
    digest: bytes


class KeySet(Protocol):
    """Keys that verify signatures."""

    def knows(self, digest: bytes) -> bool:
        """Tell whether a digest is that of one of the keys."""

    def find(self, kid: str | None) -> TokenKey | Deferred[TokenKey | None] | None:
        """
        Find a key.

        Args:
            kid: The name of the key in the header of a token, if there is one.

        Returns:
            The key, or a Deferred that fires with it; `None` if there is no such key.

        Raises:
            SSEServerError: (also as an errback) The keys cannot be fetched now.
        """


class FixedKey:
    """
    A single key, from a file or the environment.

    Args:
        algorithm: The algorithm of the tokens.
        text: The shared key, or a public key in PEM.

    Raises:
        ValueError: It is not a key for this algorithm. The message does not contain it.
    """

    def __init__(self, algorithm: str, text: str) -> None:
        self._key = TokenKey(_prepareKey(algorithm, text), sha256(text.encode("utf-8")).digest())

    def knows(self, digest: bytes) -> bool:
        """See `KeySet.knows`."""
        return digest == self._key.digest

    def find(self, kid: str | None) -> TokenKey:
        """See `KeySet.find`. Whatever its name, there is one key only."""
        return self._key


def _prepareKey(algorithm: str, text: str) -> Any:
    least = ALGORITHMS[algorithm]
    if least and len(text.encode("utf-8")) < least:
        raise ValueError(f"a key for {algorithm} has at least {least} bytes")
    if not least and "PRIVATE KEY" in text:
        raise ValueError("this is a private key; the server needs the public one only")
    try:
        key = jwt.get_algorithm_by_name(algorithm).prepare_key(text)
    except Exception:
        # Each library has errors of its own for a text that is no key.
        raise ValueError(f"it is not a key for {algorithm}" + ("" if least else ": a public key in PEM")) from None
    if algorithm == "RS256" and key.key_size < _RSA_BITS:
        raise ValueError(f"an RSA key has at least {_RSA_BITS} bits")
    if algorithm == "ES256" and key.curve.name != "secp256r1":
        raise ValueError("a key for ES256 is on the curve P-256")
    return key


@dataclass(frozen=True, slots=True)
class TokenRules:
    """
    The claims and the algorithm that a token must have.

    Attributes:
        algorithm: One of `ALGORITHMS`.
        issuer: The claim `iss`; `None` for any.
        audience: The claim `aud`, or one of its members; `None` takes only tokens without it.
    """

    algorithm: str
    issuer: str | None = None
    audience: str | None = None


class TokenVerifier:
    """
    Verifies tokens.

    Args:
        rules: What tokens must have.
        keys: The keys.
        seconds: Returns the time in seconds since 1970.

    Attributes:
        fetchesKeys: Whether the keys may be missing for a time.
    """

    def __init__(self, rules: TokenRules, keys: KeySet, seconds: Callable[[], float]) -> None:
        self._rules = rules
        self._keys = keys
        self._seconds = seconds
        self.fetchesKeys = not isinstance(keys, FixedKey)

    def knows(self, digest: bytes) -> bool:
        """See `KeySet.knows`."""
        return self._keys.knows(digest)

    def verify(self, token: str) -> Principal | Deferred[Principal]:
        """
        Return the principal of a token.

        Args:
            token: In the compact serialization.

        Raises:
            Unauthorized: (also as an errback) The token is not valid.
            SSEServerError: (also as an errback) The keys cannot be fetched now.
        """
        key = self._keys.find(self._readHeader(token))
        if isinstance(key, Deferred):
            return key.addCallback(lambda found: self._verifyWith(token, found))
        return self._verifyWith(token, key)

    def _readHeader(self, token: str) -> str | None:
        """Check the header before anything is done for the token, and return the name of its key."""
        try:
            header = jwt.get_unverified_header(token)
        except Exception:
            # The token is foreign: PyJWT lets errors of its decoders through.
            raise _makeRefusal("It cannot be read") from None
        if header.get("alg") != self._rules.algorithm:
            raise _makeRefusal(f"Its algorithm must be {self._rules.algorithm}")
        if "crit" in header or header.get("b64", True) is not True:
            raise _makeRefusal("Its header has extensions")
        kid = header.get("kid")
        if not isinstance(kid, str | None):
            raise _makeRefusal("The name of its key must be a string")
        return kid

    def _verifyWith(self, token: str, key: TokenKey | None) -> Principal:
        if key is None:
            raise _makeRefusal("Its key is not known")
        rules = self._rules
        try:
            claims = jwt.decode(
                token,
                key.material,
                algorithms=[rules.algorithm],
                issuer=rules.issuer,
                audience=rules.audience,
                # The times are checked below, with the clock of the server.
                options={"require": ["exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            principal = _makePrincipal(claims, token, self._seconds())
        except SSEServerError:
            raise
        except Exception as error:
            # PyJWT and the parsers below it raise many types. None of them is our own fault.
            raise _makeRefusal(_REASONS.get(type(error), "It is not valid")) from None
        return replace(principal, key=key.digest)


#: Hints for developers. They say what is wrong, and quote nothing of the token.
_REASONS = {
    jwt.InvalidSignatureError: "Its signature is wrong",
    jwt.InvalidAudienceError: "Its audience is another one",
    jwt.InvalidIssuerError: "Its issuer is another one",
    jwt.MissingRequiredClaimError: "A claim is missing; exp is required and so are aud and iss if they are checked",
}


def _makePrincipal(claims: Mapping[str, Any], token: str, now: float) -> Principal:
    """
    Make the principal of verified claims.

    Raises:
        Unauthorized: They are not valid, or not valid now.
    """
    expires, begins = _readTime(claims, "exp", 0.0), _readTime(claims, "nbf", 0.0)
    if expires <= now:
        raise _makeRefusal("It has expired")
    if begins > now + _SKEW:
        raise _makeRefusal("It is not valid yet")
    subject = claims.get("sub")
    if subject is None:
        # Tokens without a subject are principals of their own. Logs have the name, so it has no part of the token.
        name = f"jwt#{sha256(token.encode('ascii', 'replace')).hexdigest()[:22]}"
    elif isinstance(subject, str) and 0 < len(subject) <= _MAX_SUBJECT and subject.isprintable():
        name = f"jwt:{subject}"
    else:
        raise _makeRefusal(f"The claim sub must be a string of 1 to {_MAX_SUBJECT} printable characters")
    return Principal(name, _readGrants(claims), expires)


def _readTime(claims: Mapping[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _makeRefusal(f"The claim {name} must be a number")
    return float(value)


def _readGrants(claims: Mapping[str, Any]) -> tuple[Grant, ...]:
    """Read the claim `sseserver`, or else the scopes that begin with its name."""
    claim = claims.get(CLAIM)
    try:
        if claim is not None:
            grants = tuple(makeGrant(each["rights"], each["streams"]) for each in claim)
        else:
            scopes = str(claims.get("scope") or "").split()
            prefix = f"{CLAIM}:"
            grants = tuple(readGrant(each.removeprefix(prefix)) for each in scopes if each.startswith(prefix))
    except (ValueError, TypeError, LookupError):
        raise _makeRefusal("The grants in its claims cannot be read") from None
    if len(grants) > MAX_GRANTS:
        raise _makeRefusal(f"It has more than {MAX_GRANTS} grants")
    return grants


def _makeRefusal(reason: str) -> Unauthorized:
    return Unauthorized(f"The token is refused. {reason}.", 'Bearer error="invalid_token"')
