"""
Luck: the faults of the network and of the machine, and the stops that operators ask for.
"""

from __future__ import annotations

import signal

from tests.simulation.cast import Cast
from tests.simulation.host import Host
from tests.simulation.operators import Operator
from tests.simulation.viewers import Stage

#: Seconds of a stop beyond its wait and its drain, whatever programs and clients do.
LONGEST_STOP = 5.0

#: Seconds. After a failure the store waits so long at most before it writes again: a short drain may end before.
STORE_RETRY = 1.5


#: Faults of a server, and events in its life.
_FAULTS = ("kill", "kill", "stop", "stop", "stop", "power", "full", "full", "rotate", "reload")


class Luck:
    """
    Disturbs connections, and breaks the server.

    Args:
        stage: See `Stage`.
        host: The machine of the server.
        cast: The actors.
    """

    def __init__(self, stage: Stage, host: Host, cast: Cast) -> None:
        self._stage = stage
        self._world = stage.network.world
        self._chance = stage.chance
        self._history = stage.history
        self._refusals = stage.refusals
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
        self._world.run(lambda: self._host.running and not self._restarting, 60)
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
        what = self._chance.choice(
            ("kill", "kill", "stop", "stop", "stop", "power", "full", "full", "rotate", "reload")
        )
        if what in ("rotate", "reload"):
            self._history.add("scenario", what)
            getattr(self._host, what)()
            return
        if what == "full":
            if self._host.plan.store == "sqlite":
                self._history.add("scenario", "the disk is full")
                self._host.full = self._host.truth.copies.refused = True
                self._refusals.shutFrom("disk", self._world.now)
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
        begin, plan = self._world.now, self._host.plan
        number = self._chance.choice((None, signal.SIGTERM, signal.SIGTERM, signal.SIGINT))
        wait = plan.drainWait if number is signal.SIGTERM else 0.0
        exchanges = {actor.name: actor.exchange for actor in self._cast.connected if actor.exchange is not None}
        under = {name: one for name, one in exchanges.items() if not one.over and one.reply.status == 200}
        lossless = self._calm and not self._host.full and begin - self._emptied > STORE_RETRY
        hurried: list[float] = []

        def hurry() -> None:
            if not isOver:
                hurried.append(self._world.now)
                self._host.hurry()

        def stopped(_: None) -> None:
            isOver.append(True)
            self._judgeTime(begin, wait, hurried)
            for name, exchange in under.items() if lossless and not (self._host.full or hurried) else ():
                if not (exchange.disturbed or exchange.reply.complete):
                    self._history.blame("drain", f"the response of {name} is cut when the server stops")
            self._restartSoon()

        isOver: list[bool] = []
        self._host.stop(number).addCallback(stopped)
        if number is not None and self._chance.random() < 0.4:
            self._world.after(round(self._chance.random() * (wait + min(plan.settings.drain, 3.0)), 3), hurry)
        if wait and not isOver:
            self._refusals.shutFrom("leaving", begin)
            operator, at = Operator(self._stage, 0), round(self._chance.random() * wait, 3)
            self._world.after(at, lambda: operator.checkLeaving(lambda: not (hurried or isOver), begin + wait))

    def _judgeTime(self, begin: float, wait: float, hurried: list[float]) -> None:
        """
        Judge the time that a stop has taken.

        Args:
            begin: When it was asked for.
            wait: Seconds in which everything had to be served.
            hurried: When a second signal came, if one did.
        """
        seconds, drain = self._world.now - begin, self._host.plan.settings.drain
        if seconds < wait and not hurried:
            self._history.blame("stop", f"the server has stopped after {seconds:.3f} of {wait} seconds")
        if seconds > wait + drain + LONGEST_STOP:
            self._history.blame("stop", f"the server has stopped after {seconds:.3f} seconds")
        if hurried and self._world.now - hurried[0] > LONGEST_STOP:
            late = self._world.now - hurried[0]
            self._history.blame("stop", f"the server has stopped {late:.3f} seconds after the second signal")

    @property
    def _calm(self) -> bool:
        """Whether the network delivers everything at once."""
        weather = self._host.network.weather
        return not (weather.latency or weather.cut)

    def _empty(self) -> None:
        self._host.full = False
        self._emptied = self._world.now
        # A transaction that has failed is repeated a little later.
        self._refusals.shutUntil("disk", self._world.now + STORE_RETRY + 2 * self._host.plan.diskDelay)

    def _restartSoon(self) -> None:
        self._world.after(round(0.1 + self._chance.random() * 2, 3), self._restart)

    def _restart(self) -> None:
        self._restarting = False
        self._host.start()
