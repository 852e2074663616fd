"""
The signals that operators send to a running server.

`control` and `stopping` take them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from twisted.logger import Logger


class Signals:
    """
    Calls functions at signals while it is installed, and keeps those signals from ending the process.

    Args:
        reactor: Makes the calls.
        actions: What to call, by number of the signal.
        adds: Whether a handler that was there before, such as twistd's own for the rotation of its log, is called as
            well.
    """

    _log = Logger()

    def __init__(self, reactor: Any, actions: Mapping[signal.Signals, Callable[[], object]], adds: bool = True) -> None:
        self._reactor = reactor
        self._adds = adds
        self._actions = dict(actions)
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Handle the signals. Outside the main thread Python has none, and nothing is done."""
        for number in self._actions:
            try:
                self._before[number] = signal.signal(number, self._handle)
            except ValueError:
                return

    def restore(self) -> None:
        """Restore the handlers that were there before."""
        while self._before:
            number, handler = self._before.popitem()
            # `None` stands for a handler that Python did not install.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(signal.Signals(number))
        if self._adds and callable(before):
            before(number, frame)
        # A handler runs between any two steps of the program.
        self._reactor.callFromThread(self._act, signal.Signals(number))

    def _act(self, number: signal.Signals) -> None:
        try:
            self._actions[number]()
        except Exception:
            self._log.failure("The action of {number.name} failed.", number=number)
