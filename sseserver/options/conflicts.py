"""
The table of conflicts: pairs of options that exclude each other, and the message about each pair.

`sseserver.command.effects` checks the options against it, and the option reference lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sseserver.options.types import PLACE, REDIS

#: Values of all options by their names.
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conflict:
    """
    A pair of options that exclude each other.

    Attributes:
        option: Name of an option.
        other: Name of the other one.
        why: Rest of the message behind the first name; it names the other one.
        when: Tells whether the values conflict, if the first option is given. `None`: whenever both are given.
    """

    option: str
    other: str
    why: str
    when: Callable[[Values], bool] | None = None

    @property
    def message(self) -> str:
        """The message, which names both."""
        return f"--{self.option} {self.why}"


def _isIdle(option: str, other: str) -> Conflict:
    """Return the row of an option that has no effect when another one is given."""
    return Conflict(option, other, f"has no effect with --{other}")


def _isSource(option: str, other: str) -> Conflict:
    """Return the row of two token sources."""
    return Conflict(option, other, f"cannot be used with --{other}: give only one of them")


def _isSQLite(values: Values) -> bool:
    return values["store"] is not None and not _isRedis(values)


def _isRedis(values: Values) -> bool:
    return values["store"] is not None and values["store"].startswith(REDIS)


def _ignoresPrompt(values: Values) -> bool:
    command = values["exec"]
    return bool(values["prompt"] and command and not values["asks"] and PLACE not in " ".join(command))


def _hasTLS(values: Values) -> bool:
    return any(endpoint.partition(":")[0] == "ssl" for endpoint in values["listen"])


#: Pairs that exclude each other. A row about values follows the rows about options.
CONFLICTS = (
    _isSource("text", "exec"),
    _isSource("text", "upstream"),
    _isSource("exec", "upstream"),
    _isIdle("interval", "exec"),
    _isIdle("interval", "upstream"),
    Conflict("interval", "text", "has no effect with --text -", lambda values: values["text"] == "-"),
    Conflict(
        "prompt",
        "exec",
        f"needs a command that takes it: with --asks, or with {PLACE} in the command of --exec",
        _ignoresPrompt,
    ),
    Conflict("pin-model", "model", "needs --model", lambda values: values["model"] is None),
    _isIdle("jwt-key-file", "jwks-url"),
    Conflict(
        "jwks-url",
        "jwt-algorithm",
        "cannot be used with --jwt-algorithm HS256, HS384 or HS512: these have a shared key, which no URL should have",
        lambda values: values["jwt-algorithm"].startswith("HS"),
    ),
    Conflict(
        "jwks-url",
        "jwt-audience",
        "needs --jwt-audience: the issuer has tokens for others, too",
        lambda values: values["jwt-audience"] is None,
    ),
    _isIdle("public", "api-keys"),
    _isIdle("public", "jwt-algorithm"),
    _isIdle("public", "link-key-file"),
    Conflict(
        "proxy-protocol",
        "listen",
        "cannot be read on --listen ssl:…: let the proxy end TLS",
        _hasTLS,
    ),
    Conflict(
        "sync",
        "store",
        "has no effect but with --store sqlite:PATH",
        lambda values: not _isSQLite(values),
    ),
    *(
        Conflict(
            option,
            "store",
            "has no effect but with --store redis://HOST",
            lambda values: not _isRedis(values),
        )
        for option in ("redis-credentials-file", "redis-prefix")
    ),
    Conflict(
        "retry-interrupted",
        "store",
        "needs --store redis://HOST: otherwise no other server has the runs",
        lambda values: values["retry-interrupted"] > 0 and not _isRedis(values),
    ),
    Conflict(
        "retry-interrupted",
        "upstream",
        "needs --upstream or --exec: a text has no prompts",
        lambda values: values["retry-interrupted"] > 0 and not values["upstream"] and values["exec"] is None,
    ),
    Conflict(
        "window",
        "max-bytes",
        "must not be larger than --max-bytes, the size of all streams together",
        lambda values: values["window"] > values["max-bytes"],
    ),
    Conflict(
        "workers",
        "store",
        "needs --store redis://HOST: without it each worker would have streams of its own, and clients could not "
        "choose the worker",
        lambda values: values["workers"] > 1 and not _isRedis(values),
    ),
    Conflict(
        "workers",
        "text",
        "cannot be used with --text -: all workers cannot read the same standard input",
        lambda values: values["workers"] > 1 and values["text"] == "-",
    ),
    Conflict(
        "workers",
        "metrics",
        "cannot be used with --metrics: a worker has only its own numbers; use --admin-listen",
        lambda values: values["workers"] > 1 and bool(values["metrics"]),
    ),
)
