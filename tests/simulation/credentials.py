"""
Credentials: API keys, JSON Web Tokens and the secrets behind them, made without code of the server.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: Secrets of the server: the key of tokens, and the one of links and sessions.
TOKEN_KEY = "simulated token key " * 3
LINK_KEY = "simulated link key " * 3

#: Audience of the tokens.
AUDIENCE = "simulation"

#: Clients with an API key: the application that may do everything, and those whose limits are tried.
APPLICATION = "app"
HOLDERS = (APPLICATION, "shop", "bot")

#: Names of the files with the secrets.
KEYS_FILE, TOKEN_FILE, LINK_FILE = "keys.txt", "token.key", "link.key"


def makeKey(name: str) -> str:
    """Return the API key of a client."""
    return "sse_" + encode(sha256(name.encode()).digest())


def writeSecrets(folder: Path, holders: tuple[str, ...] = HOLDERS) -> None:
    """
    Write the files with the secrets of a server.

    Args:
        folder: Where they are written.
        holders: The clients with API keys.
    """
    lines = ["# Keys of a simulation"]
    for name in holders:
        digest = sha256(makeKey(name).encode()).hexdigest()
        lines.append(f"{name} sha256:{digest} publish,read,run,cancel,delete,list:*")
    (folder / KEYS_FILE).write_text("\n".join(lines), "ascii")
    (folder / TOKEN_FILE).write_text(TOKEN_KEY, "ascii")
    (folder / LINK_FILE).write_text(LINK_KEY, "ascii")


@dataclass(frozen=True, slots=True)
class Signer:
    """
    Signs tokens with one key.

    Attributes:
        key: The shared key; `None` for a key pair.
        pair: Number of the key pair.
    """

    key: str | None = TOKEN_KEY
    pair: int = 0

    @property
    def public(self) -> dict[str, str]:
        """The public key of the pair, as a key set has it."""
        raw = self._private.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": f"key{self.pair}", "x": encode(raw)}

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(sha256(f"pair {self.pair}".encode()).digest())

    def sign(self, name: str, grants: list[dict[str, Any]], expires: float, **header: Any) -> str:
        """
        Make a token.

        Args:
            name: Its subject.
            grants: Its rights.
            expires: Its end, in seconds since 1970.
            header: Members of its header that are not the usual ones.
        """
        usual = {"alg": "HS256"} if self.key is not None else {"alg": "EdDSA", "kid": f"key{self.pair}"}
        claims = {"sub": name, "aud": AUDIENCE, "exp": expires, "sseserver": grants}
        signed = ".".join(encode(json.dumps(part).encode()) for part in (usual | header, claims))
        if self.key is not None:
            return f"{signed}.{encode(hmac.digest(self.key.encode(), signed.encode(), 'sha256'))}"
        return f"{signed}.{encode(self._private.sign(signed.encode()))}"


class Issuer:
    """
    Issues tokens: with a shared key, or with key pairs that it replaces now and then.

    Attributes:
        signer: Signs the next token.
    """

    def __init__(self) -> None:
        self.signer = Signer()

    def mayBeUnknown(self, now: float) -> bool:
        """Return whether the server may not know a key of the issuer yet."""
        return False


def grantOf(rights: str, streams: str) -> dict[str, Any]:
    """Return a grant as a token has it: rights with commas between them, for a pattern of names."""
    return {"rights": rights.split(","), "streams": streams}


def bear(credential: str) -> dict[str, str]:
    """Return the header with a key or a token."""
    return {"Authorization": f"Bearer {credential}"}


def encode(data: bytes) -> str:
    """Encode bytes as tokens have them."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
