"""
The gate: the streams of a server once more, at a port that asks for credentials, and at one behind a proxy.
"""

from __future__ import annotations

from pathlib import Path

from sseserver.command.access import makeCredentials, reloadCredentials
from sseserver.command.sites import makeSite
from sseserver.service.service import StreamService
from sseserver.tap import Options, Server
from tests.simulation.commandline import Plan
from tests.simulation.credentials import AUDIENCE, KEYS_FILE, LINK_FILE, TOKEN_FILE, writeSecrets
from tests.simulation.identities import PROXIES
from tests.simulation.keyserver import KEYS_PORT
from tests.simulation.pages import ORIGIN
from tests.simulation.reactor import SimReactor
from tests.simulation.wire import GATE_PORT, PROXIED_PORT


class Gate:
    """
    The sites for guests, and for clients behind a proxy.

    Args:
        folder: Takes the files with the secrets.
        plan: How the server is set up.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        writeSecrets(folder)
        more = ["--access-log=none", *(["--plain"] if plan.settings.plain else [])]
        if plan.connectionsEach is not None:
            more.append(f"--max-connections-per-address={plan.connectionsEach}")
        tokens = [f"--jwks-url=http://127.0.0.1:{KEYS_PORT}/keys", "--jwt-algorithm=EdDSA"]
        if not plan.keyServer:
            tokens = ["--jwt-algorithm=HS256", f"--jwt-key-file={folder / TOKEN_FILE}"]
        self._guarded = _parse(
            f"--listen=tcp:{GATE_PORT}:interface=127.0.0.1",
            f"--api-keys={folder / KEYS_FILE}",
            *tokens,
            f"--jwt-audience={AUDIENCE}",
            f"--link-key-file={folder / LINK_FILE}",
            f"--cors-origin={ORIGIN}",
            *more,
        )
        self._proxied = _parse(
            f"--listen=tcp:{PROXIED_PORT}:interface=127.0.0.1", "--proxy-protocol", f"--trusted-proxy={PROXIES}", *more
        )

    def open(self, reactor: SimReactor, server: Server, service: StreamService) -> None:
        """
        Let a server listen at the gate.

        Args:
            reactor: Of its process.
            server: The server, not started yet.
            service: Its streams.
        """
        self._credentials = makeCredentials(reactor, self._guarded)
        ledger = service.ledger
        kept = ledger.connections, ledger.bodies
        for options, credentials in ((self._guarded, self._credentials), (self._proxied, None)):
            site = makeSite(reactor, service, options, credentials)
            server.listen(reactor, options["listen"][0], site)
        # They count the port of all others.
        ledger.connections, ledger.bodies = kept

    def reload(self) -> None:
        """Read the keys again."""
        assert self._credentials is not None
        reloadCredentials(self._credentials, self._guarded)


def _parse(*line: str) -> Options:
    options = Options()
    options.parseOptions(line)
    return options
