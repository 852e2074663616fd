"""
The options of access: the credentials that clients need. `sseserver.options.table` puts them beside the other options.
"""

from __future__ import annotations

from sseserver.options.row import Group, Option
from sseserver.options.types import ALGORITHM, FILE, FLAG, TEXT, URL
from sseserver.options.variables import LINK_KEY_VARIABLE, TOKEN_KEY_VARIABLE

CREDENTIALS = (
    Option(
        "api-keys",
        FILE,
        None,
        Group.ACCESS,
        "File with the hashes and rights of API keys, from `python -m sseserver.keys`. Every request then needs a "
        "credential. Read again on SIGHUP.",
        otherNames=("keys", "auth", "tokens"),
    ),
    Option(
        "jwt-algorithm",
        ALGORITHM,
        None,
        Group.ACCESS,
        "Accept JSON Web Tokens that are signed with this algorithm, and no other. Every request then needs a "
        "credential.",
        otherNames=("jwt",),
    ),
    Option(
        "jwt-key-file",
        FILE,
        None,
        Group.ACCESS,
        f"File with the key of the tokens: the shared key for HS256, HS384 and HS512, the public key in PEM for the "
        f"others. Without this option the key is `${TOKEN_KEY_VARIABLE}`. Read again on SIGHUP.",
        needs=("jwt-algorithm",),
        otherNames=("jwt-key", "jwt-secret"),
    ),
    Option(
        "jwks-url",
        URL,
        None,
        Group.ACCESS,
        "Fetch the public keys of the tokens from this URL, a JSON Web Key Set.",
        needs=("jwt-algorithm",),
        otherNames=("jwks",),
    ),
    Option(
        "jwt-issuer",
        TEXT,
        None,
        Group.ACCESS,
        "Accept only tokens with this claim `iss`.",
        needs=("jwt-algorithm",),
    ),
    Option(
        "jwt-audience",
        TEXT,
        None,
        Group.ACCESS,
        "Accept only tokens with this claim `aud`. Without this option, only tokens without that claim.",
        needs=("jwt-algorithm",),
    ),
    Option(
        "link-key-file",
        FILE,
        None,
        Group.ACCESS,
        "File with the keys that sign links and sessions, one a line: the first signs, all are accepted. Without this "
        f"option the key is `${LINK_KEY_VARIABLE}`. Every request then needs a credential. Read again on SIGHUP.",
        otherNames=("link-key", "secret"),
    ),
    Option(
        "public",
        FLAG,
        False,
        Group.ACCESS,
        "Listen on other addresses than loopback without asking for credentials.",
        otherNames=("no-auth", "open", "insecure"),
    ),
)
