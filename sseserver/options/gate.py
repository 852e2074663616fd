"""
The options of the gate: the hosts that a server answers to, the pages that may use it, and APIs that are off.

`sseserver.options.table` puts them beside the other options.
"""

from __future__ import annotations

from sseserver.options.row import Group, Option
from sseserver.options.types import FLAG, HOST, ORIGIN

GATE = (
    Option(
        "host",
        HOST,
        None,
        Group.LISTENING,
        "Answer requests for this host name, as it is in the server's URL, with or without a port. Loopback names and "
        "the address of `--listen` are always answered; a listener on all interfaces, or on a UNIX socket, needs this "
        "option. `*` is every name: only behind a proxy that checks them. May be given more than once.",
        repeatable=True,
        otherNames=("hosts", "allowed-hosts", "allow-host", "server-name", "hostname"),
    ),
    Option(
        "cors-origin",
        ORIGIN,
        None,
        Group.LISTENING,
        "Let pages of this origin use the server: `https://example.com` or `http://localhost:5173`. `*` is every "
        "origin, for requests without cookies. May be given more than once.",
        repeatable=True,
        otherNames=("cors", "cors-origins", "allow-origin", "allowed-origins", "origin", "origins"),
    ),
    Option(
        "ollama",
        FLAG,
        False,
        Group.LISTENING,
        "Answer clients of Ollama, too, below `/ollama`: the host of such a client is `http://127.0.0.1:8000/ollama`.",
        setting="ollama",
    ),
)
