"""
Inputs: the standard input of a server (`--text -`), scripted by the seed.

The pipe is real. It is written in pieces that are cut at any byte; every run gets all of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from io import FileIO
from typing import Any
from unittest.mock import patch

from sseserver import tap
from sseserver.interfaces import ITokenSource
from tests.simulation.facts import Work
from tests.simulation.reactor import SimReactor
from tests.simulation.sources import Scripts
from tests.simulation.world import Timer, World

#: Bytes of the longest input: less than the smallest window, so that each run gets its start.
_MOST = 600

#: Pieces of the longest input.
_PIECES = 8


class Feeder:
    """
    Writes to the standard input of one process after the other.

    Args:
        world: Schedules the writes.
        scripts: Writes the texts.
        window: Bytes that the server keeps of its input.
    """

    def __init__(self, world: World, scripts: Scripts, window: int) -> None:
        self._world = world
        self._scripts = scripts
        self._most = min(_MOST if window < 4 * _MOST else 20 * _MOST, window)
        self._out: FileIO | None = None
        self._in: FileIO | None = None
        self._timer: Timer | None = None

    def makeSource(
        self, reactor: SimReactor, options: Mapping[str, Any], make: Callable[..., ITokenSource]
    ) -> ITokenSource:
        """
        Start a new input, and make its token source.

        Args:
            reactor: Of the server's process.
            options: Its command line, without the input: a test has none.
            make: The server's own function for this.
        """
        self.abandon()
        into, out = os.pipe()
        self._out = FileIO(out, "wb")
        script = self._scripts.write("", "x")
        work = self._scripts.truth.works[script.run]
        data = work.text.encode()[: self._most]
        work.text = data.decode("utf-8", "replace")
        self._feed(data, work)
        try:
            with patch.object(tap, "STANDARD_INPUT", into), patch.object(tap, "FileIO", self._open):
                return make(reactor, {**options, "text": "-"})
        finally:
            os.close(into)

    def abandon(self) -> None:
        """Take the input from the server, which may have been killed."""
        self._finish()
        if self._in is not None:
            self._in.close()
            self._in = None

    def _finish(self) -> None:
        """Write no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._out is not None:
            self._out.close()
            self._out = None

    def _open(self, number: int) -> FileIO:
        """Open the end from which the server reads, as the server does."""
        self._in = FileIO(number)
        return self._in

    def _feed(self, data: bytes, work: Work) -> None:
        """Write the next piece, or the end."""
        self._timer = None
        if self._out is None:
            return
        if not data:
            work.end = "ok"
            self._finish()
            return
        chance = self._scripts.chance
        size = chance.randint(1, max(1, self._most // _PIECES)) + len(data) // _PIECES
        try:
            self._out.write(data[:size])
        except BrokenPipeError:
            self._finish()
            return
        self._timer = self._world.after(round(chance.random() * 2, 3), lambda: self._feed(data[size:], work))
