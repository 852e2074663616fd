"""
Credentials: API keys, JSON Web Tokens and the secrets behind them, made without code of the server.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

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
    return "sse_" + _encode(sha256(name.encode()).digest())


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


def makeToken(name: str, grants: list[dict[str, Any]], expires: float, key: str = TOKEN_KEY, **header: Any) -> str:
    """
    Make a token.

    Args:
        name: Its subject.
        grants: Its rights.
        expires: Its end, in seconds since 1970.
        key: Signs it.
        header: Members of its header that are not the usual ones.
    """
    claims = {"sub": name, "aud": AUDIENCE, "exp": expires, "sseserver": grants}
    parts = [_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"} | header, claims)]
    signed = ".".join(parts)
    return f"{signed}.{_encode(hmac.digest(key.encode(), signed.encode(), 'sha256'))}"


def grantOf(rights: str, streams: str) -> dict[str, Any]:
    """Return a grant as a token has it: rights with commas between them, for a pattern of names."""
    return {"rights": rights.split(","), "streams": streams}


def bear(credential: str) -> dict[str, str]:
    """Return the header with a key or a token."""
    return {"Authorization": f"Bearer {credential}"}


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
