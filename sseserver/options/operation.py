"""
The options of operation: how a server is watched, and how it stops.

`sseserver.options.table` puts them beside the other options.
"""

from __future__ import annotations

from sseserver.options.row import Group, Option
from sseserver.options.types import COUNT, ENDPOINT, FLAG, LEVEL, LOG_FORMAT, PAUSE, TIMES

OPERATION = (
    Option(
        "workers",
        COUNT,
        1,
        Group.OPERATION,
        "Number of processes that serve clients, on the same endpoints. More than one need `--store redis://`; limits "
        "such as `--max-viewers` are those of each of them.",
        otherNames=("processes", "threads", "cores"),
    ),
    Option(
        "retry-interrupted",
        TIMES,
        0,
        Group.OPERATION,
        "With `--store redis://`: how often a run with a prompt may be begun anew at another server because its own is "
        "gone. With 0 it ends `failed`, `interrupted`.",
        setting="retryInterrupted",
        otherNames=("retries", "retry-runs"),
    ),
    Option(
        "admin-listen",
        ENDPOINT,
        None,
        Group.OPERATION,
        "Listen on this endpoint for health checks, `/metrics` and the operator's page at `/admin/`, apart from the "
        "clients: `tcp:9000:interface=127.0.0.1`. The interface must be named: checks and metrics need no credentials. "
        "The page asks for them if clients need them; otherwise it is only on loopback, or with `--public`.",
        otherNames=("health", "admin"),
    ),
    Option(
        "metrics",
        FLAG,
        False,
        Group.OPERATION,
        "Serve `/metrics` on the endpoints of `--listen` as well. All of them must be loopback addresses or Unix "
        "sockets, and a proxy in front of them must not pass the URL on.",
        otherNames=("prometheus",),
    ),
    Option(
        "log-format",
        LOG_FORMAT,
        "text",
        Group.OPERATION,
        "Format of the log and of the access log: lines of text, or of JSON objects.",
    ),
    Option(
        "log-level",
        LEVEL,
        "info",
        Group.OPERATION,
        "Lowest level that the log has. Requests are of the level `info`, if the access log is in the log.",
        otherNames=("loglevel", "verbose", "quiet"),
    ),
    Option(
        "drain-wait",
        PAUSE,
        5.0,
        Group.OPERATION,
        "Time between SIGTERM and the drain, in seconds: everything is served, but `/readyz` answers 503, so that a "
        "load balancer sends new clients elsewhere.",
        otherNames=("pre-stop", "shutdown-delay"),
    ),
    Option(
        "drain",
        PAUSE,
        30.0,
        Group.OPERATION,
        "Time for runs to end and for viewers to read the rest when the service stops, in seconds. Then runs end "
        "`failed`, and what is left is cut.",
        setting="drain",
        otherNames=("grace", "graceful-timeout", "shutdown-timeout"),
    ),
)
