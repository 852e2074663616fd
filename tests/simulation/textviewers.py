"""
Viewers of the formats `text`, `openai` and `ui`, which see only the text of a stream.
"""

from __future__ import annotations

import json
from typing import Any

from tests.simulation.facts import Span
from tests.simulation.viewers import ENDS, Stage, Viewer, parseID
from tests.simulation.wire import Frame


class TextViewer(Viewer):
    """A viewer of the format `text`: each event is the whole text."""

    def __init__(self, stage: Stage, name: str, path: str, stream: str = "", lastEventID: str = "") -> None:
        super().__init__(stage, name, path, stream, lastEventID)
        self._text: str | None = None

    def see(self, frame: Frame) -> None:
        """See `Viewer.see`."""
        parsed = parseID(frame.id)
        if parsed is None:
            self.blame("ID", f"an event {frame.type} with the ID {frame.id!r}")
            return
        self.epoch, number = parsed
        if not self.stream and self.path == "/":
            self.stream = self.epoch
        truth = self.stage.truth
        truth.know(self.epoch, self.stream, self.name)
        if frame.type in ENDS:
            reason = json.loads(frame.data)["reason"]
            if reason != "too_long":
                truth.place(self.name, self.epoch, number, f"end {frame.type} {reason}")
            self.ends()
        elif frame.type == "message":
            if number < self.cursor:
                self.blame("order", f"{frame.id} after {self.cursor}")
            truth.spans.append(Span(self.name, self.epoch, 0, number, frame.data, raw=False))
        elif frame.type != "gap":
            self.blame("content", f"an event of the type {frame.type}")
        self.cursor = number


class ChunkViewer(Viewer):
    """A viewer of the format `openai`."""

    def __init__(self, stage: Stage, name: str, stream: str) -> None:
        super().__init__(stage, name, f"/streams/{stream}?format=openai", stream)
        self._reader = ChunkReader(self)

    def see(self, frame: Frame) -> None:
        """See `Viewer.see`."""
        parsed = parseID(frame.id)
        if parsed is not None:
            self.epoch = parsed[0]
            self.stage.truth.know(self.epoch, self.stream, self.name)
        self._reader.see(frame, parsed)
        if parsed is not None:
            self.cursor = parsed[1]


class ChunkReader:
    """
    Reads the chunks of a completion.

    Args:
        viewer: Is told of the end.

    Attributes:
        text: The text since the last ID.
        error: Code of the error that came; empty if none did.
    """

    def __init__(self, viewer: Any) -> None:
        self.text = ""
        self.error = ""
        self._viewer = viewer

    def see(self, frame: Frame, place: tuple[str, int] | None) -> None:
        """Take an event, and the place in its ID."""
        viewer = self._viewer
        if frame.type != "message":
            viewer.blame("content", f"an event of the type {frame.type}")
        if frame.data == "[DONE]":
            if place is not None:
                viewer.stage.truth.succeed(viewer.name, place[0])
            viewer.ends()
        else:
            chunk = json.loads(frame.data)
            if "error" in chunk:
                self.error = str(chunk["error"]["code"])
                self._fail(self.error)
            else:
                for choice in chunk["choices"]:
                    self.text += choice.get("delta", {}).get("content") or ""
        if place is not None:
            if self.text:
                truth = viewer.stage.truth
                late = truth.trims and not viewer.cursor
                span = Span(viewer.name, place[0], viewer.cursor, place[1], self.text, raw=True, late=late)
                truth.spans.append(span)
            self.text = ""

    def _fail(self, code: str) -> None:
        if code == "gap":
            self.text = ""
        elif code != "shutdown" or self._viewer.stream not in self._viewer.stage.truth.published:
            self._viewer.ends()


class PartViewer(Viewer):
    """A viewer of the format `ui`: it gets the message from its start, each time."""

    resumes = False

    def __init__(self, stage: Stage, name: str, stream: str, path: str = "") -> None:
        super().__init__(stage, name, path or f"/streams/{stream}?format=ui", stream)
        self._reader = PartReader(self)

    def start(self) -> None:
        """See `Viewer.start`."""
        self._reader = PartReader(self)
        super().start()

    def see(self, frame: Frame) -> None:
        """See `Viewer.see`."""
        self._reader.see(frame)


class PartReader:
    """
    Reads the parts of a UI message.

    Args:
        viewer: Is told of the end.

    Attributes:
        text: The text so far.
    """

    def __init__(self, viewer: Any) -> None:
        self.text = ""
        self._viewer = viewer
        self._epoch = ""
        self._finished = False

    def see(self, frame: Frame) -> None:
        """Take an event."""
        viewer = self._viewer
        if frame.id is not None or frame.type != "message":
            viewer.blame("content", f"an event of the type {frame.type} with the ID {frame.id}")
        if frame.data == "[DONE]":
            self._end()
            return
        part = json.loads(frame.data)
        if part["type"] == "start":
            self._epoch = part["messageId"].removeprefix("msg-")
            viewer.epoch = self._epoch
            viewer.stage.truth.know(self._epoch, viewer.stream, viewer.name)
        elif part["type"] == "text-delta":
            self.text += part["delta"]
        elif part["type"] == "finish":
            self._finished = True

    def _end(self) -> None:
        viewer = self._viewer
        if self._epoch:
            truth = viewer.stage.truth
            truth.spans.append(Span(viewer.name, self._epoch, 0, None, self.text, raw=True, complete=self._finished))
            if self._finished:
                truth.succeed(viewer.name, self._epoch)
        viewer.ends()
