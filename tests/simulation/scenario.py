"""
Scenario: what one seed makes of a server, its users, and their bad luck; and the run of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.askers import Asker, Chat, ChatReturn, Completion, StreamedCompletion
from tests.simulation.chance import Patches
from tests.simulation.clients import Client, CommandClient, LoopClient
from tests.simulation.disk import Disk
from tests.simulation.eventsviewer import EventsViewer
from tests.simulation.history import History
from tests.simulation.host import Host
from tests.simulation.network import Network, Weather
from tests.simulation.operators import Operator
from tests.simulation.plans import makePlan, makeWeather
from tests.simulation.publishers import Publisher
from tests.simulation.recovery import Rehearsal
from tests.simulation.sources import Scripts, Upstream
from tests.simulation.textviewers import ChunkViewer, PartViewer, TextViewer
from tests.simulation.truth import Truth
from tests.simulation.viewers import Stage, Viewer
from tests.simulation.world import World

#: Seconds of virtual time in which the actors begin.
BUSY = 12.0

#: Seconds of virtual time that they have to end after the last fault.
CALM = 90.0


class Scenario:
    """
    One run of one seed.

    Args:
        seed: Decides everything.
        patches: Replace the sources of randomness.
        world: Has the clock.
    """

    def __init__(self, seed: int, world: World, patches: Patches) -> None:
        chance = self.chance = world.chance
        self.seed = seed
        self.world = world
        self.history = History(world)
        self.truth = Truth(self.history)
        self.plan = makePlan(chance)
        network = self.network = Network(world, chance, makeWeather(chance))
        self.stage = Stage(network, self.history, self.truth, chance)
        self.scripts = Scripts(
            chance, self.truth, chance.choice((3, 12, 150)), chance.choice((50, 3000)), chance.choice((0.01, 0.3, 1.5))
        )
        self.disk = Disk(chance, patches, full=chance.random() < 0.4)
        patches.boot = lambda: self.disk.boot
        self.host = Host(world, network, self.plan, self.scripts, self.disk, self.history)
        settings = self.plan.settings
        if self.plan.store == "sqlite":
            rehearsal = Rehearsal(self.disk, self.truth, self.history, patches, settings.kept)
            self.host.onCommit = rehearsal.committed
        self.truth.trims = settings.window < 1 << 20
        self.truth.sparse = self.plan.source == "upstream"
        self.truth.programs = self.plan.source == "exec"
        self.truth.forgets = settings.maxStreams < 1000 or settings.maxBytes < 1 << 20 or settings.keep < 100
        limits = (settings.maxStreams, settings.maxViewers, settings.maxWaiting, settings.maxRuns)
        self.truth.roomy = min(limits) >= 1000 and settings.maxBytes > 1 << 20
        self.viewers: list[Viewer] = []
        self.publishers: list[Publisher] = []
        self.askers: list[Asker] = []
        self.clients: list[Client] = []
        self.streams: list[str] = []
        # Whether the server forgets everything soon after its end, so that it can be seen to forget everything.
        self._forgetful = self.plan.settings.keep < 100
        # Names of the runs that do not go on.
        self._stuck: set[str] = set()
        self._restarting = False
        self._cast = 0
        if self.plan.source == "upstream":
            Upstream(network, self.scripts, chance)
        self.history.add("scenario", f"{self.plan} {network.weather}")

    def run(self) -> None:
        """Run the scenario from its start to its verdict."""
        self.host.start()
        self._cue()
        self.world.pass_(BUSY)
        self._restore()
        self._settle()
        self._judgeLife()
        self._audit()
        self._forget()
        self._closeDown()
        self.truth.judge()

    # Actors

    def _cue(self) -> None:
        """Choose the actors and when they enter."""
        chance = self.chance
        for _ in range(chance.randint(1, 3)):
            self._enter(self._publish)
        for _ in range(chance.randint(1, 4)):
            self._enter(self._start)
        for _ in range(chance.randint(2, 7)):
            self._enter(self._view)
        for _ in range(chance.randint(0, 3)):
            self._enter(self._connect)
        for _ in range(chance.randint(0, 6)):
            self._enter(self._operate)
        for _ in range(chance.choice((0, 0, 1, 2, 3))):
            self._enter(self._break)
        for _ in range(chance.randint(0, 8)):
            self._enter(self._disturb)

    def _enter(self, act: Callable[[], object]) -> None:
        self.world.after(round(self.chance.random() * BUSY * 0.8, 3), act)

    def _actors(self) -> list[Any]:
        """Return all actors whose connections the network can disturb."""
        return [*self.viewers, *self.askers, *self.publishers]

    def _number(self) -> int:
        self._cast += 1
        return self._cast

    def _publish(self) -> None:
        chance = self.chance
        stream = f"s{chance.randint(1, 3)}"
        number = self._number()
        size = chance.choice((20, 2000))
        publisher = Publisher(self.stage, number, stream, chance.randint(1, 8), size, chance.random() < 0.4)
        self.publishers.append(publisher)
        self.streams.append(stream)
        publisher.start()
        if chance.random() < 0.6:
            self.world.after(0.2, lambda: self._watch(stream))

    def _start(self) -> None:
        """Start a run."""
        chance = self.chance
        kind = chance.choice((Asker, Asker, Completion, StreamedCompletion, Chat))
        number = self._number()
        prompt = None if self.plan.source == "silent" and kind is Asker else f"prompt {number}"
        asker = kind(self.stage, number, prompt, chance.random() < 0.6)
        asker.onStream = self._started
        self.askers.append(asker)
        asker.start()
        if chance.random() < 0.3:
            self.world.after(round(chance.random() * 3, 3), asker.lose)
        if isinstance(asker, Chat) and chance.random() < 0.7:
            chat = asker.chat
            self.world.after(
                round(chance.random() * 3, 3), lambda: self._follow(ChatReturn(self.stage, f"{chat}b", chat))
            )

    def _started(self, stream: str) -> None:
        self.streams.append(stream)
        if self.chance.random() < 0.8:
            self.world.after(round(self.chance.random() * 2, 3), lambda: self._watch(stream))

    def _view(self) -> None:
        """Watch any stream, or the page's own."""
        chance = self.chance
        if chance.random() < 0.25 or not self.streams:
            self._follow(TextViewer(self.stage, f"visitor{self._number()}", "/"))
        else:
            self._watch(chance.choice(self.streams))

    def _watch(self, stream: str) -> None:
        """Let a viewer of any format follow a stream, from any place."""
        chance = self.chance
        name = f"viewer{self._number()}"
        form = chance.choice(("events", "events", "events", "text", "openai", "ui"))
        if form == "events":
            self._follow(
                EventsViewer(self.stage, name, stream, self._chooseID(stream), chance.choice(("", "?from=now")))
            )
        elif form == "text":
            self._follow(TextViewer(self.stage, name, f"/streams/{stream}?format=text", stream))
        elif form == "openai":
            self._follow(ChunkViewer(self.stage, name, stream))
        else:
            self._follow(PartViewer(self.stage, name, stream))

    def _chooseID(self, stream: str) -> str:
        """Choose a last event ID: mostly none, or one that was given, or a strange one."""
        chance = self.chance
        known = [epoch for epoch, known in self.truth.epochs.items() if known.name == stream]
        if chance.random() < 0.6 or not known:
            return chance.choice(("", "", "", "strange")) if chance.random() < 0.2 else ""
        epoch = chance.choice(known)
        items = self.truth.epochs[epoch].items
        number = chance.choice((0, *items)) if chance.random() < 0.9 else 10**6
        return f"{epoch}-{number}"

    def _follow(self, viewer: Viewer) -> None:
        self.viewers.append(viewer)
        viewer.start()

    def _connect(self) -> None:
        """Let an `EventSource` of the package follow a stream."""
        if self.streams:
            kind = self.chance.choice((Client, LoopClient, CommandClient))
            client = kind(self.stage, f"{kind.__name__.lower()}{self._number()}", self.chance.choice(self.streams))
            self.clients.append(client)
            client.start()

    def _operate(self) -> None:
        chance = self.chance
        operator = Operator(self.stage, self._number())
        what = chance.random()
        if what < 0.4 or not self.streams:
            operator.probe()
            return
        stream = chance.choice(self.streams)
        if what < 0.65:
            operator.look(stream)
        elif what < 0.75:
            operator.abuse(f"s{chance.randint(1, 3)}")
        elif what < 0.9:
            operator.cancel(stream)
        else:
            operator.delete(stream)

    # Bad luck

    def _disturb(self) -> None:
        """Do something to one connection."""
        chance = self.chance
        exchanges = [actor.exchange for actor in self._actors() if actor.exchange is not None]
        live = [exchange for exchange in exchanges if not exchange.over]
        if not live:
            return
        exchange = chance.choice(live)
        what = chance.choice(("cut", "drop", "reset", "pause", "pause", "stall", "stall", "shutdown"))
        self.history.add("scenario", what)
        if what == "pause":
            exchange.pause(True)
            self.world.after(round(chance.random() * 8, 3), lambda: exchange.pause(False))
        elif what == "stall":
            exchange.stall(True)
            self.world.after(round(chance.random() * 8, 3), lambda: exchange.stall(False))
        elif what == "reset":
            exchange.drop(reset=True)
        else:
            getattr(exchange, what)()

    def _break(self) -> None:
        """Do something to the server."""
        if self._restarting or not self.host.running:
            return
        what = self.chance.choice(("kill", "kill", "stop", "power", "full", "full"))
        if what == "full":
            if self.plan.store == "sqlite":
                self.history.add("scenario", "the disk is full")
                self.host.full = True
                self.world.after(round(self.chance.random() * 3, 3), self._empty)
            return
        self._restarting = True
        if what == "stop":
            self.host.stop().addCallback(lambda _: self._restartSoon())
        else:
            (self.host.kill if what == "kill" else self.host.losePower)()
            self._restartSoon()

    def _empty(self) -> None:
        self.host.full = False

    def _restartSoon(self) -> None:
        self.world.after(round(0.1 + self.chance.random() * 2, 3), self._restart)

    def _restart(self) -> None:
        self._restarting = False
        self.host.start()

    # The end

    def _restore(self) -> None:
        """End all faults."""
        self.world.run(lambda: self.host.running, 60)
        self.host.full = False
        self.truth.calmSince = self.world.now
        for actor in self._actors():
            if actor.exchange is not None:
                actor.exchange.stall(False)
                actor.exchange.pause(False)

    def _settle(self) -> None:
        """Wait until all actors have ended, or have nothing more to do."""
        actors: list[Any] = [*self.publishers, *self.askers]
        done = self.world.run(lambda: all(actor.finished for actor in actors), CALM)
        if not done and self.plan.settings.maxBytes > 1 << 20:
            late = [actor.name for actor in actors if not actor.finished]
            self.history.blame("life", f"{late} are not answered")
        runs = self.host.service.runs
        # A run without viewers ends after its linger.
        if not self.world.run(lambda: not runs.names, CALM) and self.plan.settings.maxBytes > 1 << 20:
            for name in runs.names:
                run = runs.find(name)
                if run is None or run.streamLog.created > self.world.now - 0.9 * CALM:
                    # A visitor that comes again and again starts a run each time.
                    continue
                self._stuck.add(name)
                viewers = run.streamLog.viewers
                self.history.blame("life", f"the run {name} with {viewers or 'no'} viewers does not end")
        self.world.pass_(12.0)

    def _judgeLife(self) -> None:
        """Check that every viewer has what it can have by now."""
        for viewer in self.viewers:
            # Without room a viewer is turned away again and again.
            served = viewer.listening or (viewer.live and self.truth.roomy)
            if isinstance(viewer, EventsViewer) and served and not viewer.finished and viewer.epoch:
                known = self.truth.epochs[viewer.epoch]
                if viewer.cursor < known.last and not known.replaced:
                    self.history.blame("life", f"{viewer.name} is at {viewer.epoch}-{viewer.cursor} of {known.last}")

    def _audit(self) -> None:
        """Read every stream from its start."""
        for actor in self._actors():
            actor.finished = True
            if actor.exchange is not None:
                actor.exchange.drop()
        for client in self.clients:
            client.close()
        self.world.pass_(1.0)
        self.network.weather = Weather()
        for stream in dict.fromkeys(self.streams):
            auditor = EventsViewer(self.stage, f"auditor of {stream}", stream)
            auditor.start()
            self.world.run(lambda: auditor.finished, 3.0)  # noqa: B023
            if auditor.epoch:
                self.truth.audit(auditor.name, stream, auditor.epoch, auditor.first)
            auditor.finished = True
            if auditor.exchange is not None:
                auditor.exchange.drop()
        for known in self.truth.epochs.values():
            gone = known.replaced or self.truth.mayBeGone(known.name)
            full = self.plan.settings.maxBytes < 1 << 20
            stuck = known.name in self._stuck
            if not (known.name in self.truth.published or known.terminal or gone or full or stuck):
                self.history.blame("end", f"the run {known.name} has no end")

    def _forget(self) -> None:
        """Delete all streams, and wait until the others are forgotten: the ledger must be empty then."""
        if not self._forgetful:
            return
        operator = Operator(self.stage, 0)
        for stream in dict.fromkeys((*self.streams, *self.truth.published)):
            operator.delete(stream)
        self.world.pass_(self.plan.settings.keep + self.plan.settings.linger + 10)
        store = self.host.service.store
        if store.count or store.used:
            runs = self.host.service.runs.names
            text = f"{store.count} streams and {store.used} bytes after all was forgotten; runs {runs}"
            self.history.blame("ledger", text)

    def _closeDown(self) -> None:
        """Stop the server; nothing must be left of it."""
        self.world.pass_(2.0)
        stopped: list[object] = []
        reactor = self.host.reactor
        service = self.host.service
        if service.viewers.count:
            self.history.blame("left", f"{service.viewers.count} viewers after all have gone")
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
