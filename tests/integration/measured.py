"""
A server that tells its memory and its ledger.

    python -m tests.integration.measured PORT OPTIONS

serves as `twistd sseserver OPTIONS` does. Each connection to PORT gets a line of JSON: the process's resident memory in
bytes as `resident`, and the bytes of all accounts of its ledger as `counted`.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from sseserver.service.service import StreamService
from sseserver.tap import Options, makeService


class Report(Protocol):
    """Reports, and closes the connection."""

    def __init__(self, service: StreamService) -> None:
        self._service = service

    def connectionMade(self) -> None:
        """See `Protocol.connectionMade`."""
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        accounts = {name: each.used for name, each in self._service.ledger.report().items()}
        report = {"resident": resident, "counted": sum(accounts.values()), "accounts": accounts}
        self.transport.write(json.dumps(report).encode("ascii") + b"\n")
        self.transport.loseConnection()


def main(port: int, arguments: list[str]) -> None:
    """Serve until a signal."""
    options = Options()
    options.parseOptions(arguments)
    server = makeService(options)
    (service,) = [each for each in server.services if isinstance(each, StreamService)]
    factory: Factory = Factory.forProtocol(lambda: Report(service))
    factory.noisy = False
    server.privilegedStartService()
    server.startService()
    reactor.listenTCP(port, factory, interface="127.0.0.1")
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
