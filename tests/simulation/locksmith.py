"""
The locksmith: an operator who makes keys and links with the commands of the package, and takes keys back.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from sseserver import keys, links
from tests.simulation.credentials import KEYS_FILE, LINK_FILE, bear
from tests.simulation.identities import Identity
from tests.simulation.viewers import Stage
from tests.simulation.wire import GATE_PORT, Query, Reply

#: Seconds. Lifetime of a link.
_LIFETIME = 5


class Locksmith:
    """
    Gives a key and a link to somebody, and takes the key back.

    Args:
        stage: See `Stage`.
        host: The machine of the server.
        number: Of this locksmith.
    """

    def __init__(self, stage: Stage, host: Any, number: int) -> None:
        self._name = f"locksmith{number}"
        self._stage = replace(stage, identity=Identity(self._name, port=GATE_PORT))
        self._host = host
        self._file = host.disk.folder / KEYS_FILE

    def give(self, stream: str) -> None:
        """Make a key and a link, and use them."""
        if not self._host.running:
            return
        key = self._run(keys.main, str(self._file), self._name, f"read:{stream}")
        self._host.reload()
        self._try(Query("GET", f"/streams/{stream}", _asJSON(bear(key))), 200, 404)
        self._try(Query("POST", f"/streams/{stream}", bear(key), b""), 403)
        url = self._run(
            links.main,
            *("--key-file", str(self._host.disk.folder / LINK_FILE)),
            *("--seconds", str(_LIFETIME), "--url", f"/streams/{stream}", f"read:{stream}"),
        )
        self._try(Query("GET", url, _asJSON({})), 200, 404)
        self._try(Query("GET", url.replace("expires=", "expires=1"), _asJSON({})), 401)
        self._stage.after(_LIFETIME + 1.0, lambda: self._try(Query("GET", url, _asJSON({})), 401))
        self._stage.after(round(4 + self._stage.chance.random() * 3, 3), lambda: self._takeBack(stream, key))

    def _takeBack(self, stream: str, key: str) -> None:
        """Take the key back, and try it again."""
        lines = self._file.read_text("ascii").splitlines()
        self._file.write_text("\n".join(line for line in lines if not line.startswith(f"{self._name} ")), "ascii")
        if self._host.running:
            self._host.reload()
            self._try(Query("GET", f"/streams/{stream}", _asJSON(bear(key))), 401)

    def _run(self, main: Callable[[list[str]], object], *arguments: str) -> str:
        """Run a command, and return what it prints."""
        clock = SimpleNamespace(time=lambda: self._stage.now)
        with patch.object(sys, "stdout", io.StringIO()) as out, patch.object(links, "time", clock):
            main(list(arguments))
        return out.getvalue().strip()

    def _try(self, query: Query, *statuses: int) -> None:
        self._stage.ask(query, lambda reply: self._judge(query, reply, statuses))

    def _judge(self, query: Query, reply: Reply, statuses: tuple[int, ...]) -> None:
        path = query.path.partition("?")[0]
        self._stage.history.add(self._name, f"{query.method} {path}: {reply.status}")
        if reply.status not in (0, 429, 503, *statuses):
            text = f"{self._name}: {reply.status} for {query.method} {path}, must be {statuses}"
            self._stage.history.blame("rights", text)


def _asJSON(headers: dict[str, str]) -> dict[str, str]:
    return {"Accept": "application/json", **headers}
