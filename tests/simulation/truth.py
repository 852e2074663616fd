"""
Truth: what is known about each stream, from everybody who has seen a part of it.

Everybody tells what stands at which place (`place`), what follows what (`follow`), what was promised (`promise`). Two
who tell different things show a broken promise at once; the rest is judged at the end, by `judge`.
"""

from __future__ import annotations

from collections import defaultdict

from tests.simulation.facts import Epoch, Promise, Span, Work
from tests.simulation.fates import Fates
from tests.simulation.history import History
from tests.simulation.outputs import Output, judgeOutput
from tests.simulation.payloads import Sent, findMarkers, withoutCR
from tests.simulation.repeats import Repeats


class Truth:
    """
    Args:
        history: Takes the verdicts.

    Attributes:
        sent: All entries that were ever sent, by their markers.
        epochs: All streams that were ever seen.
        works: The calls of the token source, by the first part of their markers.
        attempts: How often a marker may stand in one stream.
        spans: What is judged at the end.
        promises: What was acknowledged, by the names of the streams.
        gone: Names of streams that may have been deleted, or lost.
        forgets: Whether the server may forget streams that have ended.
        trims: Whether streams drop their oldest entries.
        keyed: Prompts that were sent with an idempotency key.
        sparse: Whether runs have entries without text: the chunks of an upstream.
        programs: Whether runs are programs, whose tokens begin and end anywhere.
        published: Names of the streams that are published into.
        closing: Names of those that somebody may have ended.
        lives: Number of starts of the server.
        roomy: Whether the server has room for everybody.
        calmSince: Time since which nothing goes wrong any more; `None` before.
        fates: Deletions and ages.
        copies: Entries with keys that stand twice.
        asked: How often the source was asked, by prompts.
        keyless: Number of entries that were acknowledged at once, without a key, by lives of the server.
    """

    def __init__(self, history: History) -> None:
        self.sent: dict[str, Sent] = {}
        self.epochs: dict[str, Epoch] = {}
        self.works: dict[str, Work] = {}
        self.attempts: dict[str, int] = defaultdict(int)
        self.spans: list[Span] = []
        self.promises: dict[str, list[Promise]] = defaultdict(list)
        self.gone: set[str] = set()
        self.forgets = False
        self.trims = False
        self.keyed: set[str] = set()
        self.sparse = False
        self.programs = False
        self.published: set[str] = set()
        self.closing: set[str] = set()
        self.lives = 0
        self.roomy = False
        self.calmSince: float | None = None
        self.fates = Fates(history)
        self.copies = Repeats(history)
        self.asked: dict[str, int] = defaultdict(int)
        self.keyless: dict[int, int] = defaultdict(int)
        self._successes: list[tuple[str, str]] = []
        self._repeats: list[tuple[str, str, str]] = []
        self._finals: list[tuple[str, str, str, int]] = []
        # The last life of the server whose late answers promise nothing.
        self._lost = 0
        self._kept: set[Promise] = set()
        self._history = history
        self._seen: dict[str, set[str]] = defaultdict(set)

    def know(self, epoch: str, name: str, who: str) -> Epoch:
        """Return what is known about a stream."""
        known = self.epochs.get(epoch)
        if known is None:
            known = self.epochs[epoch] = Epoch(name)
            self._seen[name].add(epoch)
        elif name and known.name and known.name != name:
            self._history.blame("epoch", f"{who}: {epoch} is of {known.name} and of {name}")
        elif name:
            known.name = name
        return known

    def send(self, sent: Sent) -> None:
        """Note an entry before it is sent for the first time."""
        self.sent[sent.marker] = sent

    def place(self, who: str, epoch: str, number: int, item: str) -> None:
        """Note what stands at a place."""
        known = self.epochs[epoch]
        before = known.items.setdefault(number, item)
        if before != item:
            self._history.blame("one ID, one content", f"{who}: {epoch}-{number} is {item!r} and was {before!r}")
            return
        if item.startswith("end "):
            self._end(who, epoch, known, number, item)
        else:
            if known.terminal and number > known.terminal:
                self._history.blame("end", f"{who}: {epoch}-{number} stands after the end at {known.terminal}")
            if item not in self.sent:
                self._history.blame("content", f"{who}: {epoch}-{number} is {item!r}, which nobody sent")
            places = known.places[item]
            places.add(number)
            if len(places) > max(1, self.attempts[item]):
                self._history.blame("doubled", f"{who}: {item} stands at {sorted(places)} of {epoch}")

    def _end(self, who: str, epoch: str, known: Epoch, number: int, item: str) -> None:
        if known.terminal not in (0, number):
            self._history.blame("end", f"{who}: {epoch} ends at {known.terminal} and at {number}")
        known.terminal = number
        _, known.end, known.reason = item.split(" ")
        if known.last > number:
            self._history.blame("end", f"{who}: {epoch} ends at {number}, and {known.last} was seen")

    def promise(self, who: str, epoch: str, number: int, marker: str, life: int) -> None:
        """
        Note an entry that was acknowledged.

        Args:
            who: The publisher.
            epoch: The stream.
            number: Number of the entry.
            marker: What was published.
            life: Life of the server that was asked.
        """
        if life > self._lost:
            self.promises[self.epochs[epoch].name].append(Promise(epoch, number, marker))
        self.place(who, epoch, number, marker)

    def promised(self, name: str) -> dict[str, int]:
        """Return the number of the newest entry of a stream that was acknowledged, by its epochs."""
        return {promise.epoch: promise.number for promise in self.promises[name]}

    def epochsOf(self, name: str) -> list[str]:
        """Return the epochs of a stream that were seen so far."""
        return sorted(self._seen[name])

    def ended(self) -> set[str]:
        """Return the epochs whose ends were seen so far."""
        return {epoch for epoch, known in self.epochs.items() if known.end}

    def existing(self) -> dict[str, int]:
        """Return the streams that must be there, with the number of promises about each."""
        return {name: len(promises) for name, promises in self.promises.items() if not self.mayBeGone(name)}

    def doubt(self, name: str) -> None:
        """Note that a stream may be deleted from now on."""
        self.gone.add(name)
        self.promises[name].clear()
        for epoch in self._seen[name]:
            self.epochs[epoch].replaced = True

    def forgetAll(self) -> None:
        """Note that the server has lost all streams. Answers of this life may still be on their way."""
        self._lost = self.lives
        for name in {known.name for known in self.epochs.values()} | set(self.promises):
            self.doubt(name)

    def keep(self) -> None:
        """Note that everything that was acknowledged so far is on the disk for good."""
        for promises in self.promises.values():
            self._kept.update(promises)

    def losePower(self, durable: bool) -> None:
        """
        Note a loss of power.

        Args:
            durable: Whether nothing that was acknowledged may be lost.
        """
        if durable:
            return
        for known in self.epochs.values():
            known.replaced = True
        self.fates.revive()
        self._lost = self.lives
        for name, promises in self.promises.items():
            self.promises[name] = [promise for promise in promises if promise in self._kept]
            if len(self.promises[name]) < len(promises):
                self.gone.add(name)

    def audit(self, who: str, name: str, epoch: str, first: int) -> None:
        """
        Judge the promises of one stream, all of whose entries were just read.

        Args:
            who: The reader.
            name: Name of the stream.
            epoch: Its epoch.
            first: Number of the first entry kept.
        """
        items = self.epochs[epoch].items
        for promise in self.promises[name]:
            if promise.epoch != epoch and (name in self.gone or self.forgets):
                continue
            if promise.number >= max(1, first) and items.get(promise.number) != promise.marker:
                text = f"{who}: {promise.marker} was acknowledged as {promise.epoch}-{promise.number} of {name}"
                self._history.blame("in the log", f"{text}; there is {items.get(promise.number)!r} in {epoch}")

    def exists(self, who: str, name: str, epoch: str, life: int) -> None:
        """
        Note that a stream was created, or found.

        Args:
            who: Who was told so.
            name: Name of the stream.
            epoch: Its epoch.
            life: Life of the server that was asked.
        """
        self.know(epoch, name, who)
        if not self.promises[name] and life > self._lost:
            self.promises[name].append(Promise(epoch, 0, ""))

    def durable(self, name: str, full: bool) -> list[Promise]:
        """
        Return the promises about a stream that a loss of power must not break.

        Args:
            name: Name of the stream.
            full: Whether every commit is synchronized.
        """
        return [promise for promise in self.promises[name] if full or promise in self._kept]

    def mayBeGone(self, name: str) -> bool:
        """Return whether 404 is a true answer for a stream."""
        if not self.promises[name] or name in self.gone:
            return True
        ends = name not in self.published or name in self.closing or self.fates.ages or self._hasEnd(name)
        return self.forgets and ends

    def _hasEnd(self, name: str) -> bool:
        return any(self.epochs[epoch].terminal for epoch in self._seen[name])

    def textBefore(self, epoch: str, number: int) -> str | None:
        """Return the text of the newest token up to a place; `None` if it is unknown."""
        known = self.epochs[epoch]
        while number > 0:
            item = known.items.get(number)
            if item is None:
                return None
            if item in self.sent and self.sent[item].type is None:
                return self.sent[item].text
            number -= 1
        return ""

    def tokensOf(self, epoch: str, after: int, upto: int) -> list[str] | None:
        """Return the texts of the tokens between two places; `None` if some are unknown."""
        known = self.epochs[epoch]
        texts = []
        for number in range(after + 1, upto + 1):
            item = known.items.get(number)
            if item is None:
                return None
            if item in self.sent and self.sent[item].type is None:
                texts.append(self.sent[item].text)
        return texts

    def piece(self, who: str, epoch: str, after: int, number: int, text: str) -> None:
        """Note a piece of the output of a program, from after one place up to another."""
        before = self.epochs[epoch].pieces.setdefault((after, number), text)
        if before != text:
            self._history.blame("one ID, one content", f"{who}: {epoch}-{number} is {text!r} and was {before!r}")

    def finish(self, who: str, epoch: str, run: str, count: int) -> None:
        """Note the number of tokens that a viewer has seen of a run, from its start to its end."""
        self._finals.append((who, epoch, run, count))

    def succeed(self, who: str, epoch: str) -> None:
        """Note that a client was told that a stream has ended well."""
        self._successes.append((who, epoch))

    def repeat(self, who: str, epoch: str, again: str) -> None:
        """Note that the key of one run has started another one."""
        if epoch in self.epochs:
            self._repeats.append((who, epoch, again))

    def judge(self) -> None:
        """Judge what could not be judged before: spans, and the ends of runs."""
        for who, epoch, again in self._repeats:
            # Its end may have been seen by nobody before the audit.
            known = self.epochs[epoch]
            if known.end == "done" or not (known.end or self.mayBeGone(known.name)):
                self._history.blame("key", f"{who}: the run {epoch} is repeated as {again}")
        for who, epoch in self._successes:
            if self.epochs[epoch].end not in ("", "done"):
                text = f"{who} was told of success, and {epoch} is {self.epochs[epoch].end}"
                self._history.blame("success is shown", text)
        self._judgeKeys()
        self.fates.judge()
        self.copies.judge(self.epochs, self.sent)
        for who, epoch, run, count in self._finals:
            work = self.works[run]
            if self.epochs[epoch].end == "done" and (work.end != "ok" or work.written != count):
                text = f"{who}: {epoch} is done after {run}.{count}; its source wrote {work.written}, {work.end!r}"
                self._history.blame("success is shown", text)
        outputs = {epoch: judgeOutput(epoch, known, self.works, self._history) for epoch, known in self.epochs.items()}
        for span in self.spans:
            self._judgeSpan(span, outputs[span.epoch])
        for epoch, known in self.epochs.items():
            self._judgeRun(epoch, known)
            tokens = self.tokensOf(epoch, 0, known.terminal)
            if known.tokens is not None and tokens is not None and known.tokens != len(tokens):
                self._history.blame("end", f"{epoch} is done after {len(tokens)} tokens, and says {known.tokens}")

    def _judgeKeys(self) -> None:
        """Check that a key has started no run a second time after its stream was done."""
        succeeded = self._findRuns("done")
        done: dict[tuple[str, int], str] = {}
        for run, work in self.works.items():
            start = work.prompt, work.life
            if work.prompt in self.keyed and start in done and not self.forgets:
                self._history.blame("key", f"{work.prompt!r} has started {run} after {done[start]} was done")
            # The server may have ended the run before it knew that the source was done.
            if run in succeeded:
                done[start] = run

    def _findRuns(self, end: str) -> set[str]:
        """Return the runs whose streams have an end and were not deleted, as far as anybody has seen it."""
        ended = [known for known in self.epochs.values() if known.end == end and not known.replaced]
        items = [item for known in ended for item in known.items.values()]
        texts = [marker for known in ended for text in known.pieces.values() for marker in findMarkers(text)]
        return {marker.partition(".")[0] for marker in (*items, *texts)}

    def _judgeSpan(self, span: Span, output: Output) -> None:
        known = self.epochs[span.epoch]
        upto = known.last if span.upto is None else span.upto
        tokens = self.tokensOf(span.epoch, span.after, upto)
        expected = output.read(span.after, upto) if tokens is None else "".join(tokens)
        if expected is None:
            return
        text = span.text
        if not span.raw:
            expected, text = withoutCR(expected), withoutCR(text)
        if span.late:
            right = expected.endswith(text)
        elif span.upto is not None or (span.complete and known.terminal):
            right = expected == text
        elif known.terminal:
            right = expected.startswith(text)
        else:
            # Nobody has read to the end.
            right = expected.startswith(text) or text.startswith(expected)
        if not right:
            where = f"{span.epoch}-{span.after} to {upto}"
            self._history.blame("text", f"{span.who}: {where} is {text[-300:]!r}, must be {expected[-300:]!r}")

    def _judgeRun(self, epoch: str, known: Epoch) -> None:
        runs = {item.partition(".")[0] for item in known.items.values() if item[0] in "rt"}
        if len(runs) > 1:
            self._history.blame("run", f"{epoch} has tokens of {sorted(runs)}")
        for run in runs:
            work = self.works.get(run)
            if work is None or not known.terminal:
                continue
            if known.end == "done" and work.end != "ok":
                self._history.blame("success is shown", f"{epoch} is done, and {run} ended {work.end!r}")
