"""
The viewer of the format `events`, which judges every entry.
"""

from __future__ import annotations

import json

from tests.simulation.payloads import findMarkers, withoutCR
from tests.simulation.viewers import ENDS, Stage, Viewer, parseID
from tests.simulation.wire import Frame


class EventsViewer(Viewer):
    """A viewer of the format `events`: knows the number of every entry."""

    def __init__(self, stage: Stage, name: str, stream: str, lastEventID: str = "", query: str = "") -> None:
        super().__init__(stage, name, f"/streams/{stream}{query}", stream, lastEventID)
        self._asked = ""
        self._gap = False
        # The last token of a run; whether all before it were seen, too.
        self._lastRun: tuple[str, int] | None = None
        self._whole = False
        self.first = 0
        # Whether the stream was open when the response began.
        self._open = False

    def start(self) -> None:
        """See `Viewer.start`."""
        self._asked = self._lastEventID
        self._gap = self._open = False
        super().start()

    def see(self, frame: Frame) -> None:
        """See `Viewer.see`."""
        parsed = parseID(frame.id)
        if parsed is None:
            self.blame("ID", f"an event {frame.type} with the ID {frame.id!r}")
            return
        epoch, number = parsed
        if frame.type == "gap":
            self._seeGap(frame, epoch, number)
        elif frame.type == "stream":
            self._seeStream(frame, epoch, number)
        else:
            if epoch != self.epoch:
                self.blame("ID", f"{frame.id} in the stream {self.epoch}")
            self._seeEntry(frame, epoch, number)
        self.cursor = number

    def _seeStream(self, frame: Frame, epoch: str, number: int) -> None:
        told = json.loads(frame.data)
        if told["epoch"] != epoch:
            self.blame("ID", f"{frame.id} tells of {told['epoch']}")
        if self._count > 1 + self._gap:
            self.blame("order", "an event `stream` in the middle")
        truth = self.stage.truth
        truth.exists(self.name, self.stream, epoch, self._askedLife)
        truth.fates.meet(self.name, epoch, self._askedAt)
        self._open = told["state"] == "open"
        if self._open:
            truth.fates.use(epoch, self._askedAt)
        asked = parseID(self._asked)
        if asked is not None and not self._gap and asked != (epoch, number):
            self.blame("never silent", f"asked for {self._asked}, got {frame.id} without a gap")
        if self._asked and asked is None and not self._gap:
            self.blame("never silent", f"asked for {self._asked!r}, got {frame.id} without a gap")
        terminal = truth.epochs[epoch].terminal
        if terminal and asked == (epoch, terminal):
            self.blame("204", f"200 for {self._asked}, after which nothing follows")
        if asked is None or self._gap:
            self._lastRun = None
            self._whole = False
            self.first = number + 1
        self.epoch = epoch

    def _seeGap(self, frame: Frame, epoch: str, number: int) -> None:
        """Judge whether a gap is true."""
        gap = json.loads(frame.data)
        truth = self.stage.truth
        truth.know(epoch, self.stream, self.name)
        live = self.epoch == epoch and self._count > 1
        after = parseID(gap["after"])
        if gap["from"] != f"{epoch}-{number + 1}":
            self.blame("gap", f"{frame.data} has the ID {frame.id}")
        if not live and gap["after"] != self._asked:
            self.blame("gap", f"{frame.data} after {self._asked!r}")
        if gap["reason"] == "trimmed":
            if after is None or after[0] != epoch or gap["missed"] != number - after[1] or gap["missed"] < 1:
                self.blame("gap", f"{frame.data} has the ID {frame.id}")
            truth.epochs[epoch].trimmed = max(truth.epochs[epoch].trimmed, number)
        elif gap["reason"] == "lost":
            self._seeLost(frame, epoch, after)
        elif gap["reason"] != "unknown" or after is not None:
            self.blame("gap", f"{frame.data} for {self._asked!r}")
        self._gap = True
        self._lastRun = None
        self.epoch = epoch
        self.first = number + 1

    def _seeLost(self, frame: Frame, epoch: str, after: tuple[str, int] | None) -> None:
        """Judge a gap that says that another stream has taken the place, or that the ID was never given."""
        truth = self.stage.truth
        if after is None:
            self.blame("gap", f"{frame.data} for {self._asked!r}")
        elif after[0] == epoch:
            if self._own or after[1] <= truth.epochs[epoch].last:
                self.blame("gap", f"{frame.data}, but {self._asked} was given")
        else:
            known = truth.epochs.get(after[0])
            if known is not None and known.name == self.stream and not (known.replaced or truth.forgets):
                self.blame("gap", f"{frame.data}, but nothing has replaced {after[0]}")

    def _seeEntry(self, frame: Frame, epoch: str, number: int) -> None:
        truth = self.stage.truth
        if frame.type in ENDS:
            self._seeEnd(frame, epoch, number)
            return
        if frame.type == "chunk" and self.stream not in truth.published:
            if number != self.cursor + 1 or not truth.sparse or not isinstance(json.loads(frame.data), dict):
                self.blame("order", f"{frame.type} {frame.id} {frame.data[:100]!r} after {self.cursor}")
            return
        if truth.programs and self.stream not in truth.published:
            if number <= self.cursor or frame.type != "message":
                self.blame("order", f"{frame.type} {frame.id} after {self.cursor}")
            truth.piece(self.name, epoch, self.cursor, number, frame.data)
            return
        markers = findMarkers(frame.data)
        if not markers:
            if frame.data or not self._sparse(number):
                self.blame("content", f"{frame.id} {frame.data[:100]!r} names nobody")
            return
        if number != self.cursor + len(markers) and not (
            self._sparse(number, markers[0]) and number > self.cursor + len(markers) - 1
        ):
            self.blame("order", f"{frame.id} has {len(markers)} entries after {self.cursor}")
        self._checkRun(frame, markers)
        self._checkText(frame, epoch, markers)
        if not self._sparse(number, markers[0]):
            for offset, marker in enumerate(markers):
                truth.place(self.name, epoch, self.cursor + 1 + offset, marker)

    def _seeEnd(self, frame: Frame, epoch: str, number: int) -> None:
        """Judge the terminal event."""
        truth, told = self.stage.truth, json.loads(frame.data)
        if number != self.cursor + 1 and not self._sparse(number):
            self.blame("order", f"{frame.id} after {self.cursor}")
        truth.place(self.name, epoch, number, f"end {frame.type} {told['reason']}")
        truth.epochs[epoch].tokens = told.get("tokens")
        if told["reason"] == "idle":
            truth.fates.end(epoch, self.stage.now)
            if self._open:
                self.blame("idle", f"{epoch} has ended although it has a viewer")
        if self._lastRun is not None and self._whole:
            truth.finish(self.name, epoch, *self._lastRun)
        self.ends()

    def _sparse(self, number: int, marker: str = "r") -> bool:
        """Whether entries without text may stand before a place: an upstream sends such chunks."""
        return self.stage.truth.sparse and marker[0] == "r" and number > self.cursor

    def _checkRun(self, frame: Frame, markers: list[str]) -> None:
        """Check that the tokens of a run follow one another."""
        for marker in markers:
            run, _, index = marker.partition(".")
            if run[0] == "p":
                continue
            if self._lastRun is not None and (run, int(index)) != (self._lastRun[0], self._lastRun[1] + 1):
                self.blame("order", f"{frame.id}: {marker} after {self._lastRun}")
            elif self._lastRun is None and self.cursor == 0:
                self._whole = True
                if index != "1":
                    self.blame("order", f"{frame.id}: the stream begins with {marker}")
            self._lastRun = run, int(index)

    def _checkText(self, frame: Frame, epoch: str, markers: list[str]) -> None:
        """Check the content of an event against what was sent."""
        truth = self.stage.truth
        entries = [truth.sent[marker] for marker in markers if marker in truth.sent]
        if len(entries) < len(markers):
            self.blame("content", f"{frame.id}: {markers}, which nobody sent")
            return
        types = {entry.type for entry in entries}
        if len(entries) > 1 and types != {None}:
            self.blame("content", f"{frame.id} joins events: {markers}")
        if frame.type != (entries[0].type or "message"):
            self.blame("content", f"{frame.id} is of the type {frame.type}: {markers}")
        raw = "".join(entry.text for entry in entries)
        expected = {withoutCR(raw)}
        if entries[0].type is None and raw.startswith("\n"):
            before = truth.textBefore(epoch, self.cursor)
            if before is None:
                expected.add(withoutCR(raw[1:]))
            elif before.endswith("\r"):
                expected = {withoutCR(raw[1:])}
        if frame.data not in expected:
            self.blame("content", f"{frame.id} is {frame.data!r}, must be {expected}")
