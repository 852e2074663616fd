"""
The program of a worker, which only a pool starts (`twistd sseserver --workers`).

Its arguments are the descriptor of the channel to the pool, and the options of the pool. Its assignment comes first on
the channel.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from sseserver.command.workers.assignment import Assignment, readAssignment


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Serve clients until the pool says that it is enough.

    Args:
        arguments: The command line without the program's name; `None` takes that of the process.

    Raises:
        SystemExit: The worker cannot start.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    channel, assignment = _readAssignment(words[:1])
    # Keys that are typed at a terminal are for the pool.
    os.setsid()
    os.chdir(assignment.folder)
    _run(assignment, channel, words[1:])


def _readAssignment(words: Sequence[str]) -> tuple[socket.socket, Assignment]:
    """Return the channel to the pool, and what it has said first."""
    refusal = "sseserver: a worker is started by `twistd sseserver --workers`"
    try:
        channel = socket.socket(fileno=int(words[0]))
    except (IndexError, ValueError, OSError):
        sys.exit(refusal)
    try:
        return channel, readAssignment(channel.recv)
    except (ValueError, OSError):
        channel.close()
        sys.exit(refusal)


def _run(assignment: Assignment, channel: socket.socket, words: Sequence[str]) -> None:
    """Make the server and run it."""
    from twisted.application.reactors import installReactor  # noqa: PLC0415  (the reactor is installed first)

    if assignment.reactor is not None:
        installReactor(assignment.reactor)
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner  # noqa: PLC0415
    from twisted.python import usage  # noqa: PLC0415

    from sseserver.command.parsing import Options  # noqa: PLC0415
    from sseserver.worker.making import makeWorker  # noqa: PLC0415

    options = Options(assignment.document)
    try:
        options.parseOptions(words)
        os.chdir(assignment.runFolder)
        server = makeWorker(reactor, options, assignment, channel)
    except (usage.UsageError, OSError) as error:
        sys.exit(f"sseserver: {error}")
    assert server.log is not None
    globalLogBeginner.beginLoggingTo([server.log])
    server.privilegedStartService()
    server.startService()
    running: Any = reactor
    running.addSystemEventTrigger("before", "shutdown", server.stopService)
    running.run()
