"""
Recovery: what a server would find if the machine lost power now, or if it was started on a backup.

`Rehearsal` lets the real store open a copy of the torn files, or a backup, beside the running server, and compares what
it recovers with what was seen and acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from sseserver.interfaces import IStreamLog
from sseserver.stores.sqlite import SQLiteStore
from sseserver.stores.sqlite.__main__ import main as runCommand
from tests.simulation.chance import Patches
from tests.simulation.disk import Disk
from tests.simulation.history import History
from tests.simulation.payloads import wrap
from tests.simulation.truth import Truth

#: Number of rehearsals in one simulation: each takes some milliseconds.
_MOST = 2


class Rehearsal:
    """
    Args:
        disk: Has the files.
        truth: Knows what was seen.
        history: Takes the verdicts.
        patches: Identify the boot of the machine.
        window: Bytes that each stream keeps.
    """

    def __init__(self, disk: Disk, truth: Truth, history: History, patches: Patches, window: int) -> None:
        self._disk = disk
        self._truth = truth
        self._history = history
        self._patches = patches
        self._window = window
        self._left = _MOST
        self._complete = False

    def committed(self) -> None:
        """Perhaps look what the loss of power would leave after a commit."""
        chance = self._disk.chance
        if self._left and chance.random() < 0.1:
            self._left -= 1
            if chance.random() < 0.3:
                self.backUp()
            else:
                self.perform(self._disk.copy(self._disk.lose()), self._disk.full)

    def backUp(self) -> None:
        """Make a backup of the files as they are now, which has everything that was acknowledged."""
        source = Path(self._disk.copy(self._disk.look()))
        copy = source.with_name("backup.db")
        try:
            runCommand(["backup", str(source), str(copy)])
        except SystemExit as error:
            self._history.blame("recovery", f"there is no backup: {error}")
        self.perform(str(copy), complete=True)

    def perform(self, path: str, complete: bool) -> None:
        """
        Recover a copy, and compare.

        Args:
            path: The torn copy, or a backup.
            complete: Whether everything must be there that was acknowledged.
        """
        self._complete = complete
        boot, self._patches.boot = self._patches.boot, lambda: "another boot"
        store = SQLiteStore(Clock(), path, self._window, _callNow)
        try:
            store.start()
            for name in dict.fromkeys(known.name for known in self._truth.epochs.values()):
                store.find(name).addCallbacks(self._compare, lambda _, name=name: self._miss(name))
            store.stop()
        except Exception as error:
            self._history.blame("recovery", f"{error!r}")
        finally:
            self._patches.boot = boot
            self._disk.discard(path)

    def _miss(self, name: str) -> None:
        """Judge a stream that is not there."""
        promises = self._truth.durable(name, self._complete)
        if promises and not self._truth.mayBeGone(name):
            self._history.blame("recovery", f"{name} is gone, with {promises[-1].marker!r}")

    def _compare(self, streamLog: IStreamLog) -> None:
        """Compare a recovered log with what was seen of it, and with what was acknowledged."""
        truth, buffer, last = self._truth, streamLog.buffer, streamLog.last
        known = truth.epochs.get(streamLog.epoch)
        if known is not None and known.last > last:
            text = f"{streamLog.epoch} ends at {last}, and {known.last} was seen under the same epoch"
            self._history.blame("recovery", text)
        for promise in truth.durable(streamLog.name, self._complete):
            if promise.number < max(1, buffer.first) or streamLog.name in truth.gone or truth.forgets:
                continue
            if promise.number > last or wrap(promise.marker).encode() not in buffer.entry(promise.number):
                text = f"{promise.marker} was acknowledged as {promise.epoch}-{promise.number}, and is not there"
                self._history.blame("recovery", text)


def _callNow(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """Make a call of the store at once."""
    return maybeDeferred(function, *arguments)
