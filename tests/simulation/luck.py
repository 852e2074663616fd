"""
Luck: the faults of the network and of the machine.
"""

from __future__ import annotations

from tests.simulation.cast import Cast
from tests.simulation.history import History
from tests.simulation.host import Host
from tests.simulation.world import World

#: Seconds of a stop beyond the drain, whatever programs and clients do.
LONGEST_STOP = 5.0

#: Seconds. After a failure the store waits so long at most before it writes again: a short drain may end before.
STORE_RETRY = 1.5


class Luck:
    """
    Disturbs connections, and breaks the server.

    Args:
        world: Schedules the ends of the faults.
        history: Takes the faults.
        host: The machine of the server.
        cast: The actors.
    """

    def __init__(self, world: World, history: History, host: Host, cast: Cast) -> None:
        self._world = world
        self._chance = world.chance
        self._history = history
        self._host = host
        self._cast = cast
        self._restarting = False
        # The last time that the disk got room again.
        self._emptied = float("-inf")

    def cue(self) -> None:
        """Choose the faults and when they happen."""
        chance = self._chance
        for _ in range(chance.choice((0, 0, 1, 2, 3))):
            self._cast.enter(self._break)
        for _ in range(chance.randint(0, 8)):
            self._cast.enter(self._disturb)

    def end(self) -> None:
        """End all faults."""
        self._world.run(lambda: self._host.running, 60)
        self._empty()
        for actor in self._cast.connected:
            if actor.exchange is not None:
                actor.exchange.stall(False)
                actor.exchange.pause(False)

    def _disturb(self) -> None:
        """Do something to one connection."""
        chance = self._chance
        exchanges = [actor.exchange for actor in self._cast.connected if actor.exchange is not None]
        live = [exchange for exchange in exchanges if not exchange.over]
        if not live:
            return
        exchange = chance.choice(live)
        what = chance.choice(("cut", "drop", "reset", "pause", "pause", "stall", "stall", "shutdown"))
        self._history.add("scenario", what)
        if what == "pause":
            exchange.pause(True)
            self._world.after(round(chance.random() * 8, 3), lambda: exchange.pause(False))
        elif what == "stall":
            exchange.stall(True)
            self._world.after(round(chance.random() * 8, 3), lambda: exchange.stall(False))
        elif what == "reset":
            exchange.drop(reset=True)
        else:
            getattr(exchange, what)()

    def _break(self) -> None:
        """Do something to the server."""
        if self._restarting or not self._host.running:
            return
        what = self._chance.choice(("kill", "kill", "stop", "stop", "power", "full", "full", "rotate"))
        if what == "rotate":
            self._history.add("scenario", "the access log is renamed")
            self._host.rotate()
            return
        if what == "full":
            if self._host.plan.store == "sqlite":
                self._history.add("scenario", "the disk is full")
                self._host.full = self._host.truth.copies.refused = True
                self._world.after(round(self._chance.random() * 3, 3), self._empty)
            return
        self._restarting = True
        if what == "stop":
            self._stop()
        else:
            (self._host.kill if what == "kill" else self._host.losePower)()
            self._restartSoon()

    def _stop(self) -> None:
        """Stop the server in good order; all responses under way must arrive as a whole."""
        begin, settings = self._world.now, self._host.plan.settings
        exchanges = {actor.name: actor.exchange for actor in self._cast.connected if actor.exchange is not None}
        under = {name: one for name, one in exchanges.items() if not one.over and one.reply.status == 200}
        lossless = self._calm and not self._host.full and begin - self._emptied > STORE_RETRY

        def stopped(_: None) -> None:
            seconds = self._world.now - begin
            if seconds > settings.drain + LONGEST_STOP:
                self._history.blame("stop", f"the server has stopped after {seconds:.3f} seconds")
            for name, exchange in under.items() if lossless and not self._host.full else ():
                if not (exchange.disturbed or exchange.reply.complete):
                    self._history.blame("drain", f"the response of {name} is cut when the server stops")
            self._restartSoon()

        self._host.stop().addCallback(stopped)

    @property
    def _calm(self) -> bool:
        """Whether the network delivers everything at once."""
        weather = self._host.network.weather
        return not (weather.latency or weather.cut)

    def _empty(self) -> None:
        self._host.full = False
        self._emptied = self._world.now

    def _restartSoon(self) -> None:
        self._world.after(round(0.1 + self._chance.random() * 2, 3), self._restart)

    def _restart(self) -> None:
        self._restarting = False
        self._host.start()
