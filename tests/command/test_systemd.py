"""
Tests for `sseserver.command.systemd`: sockets that systemd has passed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from sseserver.command import systemd
from sseserver.command.systemd import FIRST, countUnnamed, explainMissing, parseEndpoint, readVariables

PID = str(os.getpid())

#: Passes a socket without a name, as `systemd-socket-activate` does.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class SystemdTests(SynchronousTestCase):
    """Sockets with and without names."""

    def test_count(self) -> None:
        """Only sockets of this process without names are counted."""
        for variables, count in (
            ({"LISTEN_PID": PID, "LISTEN_FDS": "2"}, 2),
            ({"LISTEN_PID": PID, "LISTEN_FDS": "2", "LISTEN_FDNAMES": ""}, 2),
            ({"LISTEN_PID": PID, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}, 0),
            ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, 0),
            ({"LISTEN_PID": PID, "LISTEN_FDS": "two"}, 0),
            ({"LISTEN_PID": PID}, 0),
            ({}, 0),
        ):
            self.assertEqual(countUnnamed(variables), count, variables)

    def test_parse(self) -> None:
        """A socket without a name is found by its index; the message about another one tells the truth."""
        self.patch(systemd, "readVariables", lambda: {"LISTEN_PID": PID, "LISTEN_FDS": "2"})
        for place in ("domain=INET:index=1", "index=1:domain=INET"):
            endpoint = parseEndpoint(MemoryReactorClock(), f"systemd:{place}")
            assert isinstance(endpoint, AdoptedStreamServerEndpoint)
            self.assertEqual((endpoint.fileno, endpoint.addressFamily), (FIRST + 1, socket.AF_INET))
        for place in ("domain=INET:index=2", "domain=INET:name=a"):
            self.assertRaises(LookupError, parseEndpoint, MemoryReactorClock(), f"systemd:{place}")
        self.assertEqual(
            explainMissing(), "systemd has passed 2 sockets without names; use index=0 for the first of them"
        )
        self.patch(systemd, "readVariables", lambda: {"LISTEN_PID": PID, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "api"})
        self.assertEqual(explainMissing(), "systemd has passed no such socket; their names are api")

    def test_process(self) -> None:
        """The variables are those with which the process began, also after Twisted has removed them."""
        self.patch(os, "environ", {})
        self.assertIn("PATH", readVariables())
        self.patch(systemd, "_ENVIRONMENT", Path("/nowhere"))
        self.assertEqual(readVariables(), {})

    def test_activated(self) -> None:
        """A process with a socket that has no name accepts it."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            lines = (
                "from twisted.internet import endpoints",
                "from sseserver.command.parsing import Options",
                "options = Options()",
                "options.parseOptions(['--listen=systemd:domain=INET:index=0', '--access-log=none'])",
                "print(options['known'], options['hosts'])",
            )
            descriptor = str(server.fileno())
            run = subprocess.run(
                [sys.executable, "-c", ACTIVATE, descriptor, "-c", "\n".join(lines)],
                capture_output=True,
                check=False,
                pass_fds=[server.fileno()],
                text=True,
            )
        self.assertEqual(run.stdout, "['systemd:domain=INET:index=0'] ['127.0.0.1']\n", run.stderr)
