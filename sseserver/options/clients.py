"""
The options of clients: the share of each in the server, and the proxies that name them.

`sseserver.options.table` puts them beside the other options.
"""

from __future__ import annotations

from sseserver.options.row import Group, Option
from sseserver.options.types import COUNT, FLAG, NETWORK

#: Follows the limits of each client.
_LOOPBACK = "Clients of this machine (loopback, Unix sockets) have no limit, unless they have a credential."

CLIENTS = (
    Option(
        "max-connections-per-address",
        COUNT,
        None,
        Group.CLIENTS,
        "Number of connections at a time from one address. Without this option 256 from an address of the public "
        "internet. Loopback, Unix sockets and trusted proxies never have a limit.",
    ),
    Option(
        "max-viewers-per-client",
        COUNT,
        None,
        Group.CLIENTS,
        "Number of viewers at a time of one client: a principal, or else an address. Without this option 200 for an "
        f"address of the public internet. {_LOOPBACK}",
        setting="maxViewersPerClient",
    ),
    Option(
        "max-runs-per-client",
        COUNT,
        None,
        Group.CLIENTS,
        "Number of runs at a time of one client, with those that wait. Without this option 20 for an address of the "
        f"public internet. {_LOOPBACK}",
        setting="maxRunsPerClient",
    ),
    Option(
        "runs-per-minute",
        COUNT,
        None,
        Group.CLIENTS,
        "Number of runs that one client may start in a minute. Without this option 60 for an address of the public "
        f"internet. {_LOOPBACK}",
        setting="runsPerMinute",
        otherNames=("rate-limit",),
    ),
    Option(
        "publishes-per-second",
        COUNT,
        None,
        Group.CLIENTS,
        "Number of publishes of one client in a second. Without this option 1000 for an address of the public "
        f"internet. {_LOOPBACK}",
        setting="publishesPerSecond",
    ),
    Option(
        "trusted-proxy",
        NETWORK,
        None,
        Group.CLIENTS,
        "Believe `X-Forwarded-For` and `X-Forwarded-Proto` from this address or network, for example `127.0.0.1`, "
        "`10.0.0.0/8`, or `unix` for Unix sockets. May be given more than once.",
        repeatable=True,
        otherNames=("trusted-proxies", "forwarded-allow-ips", "proxy", "proxy-headers"),
    ),
    Option(
        "proxy-protocol",
        FLAG,
        False,
        Group.CLIENTS,
        "Each connection from a trusted proxy begins with the PROXY protocol, version 1 or 2.",
        needs=("trusted-proxy",),
    ),
)
