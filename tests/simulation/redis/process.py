"""
Process: one server of the simulation, which starts, stops, dies, and stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple
from unittest.mock import patch

from twisted.internet.defer import Deferred

from sseserver import tap
from sseserver.sources.text import TextSource
from tests.simulation.network import Accept, Network, SimSocket
from tests.simulation.reactor import SimReactor
from tests.simulation.redis.server import PORT as REDIS_PORT
from tests.simulation.world import World

#: Port of the first server; the others follow.
PORT = 8000

#: Words that each run writes: each says its number.
WORDS = 24

#: Seconds of a drain.
DRAIN = 2.0

#: The program is never run: `PromptedText` takes its place.
_OPTIONS = ("--exec=true {prompt}", "--heartbeat=1", "--retry=500", "--linger=600", f"--drain={DRAIN}")


class PromptedText(TextSource):
    """Writes words, whatever the prompt is: without one a run could not be begun anew."""

    takesPrompt = True


class RunTerms(NamedTuple):
    """
    The terms of all runs of a seed.

    Attributes:
        retries: Number of times that a run is begun anew at most.
        pace: Seconds between two words.
    """

    retries: int
    pace: float


class PatientNetwork:
    """
    The network as one process sees it: connections to a process that stands still wait until it goes on.

    Args:
        network: The network.
    """

    def __init__(self, network: Network) -> None:
        self.close = network.close
        self._network = network
        self._frozen = False
        self._waiting: list[Callable[[], object]] = []

    def listen(self, port: int, accept: Accept) -> None:
        """See `Network.listen`."""
        self._network.listen(port, lambda sock, peer: self._tell(lambda: accept(sock, peer)))

    def connect(self, port: int, connected: Callable[[SimSocket], object], refused: Callable[[], object]) -> None:
        """See `Network.connect`."""
        self._network.connect(port, lambda sock: self._tell(lambda: connected(sock)), lambda: self._tell(refused))

    def freeze(self) -> None:
        """Keep everything back."""
        self._frozen = True

    def thaw(self) -> None:
        """Let everything go that was kept back."""
        self._frozen = False
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _tell(self, call: Callable[[], object]) -> None:
        if self._frozen:
            self._waiting.append(call)
        else:
            call()


class Process:
    """
    One server.

    Args:
        world: Schedules it.
        network: Connects it.
        number: Its number.
        terms: The terms of runs.

    Attributes:
        number: See above.
        isRunning: Whether it runs, or stands still.
        isFrozen: Whether it stands still.
    """

    def __init__(self, world: World, network: Network, number: int, terms: RunTerms) -> None:
        self.number = number
        self._terms = terms
        self.isRunning = self.isFrozen = False
        self._world = world
        self._network = network
        self._reactor: SimReactor
        self._patience: Any
        self._server: Any

    @property
    def port(self) -> int:
        """Its port for clients."""
        return PORT + self.number

    def start(self) -> None:
        """Start it."""
        self._patience = PatientNetwork(self._network)
        self._reactor = SimReactor(self._world, self._patience)
        options, words = parseOptions(self.number, self._terms.retries), " ".join(f"w{n}" for n in range(1, WORDS + 1))
        source = PromptedText(self._reactor, words, self._terms.pace)
        with patch.object(tap, "makeSource", lambda *_: source):
            parts = tap.makeParts(self._reactor, options)
        self._server = parts.server
        self._server.listen(self._reactor, options["listen"][0], parts.measured.site)
        self._server.privilegedStartService()
        self._server.startService()
        self.isRunning = True

    def stop(self) -> Deferred[Any]:
        """Stop it in good order; the process ends then."""
        self.isRunning = False
        stopped: Deferred[Any] = self._server.stopService()
        return stopped.addCallback(lambda _: self._reactor.die())

    def kill(self) -> None:
        """End it at once."""
        self.thaw()
        self.isRunning = False
        self._reactor.die()

    def freeze(self) -> None:
        """Let it stand still."""
        self.isFrozen = True
        self._world.remove(self._reactor)
        self._patience.freeze()

    def thaw(self) -> None:
        """Let it go on. Harmless if it does not stand still."""
        if self.isFrozen:
            self.isFrozen = False
            self._world.add(self._reactor)
            self._patience.thaw()


@cache
def parseOptions(number: int, retries: int) -> tap.Options:
    """
    Parse the command line of a server.

    Args:
        number: Its number.
        retries: Number of times that a run is begun anew at most.
    """
    words = (
        f"--listen=tcp:{PORT + number}:interface=127.0.0.1",
        "--access-log=none",
        f"--store=redis://127.0.0.1:{REDIS_PORT + number}",
        f"--retry-interrupted={retries}",
    )
    options = tap.Options()
    options.parseOptions([*words, *_OPTIONS])
    return options
