"""
JSON Web Tokens made by hand: good ones, and forgeries. Nothing here uses the code under test, or PyJWT.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

#: Keys of the tests.
SHARED = "shared-" + "k" * 57
OTHER = "other-" + "k" * 58

#: Seconds since 1970. A time in the year 2033, at which the tests take place, and claims that are good then.
NOW = 2_000_000_000.0
GRANTS = [{"rights": ["read"], "streams": "chat-*"}]
CLAIMS: dict[str, Any] = {"sub": "alice", "exp": NOW + 600, "iss": "issuer", "aud": "here", "sseserver": GRANTS}

_HASHES = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


@cache
def privateKey(algorithm: str, number: int = 0) -> Any:
    """Return a private key for an algorithm, always the same one for a number."""
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def publicPEM(algorithm: str, number: int = 0) -> str:
    """Return a public key in PEM."""
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return str(privateKey(algorithm, number).public_key().public_bytes(encoding, form).decode())


def privatePEM(algorithm: str) -> str:
    """Return a private key in PEM."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return str(privateKey(algorithm).private_bytes(encoding, form, serialization.NoEncryption()).decode())


def encode(data: bytes | dict[str, Any]) -> str:
    """Encode bytes, or the JSON of an object."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def sign(text: bytes, algorithm: str, key: str | int = SHARED) -> bytes:
    """Sign a text with a shared key, or with the private key of a number."""
    if algorithm in _HASHES:
        return hmac.digest(str(key).encode(), text, _HASHES[algorithm])
    private = privateKey(algorithm, key if isinstance(key, int) else 0)
    if algorithm == "RS256":
        return bytes(private.sign(text, padding.PKCS1v15(), hashes.SHA256()))
    if algorithm == "EdDSA":
        return bytes(private.sign(text))
    r, s = decode_dss_signature(private.sign(text, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def makeToken(
    claims: dict[str, Any] | bytes = CLAIMS,
    algorithm: str = "HS256",
    key: str | int = SHARED,
    header: dict[str, Any] | bytes | None = None,
) -> str:
    """Make a token, whatever is in it."""
    text = f"{encode({'alg': algorithm, 'typ': 'JWT'} if header is None else header)}.{encode(claims)}"
    return f"{text}.{encode(sign(text.encode(), algorithm, key))}"


def forge(algorithm: str = "HS256", key: str | int = SHARED, url: str = "http://127.0.0.1:1/") -> dict[str, str]:
    """
    Make tokens that must be refused, by what is wrong with them: 40 and more.

    Args:
        algorithm: The algorithm that the server takes.
        key: The key that signs good tokens.
        url: Where a server that trusts a header would fetch keys.
    """

    def withHeader(**fields: Any) -> str:
        return makeToken(CLAIMS, algorithm, key, {"alg": algorithm, "typ": "JWT", **fields})

    def withClaims(**changed: Any) -> str:
        return makeToken(
            {name: value for name, value in {**CLAIMS, **changed}.items() if value is not ...}, algorithm, key
        )

    good = makeToken(CLAIMS, algorithm, key)
    head, body, signature = good.split(".")
    public = publicPEM(algorithm) if algorithm not in _HASHES else publicPEM("RS256")
    confused = encode({"alg": "HS256", "typ": "JWT"}) + "." + body
    stranger = "ES256" if algorithm != "ES256" else "EdDSA"
    own = {"kty": "oct", "k": encode(OTHER.encode())}
    raised = encode({**CLAIMS, "sseserver": [{"rights": ["delete"], "streams": "*"}]})
    forged = {
        "none": f"{encode({'alg': 'none'})}.{body}.",
        "None": f"{encode({'alg': 'None'})}.{body}.",
        "NONE, signed": f"{encode({'alg': 'NONE'})}.{body}.{signature}",
        "no algorithm": f"{encode({'typ': 'JWT'})}.{body}.{signature}",
        "empty algorithm": f"{encode({'alg': ''})}.{body}.{signature}",
        "algorithm as a list": f"{encode({'alg': [algorithm]})}.{body}.{signature}",
        "algorithm as null": f"{encode({'alg': None})}.{body}.{signature}",
        "lower case": f"{encode({'alg': algorithm.lower()})}.{body}.{signature}",
        "HMAC with the public key": f"{confused}.{encode(hmac.digest(public.encode(), confused.encode(), 'sha256'))}",
        "HMAC with an empty key": f"{confused}.{encode(hmac.digest(b'', confused.encode(), 'sha256'))}",
        "another hash": makeToken(CLAIMS, "HS384" if algorithm == "HS256" else "HS512", SHARED),
        "another algorithm": makeToken(CLAIMS, stranger, 0),
        "another key": makeToken(CLAIMS, algorithm, OTHER if algorithm in _HASHES else 1),
        "no signature": f"{head}.{body}.",
        "no dot": f"{head}.{body}",
        "cut signature": good[:-4],
        "longer signature": f"{good}AAAA",
        "signature of another body": f"{head}.{raised}.{signature}",
        "body of null": makeToken(b"null", algorithm, key),
        "body of a list": makeToken(b"[]", algorithm, key),
        "body without JSON": makeToken(b"\xff", algorithm, key),
        "nested body": makeToken(b"[" * 2000 + b"]" * 2000, algorithm, key),
        "nested header": f"{encode(b'[' * 2000)}.{body}.{signature}",
        "header of a list": f"{encode(b'[]')}.{body}.{signature}",
        "header without JSON": f"{encode(b'x')}.{body}.{signature}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{head}.{body}.{signature}.{body}.{signature}",
        "one part": head,
        "key in the header": makeToken(
            CLAIMS, "HS256", OTHER, {"alg": algorithm if algorithm == "HS256" else "HS256", "jwk": own}
        ),
        "jku": makeToken(CLAIMS, algorithm, OTHER if algorithm in _HASHES else 1, {"alg": algorithm, "jku": url}),
        "x5u": makeToken(CLAIMS, algorithm, OTHER if algorithm in _HASHES else 1, {"alg": algorithm, "x5u": url}),
        "x5c": makeToken(CLAIMS, algorithm, OTHER if algorithm in _HASHES else 1, {"alg": algorithm, "x5c": [public]}),
        "kid as a path": makeToken(CLAIMS, "HS256", "", {"alg": "HS256", "kid": "../../../../dev/null"}),
        "kid as SQL": makeToken(CLAIMS, "HS256", "x", {"alg": "HS256", "kid": "' UNION SELECT 'x"}),
        "kid as a number": withHeader(kid=1),
        "critical extension": withHeader(crit=["exp"], exp=NOW),
        "unencoded body": withHeader(b64=False, crit=["b64"]),
        "expired": withClaims(exp=NOW - 1),
        "expires now": withClaims(exp=NOW),
        "no expiry": withClaims(exp=...),
        "expiry as text": withClaims(exp=str(NOW + 600)),
        "expiry as true": withClaims(exp=True),
        "expiry as null": withClaims(exp=None),
        "expiry as NaN": makeToken(json.dumps({**CLAIMS, "exp": float("nan")}).encode(), algorithm, key),
        "endless expiry": makeToken(json.dumps({**CLAIMS, "exp": float("inf")}).encode(), algorithm, key),
        "not yet": withClaims(nbf=NOW + 3600),
        "wrong audience": withClaims(aud="elsewhere"),
        "audience as an object": withClaims(aud={"here": 1}),
        "no audience": withClaims(aud=...),
        "wrong issuer": withClaims(iss="stranger"),
        "no issuer": withClaims(iss=...),
        "subject as a list": withClaims(sub=["alice"]),
        "subject with a line end": withClaims(sub="a\nb"),
        "empty subject": withClaims(sub=""),
        "unknown right": withClaims(sseserver=[{"rights": ["root"], "streams": "*"}]),
        "grants as text": withClaims(sseserver="read:*"),
        "grant without a pattern": withClaims(sseserver=[{"rights": ["read"]}]),
        "pattern with two stars": withClaims(sseserver=[{"rights": ["read"], "streams": "a*b*"}]),
        "bad scope": withClaims(sseserver=..., scope="sseserver:all"),
        "too many grants": withClaims(sseserver=GRANTS * 101),
    }
    assert hashlib.sha256(good.encode()).hexdigest() not in forged
    return forged
