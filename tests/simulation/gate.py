"""
The gate: the streams of a server once more, at a port that asks for credentials.
"""

from __future__ import annotations

from pathlib import Path

from sseserver.command.access import makeCredentials, reloadCredentials
from sseserver.command.sites import makeSite
from sseserver.service.service import StreamService
from sseserver.tap import Options, Server
from tests.simulation.credentials import AUDIENCE, KEYS_FILE, LINK_FILE, TOKEN_FILE, writeSecrets
from tests.simulation.reactor import SimReactor
from tests.simulation.wire import GATE_PORT

#: Origin of an application's pages.
ORIGIN = "https://app.example"


class Gate:
    """
    The site with access for its clients only.

    Args:
        folder: Takes the files with the secrets.
        plain: Whether the site has no speedups.
    """

    def __init__(self, folder: Path, plain: bool) -> None:
        writeSecrets(folder)
        self._options = Options()
        self._options.parseOptions(
            [
                f"--listen=tcp:{GATE_PORT}:interface=127.0.0.1",
                f"--api-keys={folder / KEYS_FILE}",
                "--jwt-algorithm=HS256",
                f"--jwt-key-file={folder / TOKEN_FILE}",
                f"--jwt-audience={AUDIENCE}",
                f"--link-key-file={folder / LINK_FILE}",
                f"--cors-origin={ORIGIN}",
                "--access-log=none",
                *(["--plain"] if plain else []),
            ]
        )

    def open(self, reactor: SimReactor, server: Server, service: StreamService) -> None:
        """
        Let a server listen at the gate.

        Args:
            reactor: Of its process.
            server: The server, not started yet.
            service: Its streams.
        """
        self._credentials = makeCredentials(reactor, self._options)
        ledger = service.ledger
        kept = ledger.connections, ledger.bodies
        site = makeSite(reactor, service, self._options, self._credentials)
        # They count the port of all others.
        ledger.connections, ledger.bodies = kept
        server.listen(reactor, self._options["listen"][0], site)

    def reload(self) -> None:
        """Read the keys again."""
        assert self._credentials is not None
        reloadCredentials(self._credentials, self._options)
