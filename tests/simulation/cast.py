"""
Cast: the actors of a simulation, and when each of them enters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from tests.simulation.askers import Asker, Chat, ChatReturn, Completion, StreamedCompletion
from tests.simulation.clients import Client, CommandClient, LoopClient
from tests.simulation.eventsviewer import EventsViewer
from tests.simulation.guests import Guest, Stranger
from tests.simulation.identities import SECURE, makeNeighbours
from tests.simulation.locksmith import Locksmith
from tests.simulation.metrics import Observer
from tests.simulation.operators import Operator
from tests.simulation.pages import Page
from tests.simulation.publishers import LARGE, Opener, Publisher
from tests.simulation.textviewers import ChunkViewer, PartViewer, TextViewer
from tests.simulation.vandals import Vandal
from tests.simulation.viewers import Stage, Viewer

#: Seconds of virtual time in which the actors begin.
BUSY = 12.0


class Cast:
    """
    The actors.

    Args:
        stage: See `Stage`.
        prompts: Whether runs can be started with a prompt only.
        without: Numbers of the acts that are left out, to find out which of them a broken promise needs.

    Attributes:
        viewers: Those that follow a stream.
        publishers: Those that publish.
        askers: Those that start runs.
        clients: `EventSource`s of the package.
        streams: Names of all streams that an actor knows.
        acts: Number of acts, with those that are left out.
    """

    def __init__(self, stage: Stage, prompts: bool, without: frozenset[int] = frozenset()) -> None:
        self.viewers: list[Viewer] = []
        self.publishers: list[Publisher | Opener] = []
        self.askers: list[Asker] = []
        self.clients: list[Client] = []
        self.streams: list[str] = []
        self.acts = 0
        self._without = without
        self._stage = stage
        self._prompts = prompts
        self._count = 0

    def cue(self) -> None:
        """Choose the actors and when they enter."""
        chance = self._stage.chance
        for _ in range(chance.randint(1, 3)):
            self.enter(self._publish)
        for _ in range(chance.randint(1, 4)):
            self.enter(self._start)
        for _ in range(chance.choice((0, 0, 1, 2))):
            self.enter(self._open)
        for _ in range(chance.randint(2, 7)):
            self.enter(self._view)
        for _ in range(chance.randint(0, 3)):
            self.enter(self._connect)
        for _ in range(chance.randint(0, 6)):
            self.enter(self._operate)

    @property
    def connected(self) -> list[Any]:
        """All actors whose connections the network can disturb."""
        return [*self.viewers, *self.askers, *self.publishers]

    def enter(self, act: Callable[[], object]) -> None:
        """Do something at any time."""
        self.acts += 1
        time = round(self._stage.chance.random() * BUSY * 0.8, 3)
        if self.acts not in self._without:
            self._stage.after(time, act)

    def invite(self, chance: Random) -> None:
        """
        Let guests and strangers enter, in some seeds.

        Args:
            chance: Not the one of the stage, so that seeds without guests keep their histories.
        """
        if chance.random() < 0.6:
            return
        for number in range(chance.randint(1, 3)):
            stream = f"s{chance.randint(1, 3)}"
            guest = Guest(self._stage, f"guest{number}", stream, chance)
            stranger, page = Stranger(self._stage, f"stranger{number}"), Page(self._stage, number)
            for act in (partial(self._follow, guest), partial(stranger.ask, stream), partial(page.visit, stream)):
                self.acts += 1
                if self.acts not in self._without:
                    self._stage.after(round(chance.random() * BUSY * 0.8, 3), act)

    def crowd(self, chance: Random) -> None:
        """
        Let the neighbours of a client enter, in some seeds: each wants its share, and more.

        Args:
            chance: Not the one of the stage, as for `invite`.
        """
        for _ in range(chance.choice((0, 0, 1, 2))):
            identities = makeNeighbours(chance, self._stage.now, self._stage.issuer.signer)
            stream, begin = f"n{chance.randint(1, 2)}", chance.random() * BUSY * 0.5
            for _ in range(chance.randint(2, 9)):
                stage = replace(self._stage, identity=chance.choice(identities))
                act = partial(
                    chance.choice((self._publishToo, self._viewToo, self._viewToo, self._startToo)), stage, stream
                )
                self.acts += 1
                if self.acts not in self._without:
                    self._stage.after(round(begin + chance.random() ** 3 * BUSY * 0.5, 3), act)

    def ravage(self, chance: Random, strict: bool) -> None:
        """
        Let vandals enter, in some seeds.

        Args:
            chance: Not the one of the stage, as for `invite`.
            strict: See `Vandal`.
        """
        for number in range(chance.choice((0, 0, 2, 8))):
            self.acts += 1
            if self.acts not in self._without:
                vandal = Vandal(replace(self._stage, chance=chance), number, strict)
                self._stage.after(round(chance.random() * BUSY * 0.8, 3), vandal.start)

    def administrate(self, chance: Random, host: Any) -> None:
        """
        Let operators of the machine enter, in some seeds.

        Args:
            chance: Not the one of the stage, as for `invite`.
            host: The machine.
        """
        stage = replace(self._stage, chance=chance)
        locksmiths = [Locksmith(stage, host, number) for number in range(chance.choice((0, 0, 0, 1, 2)))]
        acts: list[Callable[[], object]] = [partial(one.give, f"s{chance.randint(1, 3)}") for one in locksmiths]
        if chance.random() < 0.25:
            acts.append(Observer(stage, host).look)
        for act in acts:
            self.acts += 1
            if self.acts not in self._without:
                self._stage.after(round(chance.random() * BUSY * 0.8, 3), act)

    def secure(self, chance: Random, strict: bool) -> None:
        """
        Let clients enter that speak TLS, and one that does not know that it should.

        Args:
            chance: Not the one of the stage, as for `invite`.
            strict: See `Vandal`.
        """
        stage = replace(self._stage, identity=SECURE, chance=chance)
        acts: list[Callable[[], object]] = [partial(Operator(self._stage, 0).speakPlainly, strict)]
        for _ in range(chance.randint(1, 4)):
            stream = f"s{chance.randint(1, 3)}"
            act = chance.choice((self._publishToo, self._viewToo, self._viewToo, self._startToo))
            acts += [partial(act, stage, stream), partial(Operator(stage, self._number()).look, stream)]
        for act in acts:
            self.acts += 1
            if self.acts not in self._without:
                self._stage.after(round(chance.random() * BUSY * 0.8, 3), act)

    def _publishToo(self, stage: Stage, stream: str) -> None:
        publisher = Publisher(stage, self._number(), stream, 6, 20, False)
        self.publishers.append(publisher)
        self.streams.append(stream)
        publisher.start()

    def _viewToo(self, stage: Stage, stream: str) -> None:
        viewer = EventsViewer(stage, f"neighbour{self._number()}", stream)
        self._follow(viewer)
        if stage.chance.random() < 0.5:
            stage.after(round(2 + stage.chance.random() * 6, 3), viewer.leave)

    def _startToo(self, stage: Stage, stream: str) -> None:
        number = self._number()
        asker = stage.chance.choice((Completion, StreamedCompletion, Chat))(stage, number, f"prompt {number}", False)
        asker.onStream = self._started
        self.askers.append(asker)
        asker.start()

    def _number(self) -> int:
        self._count += 1
        return self._count

    def _publish(self) -> None:
        chance = self._stage.chance
        stream = f"s{chance.randint(1, 3)}"
        number = self._number()
        # Texts above 64 KiB leave step by step; through a narrow network they would never arrive.
        size = chance.choice((20, 2000, 2000, LARGE if self._stage.network.weather.wide else 20))
        publisher = Publisher(self._stage, number, stream, chance.randint(1, 8), size, chance.random() < 0.4)
        self.publishers.append(publisher)
        self.streams.append(stream)
        publisher.start()
        if chance.random() < 0.6:
            self._stage.after(0.2, lambda: self._watch(stream))

    def _open(self) -> None:
        """Open a stream together with its first entries."""
        opener = Opener(self._stage, self._number(), self._stage.chance.random() < 0.5)
        self.publishers.append(opener)
        self.streams.append(opener.stream)
        opener.start()

    def _start(self) -> None:
        """Start a run."""
        chance = self._stage.chance
        kind = chance.choice((Asker, Asker, Completion, StreamedCompletion, Chat))
        number = self._number()
        prompt = f"prompt {number}" if self._prompts or kind is not Asker else None
        asker = kind(self._stage, number, prompt, chance.random() < 0.6)
        asker.onStream = self._started
        self.askers.append(asker)
        asker.start()
        if chance.random() < 0.3:
            self._stage.after(round(chance.random() * 3, 3), asker.lose)
        if chance.random() < 0.5:
            self._stage.after(round(2 + chance.random() * 8, 3), asker.again)
        if isinstance(asker, Chat) and chance.random() < 0.7:
            chat = asker.chat
            self._stage.after(
                round(chance.random() * 3, 3), lambda: self._follow(ChatReturn(self._stage, f"{chat}b", chat))
            )

    def _started(self, stream: str) -> None:
        self.streams.append(stream)
        if self._stage.chance.random() < 0.8:
            self._stage.after(round(self._stage.chance.random() * 2, 3), lambda: self._watch(stream))

    def _view(self) -> None:
        """Watch any stream, or the page's own."""
        chance = self._stage.chance
        if chance.random() < 0.25 or not self.streams:
            self._follow(TextViewer(self._stage, f"visitor{self._number()}", "/"))
        else:
            self._watch(chance.choice(self.streams))

    def _watch(self, stream: str) -> None:
        """Let a viewer of any format follow a stream, from any place."""
        chance = self._stage.chance
        name = f"viewer{self._number()}"
        form = chance.choice(("events", "events", "events", "text", "openai", "ui"))
        if form == "events":
            self._follow(
                EventsViewer(self._stage, name, stream, self._chooseID(stream), chance.choice(("", "?from=now")))
            )
        elif form == "text":
            self._follow(TextViewer(self._stage, name, f"/streams/{stream}?format=text", stream))
        elif form == "openai":
            self._follow(ChunkViewer(self._stage, name, stream))
        else:
            self._follow(PartViewer(self._stage, name, stream))

    def _chooseID(self, stream: str) -> str:
        """Choose a last event ID: mostly none, or one that was given, or a strange one."""
        chance = self._stage.chance
        known = [epoch for epoch, known in self._stage.truth.epochs.items() if known.name == stream]
        if chance.random() < 0.6 or not known:
            return chance.choice(("", "", "", "strange")) if chance.random() < 0.2 else ""
        epoch = chance.choice(known)
        items = self._stage.truth.epochs[epoch].items
        number = chance.choice((0, *items)) if chance.random() < 0.9 else 10**6
        return f"{epoch}-{number}"

    def _follow(self, viewer: Viewer) -> None:
        self.viewers.append(viewer)
        viewer.start()

    def _connect(self) -> None:
        """Let an `EventSource` of the package follow a stream."""
        if self.streams:
            kind = self._stage.chance.choice((Client, LoopClient, CommandClient))
            client = kind(
                self._stage, f"{kind.__name__.lower()}{self._number()}", self._stage.chance.choice(self.streams)
            )
            self.clients.append(client)
            client.start()

    def _operate(self) -> None:
        chance = self._stage.chance
        operator = Operator(self._stage, self._number())
        what = chance.random()
        if what < 0.25:
            operator.probe()
            return
        if what < 0.3:
            operator.checkReady()
            return
        if what < 0.45 or not self.streams:
            operator.list()
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
            # After the answer the stream is not there.
            self._stage.after(round(chance.random() * 3, 3), lambda: operator.look(stream))
            self._stage.after(round(chance.random() * 3, 3), operator.list)
