"""
Environment variables: the names of those that set options, and those with secrets, which are no options.
"""

from __future__ import annotations

#: Begins the names of all variables of sseserver.
PREFIX = "SSESERVER_"

#: Environment variable with the key of the upstream API.
KEY_VARIABLE = "SSESERVER_UPSTREAM_KEY"

#: Environment variable with the credentials for the Redis of `--store`.
REDIS_VARIABLE = "SSESERVER_REDIS_CREDENTIALS"

#: Environment variables with the key that verifies tokens, and with the keys that sign links and sessions.
TOKEN_KEY_VARIABLE = "SSESERVER_JWT_KEY"  # noqa: S105  (a name)
LINK_KEY_VARIABLE = "SSESERVER_LINK_KEY"

#: Variables with secrets, and the options for a file in their place.
SECRETS = {
    KEY_VARIABLE: "upstream-key-file",
    REDIS_VARIABLE: "redis-credentials-file",
    TOKEN_KEY_VARIABLE: "jwt-key-file",
    LINK_KEY_VARIABLE: "link-key-file",
}


def nameKeyVariable(upstream: str) -> str:
    """
    Return the name of the variable with the key of an upstream API.

    Args:
        upstream: Name of the API; empty for the only one.
    """
    return f"{KEY_VARIABLE}_{upstream.upper().replace('-', '_')}" if upstream else KEY_VARIABLE


def nameVariable(option: str) -> str:
    """Return the name of the variable that sets an option."""
    return PREFIX + option.upper().replace("-", "_")
