"""
Scenario: what one seed makes of a server, its users, and their bad luck; and the run of it.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from tests.simulation.accounts import Accounts
from tests.simulation.askers import Asker
from tests.simulation.cast import BUSY, Cast
from tests.simulation.chance import Patches
from tests.simulation.credentials import Issuer
from tests.simulation.disk import Disk
from tests.simulation.eventsviewer import EventsViewer
from tests.simulation.history import History
from tests.simulation.host import Host
from tests.simulation.keyserver import KeyServer
from tests.simulation.luck import Luck
from tests.simulation.network import Network, Weather
from tests.simulation.operators import Operator
from tests.simulation.plans import makePlan, makeRefusals, makeWeather
from tests.simulation.recovery import Rehearsal
from tests.simulation.sources import Scripts
from tests.simulation.truth import Truth
from tests.simulation.turns import Turns
from tests.simulation.upstream import Upstream
from tests.simulation.viewers import Stage
from tests.simulation.world import World

#: Seconds of virtual time that they have to end after the last fault.
CALM = 90.0


def isLate(actor: Any) -> bool:
    """Return whether an actor has no answer. To be refused is one: `Refusals` judges it."""
    return not (actor.finished or actor.refused)


class Scenario:
    """
    One run of one seed.

    Args:
        seed: Decides everything.
        patches: Replace the sources of randomness.
        world: Has the clock.
        without: See `Cast`.
    """

    def __init__(self, seed: int, world: World, patches: Patches, without: frozenset[int] = frozenset()) -> None:
        chance = self.chance = world.chance
        self.seed = seed
        self.world = world
        self.history = History(world)
        self.truth = Truth(self.history)
        # By a chance of its own, so that seeds without TLS keep their histories.
        self.plan = replace(makePlan(chance), isSecure=Random(f"TLS {seed}").random() < 0.25)
        network = self.network = Network(world, chance, makeWeather(chance))
        self.refusals = makeRefusals(self.plan, network.weather, self.history)
        issuer = KeyServer(network, Random(f"keys {seed}")) if self.plan.keyServer else Issuer()
        self.stage = Stage(network, self.history, self.truth, chance, self.refusals, issuer)
        size = chance.choice((50, 3000, 60_000 if network.weather.wide else 50))
        self.scripts = Scripts(chance, self.truth, chance.choice((3, 12, 150)), size, chance.choice((0.01, 0.3, 1.5)))
        self.disk = Disk(chance, patches, full=chance.random() < 0.4)
        patches.boot = lambda: self.disk.boot
        self.host = Host(world, network, self.plan, self.scripts, self.disk, self.history)
        settings = self.plan.settings
        if self.plan.store == "sqlite":
            rehearsal = Rehearsal(self.disk, self.truth, self.history, patches, settings.kept)
            self.host.onCommit = rehearsal.committed
        self.truth.trims = settings.window < 1 << 20
        self.truth.fates.idle = settings.idle
        self.truth.copies.window = settings.kept
        self.truth.sparse = self.plan.source == "upstream"
        self.truth.programs = self.plan.source in ("exec", "input")
        self.truth.forgets = settings.maxStreams < 1000 or settings.maxBytes < 1 << 20 or settings.keep < 100
        self.truth.roomy = not self.refusals.tight and self.plan.connections is None
        self.host.onDown = lambda: self.refusals.shutFrom("down", world.now)
        self.host.onUp = lambda: self._open()
        self.cast = Cast(self.stage, self.plan.source not in ("silent", "input"), without)
        self.luck = Luck(self.stage, self.host, self.cast)
        self.accounts = Accounts(world, self.history, self.host)
        # Whether the server forgets everything soon after its end, so that it can be seen to forget everything.
        self._forgetful = self.plan.settings.keep < 100
        # Names of the runs that do not go on.
        self._stuck: set[str] = set()
        if self.plan.source == "upstream":
            Upstream(network, self.scripts, chance, self.history)
        self.history.add("scenario", f"{self.plan} {network.weather}")

    def _open(self) -> None:
        """Note that a server has started."""
        for reason in ("down", "leaving"):
            self.refusals.shutUntil(reason, self.world.now)

    def run(self) -> None:
        """Run the scenario from its start to its verdict."""
        self.host.start()
        self.accounts.start()
        self.cast.cue()
        self.cast.invite(Random(f"visitors {self.seed}"))
        self.cast.crowd(Random(f"neighbours {self.seed}"))
        self.cast.administrate(Random(f"operators {self.seed}"), self.host)
        if self.plan.isSecure:
            self.cast.secure(Random(f"secure {self.seed}"), self.plan.connections is None)
        self.cast.ravage(Random(f"vandals {self.seed}"), self.plan.connections is None)
        self.luck.cue()
        self.world.pass_(BUSY)
        self._restore()
        self._settle()
        self._judgeLife()
        self._audit()
        self._age()
        self._forget()
        self._closeDown()
        self.truth.judge()
        self.refusals.limits.judge()

    # The end

    def _restore(self) -> None:
        """End all faults."""
        self.luck.end()
        self.truth.calmSince = self.world.now

    def _settle(self) -> None:
        """Wait until all actors have ended, or have nothing more to do."""
        actors: list[Any] = [*self.cast.publishers, *self.cast.askers]
        turns = Turns(self.world, self.host, CALM + self.plan.settings.linger)
        while True:
            before = {asker: asker.asked for asker in self.cast.askers}
            if self.world.run(lambda: all(actor.finished for actor in actors), CALM):
                break
            late = [actor for actor in actors if isLate(actor)]
            askers = [actor for actor in late if isinstance(actor, Asker)]
            # A run that waits for its turn has all the time of those before it, and then some of its own.
            began = any(asker.asked != before[asker] for asker in askers)
            if not (began or (any(asker.waits for asker in askers) and turns.pass_())):
                if late and self.plan.settings.maxBytes > 1 << 20:
                    self.history.blame("life", f"{[actor.name for actor in late]} are not answered")
                break
        for actor in actors:
            # A client that is refused again and again gives up.
            actor.finished = True
        self._awaitRuns()
        self.world.pass_(12.0)

    def _awaitRuns(self) -> None:
        """Wait until all runs have ended: those without viewers by their linger. What does not go on is stuck."""
        runs = self.host.service.runs
        if self.world.run(lambda: not runs.names, CALM + self.plan.settings.linger):
            # A program may take some seconds to end, and a run that is being created has a prompt.
            self.world.run(lambda: self.accounts.areEmpty("work", "prompts"), 20.0)
            if not runs.names:
                self.accounts.checkEmpty("without runs", "work", "prompts")
            return
        # A slow viewer of the whole text, or a visitor that comes again and again, takes its time.
        lasts = self._lasts()
        self.world.run(lambda: not runs.names, CALM)
        for name, last in self._lasts().items():
            self._stuck.add(name)
            if lasts.get(name) == last and self.plan.settings.maxBytes > 1 << 20:
                self.history.blame("life", f"the run {name} does not go on after {last} entries")

    def _lasts(self) -> dict[str, int]:
        """Return the number of entries of each run."""
        runs = self.host.service.runs
        found = {name: runs.find(name) for name in runs.names}
        return {name: run.streamLog.last for name, run in found.items() if run is not None}

    def _judgeLife(self) -> None:
        """Check that every viewer has what it can have by now."""
        for viewer in self.cast.viewers:
            # Without room a viewer is turned away again and again.
            served = viewer.listening or (viewer.live and self.truth.roomy)
            if isinstance(viewer, EventsViewer) and served and not viewer.finished and viewer.epoch:
                known = self.truth.epochs[viewer.epoch]
                if viewer.cursor < known.last and not known.replaced:
                    self.history.blame("life", f"{viewer.name} is at {viewer.epoch}-{viewer.cursor} of {known.last}")

    def _audit(self) -> None:
        """Read every stream from its start."""
        for actor in self.cast.connected:
            actor.finished = True
            if actor.exchange is not None:
                actor.exchange.drop()
        for client in self.cast.clients:
            client.close()
        self.world.pass_(1.0)
        self.network.weather = Weather()
        for stream in dict.fromkeys(self.cast.streams):
            auditor = EventsViewer(self.stage, f"auditor of {stream}", stream)
            auditor.start()
            self.world.run(lambda: auditor.finished, 3.0)  # noqa: B023
            if auditor.epoch:
                self.truth.audit(auditor.name, stream, auditor.epoch, auditor.first)
                self._checkEnd(stream, auditor)
            auditor.finished = True
            if auditor.exchange is not None:
                auditor.exchange.drop()
        for known in self.truth.epochs.values():
            gone = known.replaced or self.truth.mayBeGone(known.name)
            full = self.plan.settings.maxBytes < 1 << 20
            stuck = known.name in self._stuck
            if not (known.name in self.truth.published or known.terminal or gone or full or stuck):
                self.history.blame("end", f"the run {known.name} has no end")

    def _checkEnd(self, stream: str, auditor: EventsViewer) -> None:
        """Check that a stream that is still kept has an end, if no publisher could go on."""
        works = stream in self._stuck or stream in self.truth.published or self.plan.settings.maxBytes < 1 << 20
        if not (works or auditor.finished):
            self.history.blame("end", f"the run {stream} is open, and nothing works for it")

    def _age(self) -> None:
        """Wait until every published stream must have ended because nobody uses it."""
        idle = self.plan.settings.idle
        if not self.truth.fates.ages:
            return
        self.world.pass_(2 * idle + 1)
        operator = Operator(self.stage, 0)
        for stream in sorted(self.truth.published):
            operator.checkEnded(stream)
        self.world.pass_(1.0)

    def _forget(self) -> None:
        """Delete all streams, and wait until the others are forgotten: the ledger must be empty then."""
        if not self._forgetful:
            return
        operator = Operator(self.stage, 0)
        for stream in dict.fromkeys((*self.cast.streams, *self.truth.published)):
            operator.delete(stream)
        self.world.pass_(self.plan.settings.keep + self.plan.settings.linger + 10)
        self.accounts.checkEmpty("after all was forgotten", "runs", "published", "keys", "work", "prompts")

    def _closeDown(self) -> None:
        """Stop the server; nothing must be left of it."""
        self.world.pass_(2.0)
        stopped: list[object] = []
        reactor = self.host.reactor
        service = self.host.service
        if service.viewers.count:
            self.history.blame("left", f"{service.viewers.count} viewers after all have gone")
        self.accounts.checkEmpty("after all have gone", "viewers")
        self.host.stopListening().addCallback(stopped.append)
        if not self.world.run(lambda: bool(stopped), 60):
            self.history.blame("stop", "the server does not stop")
        self.world.pass_(80.0)
        left = [str(call) for call in reactor.getDelayedCalls()]
        if left:
            self.history.blame("left", f"delayed calls: {left}")
        if self.host.programs.left:
            self.history.blame("left", f"programs: {self.host.programs.left}")
        if reactor.getReaders() or reactor.getWriters():
            self.history.blame("left", f"descriptors: {reactor.getReaders()} {reactor.getWriters()}")
        reactor.die()
        self.host.feeder.abandon()
