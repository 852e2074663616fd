"""
The processes: two servers, and a Redis with its replica.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.integration.forkserver import Process, startServer
from tests.integration.servers import ENVIRONMENT, freePort, twistd
from tests.redisservers import RedisServer
from tests.reliability.journal import Journal
from tests.reliability.proxy import FaultProxy

#: Seconds between two looks at something that shall happen.
_LOOK = 0.02

#: Seconds. Longest time until something happens that must.
_PATIENCE = 30.0


class Server:
    """
    One server process.

    Args:
        number: Its number, from 0.
        storePort: Port of the Redis, as this server sees it.
        folder: Gets its log.
        options: Words of its command line.

    Attributes:
        number: See above.
        port: Its port.
        alive: Whether it runs, and is not stopped.
    """

    def __init__(self, number: int, storePort: int, folder: Path, options: tuple[str, ...]) -> None:
        self.number = number
        self.port = freePort()
        self.alive = False
        self._log = folder / f"server-{number}.log"
        listen = ("--listen", f"tcp:{self.port}:interface=127.0.0.1")
        self._command = twistd("sseserver", *listen, "--store", f"redis://127.0.0.1:{storePort}", *options)
        self._process: Process | None = None

    def start(self) -> None:
        """Start the process."""
        with self._log.open("ab") as log:
            self._process = startServer(self._command, log, env=ENVIRONMENT)
        self.alive = True

    async def end(self, number: signal.Signals) -> None:
        """End the process by a signal, and wait for its end."""
        process = self._process
        if process is None:
            return
        self.alive = False
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while process.poll() is None:
            if asyncio.get_running_loop().time() > deadline:
                process.kill()
            await asyncio.sleep(_LOOK)
        self._process = None

    def stop(self) -> None:
        """Let the process stand still."""
        if self._process is not None:
            self.alive = False
            self._process.send_signal(signal.SIGSTOP)

    def proceed(self) -> None:
        """Let the process go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self.alive = True

    def measureMemory(self) -> int:
        """Return the resident memory of the process in bytes; 0 if there is none."""
        if self._process is None:
            return 0
        pages = Path(f"/proc/{self._process.pid}/statm").read_text("ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def readLog(self) -> str:
        """Return what the server has written."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""


class RedisPair:
    """
    A Redis and its replica.

    Args:
        sync: When each of them writes its file: `always` or `everysec`.
        between: The proxy between the two.

    Attributes:
        sync: See above.
        master: The one that has the streams.
        replica: The other one.
    """

    def __init__(self, sync: str, between: FaultProxy) -> None:
        self.sync = sync
        self._between = between
        self._ports = {}
        servers = []
        for _ in range(2):
            port = freePort()
            lines = (
                f"port {port}",
                "bind 127.0.0.1",
                "appendonly yes",
                f"appendfsync {sync}",
                "repl-diskless-sync-delay 0",
            )
            server = RedisServer(*lines, "repl-ping-replica-period 1", "repl-timeout 5")
            self._ports[server] = port
            servers.append(server)
        self.master, self.replica = servers

    @property
    def port(self) -> int:
        """Port of the master."""
        return self._ports[self.master]

    async def start(self) -> None:
        """Start both."""
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in (self.master, self.replica)))
        await self._follow()

    async def kill(self, seconds: float) -> None:
        """Kill the master, and start it again with its file after a time in seconds."""
        self.master.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.master.start)

    async def failOver(self, waits: bool) -> None:
        """
        Make the replica the master, and the master its replica.

        Args:
            waits: Whether writes wait until the replica has everything.
        """
        if waits:
            self._tell(self.master, "CLIENT", "PAUSE", "20000", "WRITE")
            deadline = asyncio.get_running_loop().time() + _PATIENCE
            while not await self._isEqual():
                assert asyncio.get_running_loop().time() < deadline, "The replica does not get everything."
                await asyncio.sleep(_LOOK)
        self._tell(self.replica, "REPLICAOF", "NO", "ONE")
        self.master.kill()
        self.master, self.replica = self.replica, self.master
        await asyncio.to_thread(self.replica.start)
        await self._follow()

    def pause(self, seconds: float, kind: str) -> None:
        """Let the clients of the master wait for a time in seconds; `kind` is `ALL` or `WRITE`."""
        self._tell(self.master, "CLIENT", "PAUSE", str(int(seconds * 1000)), kind)

    def command(self, *words: str) -> bytes:
        """Send a command to the master."""
        return self._tell(self.master, *words)

    async def flush(self) -> None:
        """Delete everything on both."""
        self._tell(self.master, "FLUSHALL")

    def remove(self) -> None:
        """End both, and delete their files."""
        for server in (self.master, self.replica):
            server.remove()

    async def awaitReplica(self) -> None:
        """Wait until the replica has what the master has now, but not for ever."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        offset = self._findOffset(self.master, b"master_repl_offset")
        while b"master_link_status:up" not in self._tell(self.replica, "INFO", "replication") or (
            self._findOffset(self.replica, b"slave_repl_offset") < offset
        ):
            assert asyncio.get_running_loop().time() < deadline, "The replica does not follow."
            await asyncio.sleep(_LOOK)

    async def _follow(self) -> None:
        self._tell(self.replica, "REPLICAOF", "127.0.0.1", str(self._between.port))

    async def _isEqual(self) -> bool:
        offset = self._findOffset(self.replica, b"slave_repl_offset")
        return offset >= 0 and offset == self._findOffset(self.master, b"master_repl_offset")

    def _findOffset(self, server: RedisServer, field: bytes) -> int:
        """Return how far a server is in the history of its master; -1 while it is not known."""
        answer = self._tell(server, "INFO", "replication")
        found = [line.partition(b":")[2] for line in answer.split(b"\r\n") if line.startswith(field + b":")]
        return int(found[0]) if found else -1

    def _tell(self, server: RedisServer, *words: str) -> bytes:
        return server.command(*words)


def explainDeath(server: Server, journal: Journal) -> None:
    """Write the errors of a server's log into the journal."""
    for line in server.readLog().splitlines():
        # The key of a run is not kept if Redis is lost at that moment, which is logged.
        if "Unhandled" in line or ("#critical" in line and "A key could not be stored" not in line):
            journal.note("log", server=server.number, line=line[:500])


def findFolder(name: str) -> Path:
    """Return a folder for the files of a run; it is made if it is missing."""
    folder = Path(os.environ.get("TMPDIR", "/tmp"), name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
