"""
Tests for `sseserver.command.signals`: the signals of operators.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from sseserver.command.signals import Signals

#: Signals whose handlers the tests replace.
NUMBERS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)


class LateReactor:
    """A reactor that makes its calls when it is told to."""

    def __init__(self) -> None:
        self._calls: list[tuple[Callable[..., object], Any]] = []

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        """See `IReactorFromThreads.callFromThread`."""
        self._calls.append((function, arguments))

    def turn(self) -> None:
        """Make the calls."""
        while self._calls:
            function, arguments = self._calls.pop(0)
            function(*arguments)


class SignalsTests(SynchronousTestCase):
    """F129, F130: handlers of signals."""

    def setUp(self) -> None:
        self.reactor = LateReactor()
        self.acted: list[str] = []
        # Whatever the caller of the tests has made of these signals.
        for number in NUMBERS:
            self.addCleanup(signal.signal, number, signal.signal(number, signal.SIG_DFL))

    def install(self, *numbers: signal.Signals) -> Signals:
        """Install handlers that note the names of the signals."""
        signals = Signals(self.reactor, {number: partial(self.acted.append, number.name) for number in numbers})
        signals.install()
        self.addCleanup(signals.restore)
        return signals

    def test_F130_calls(self) -> None:
        """F130: a signal calls its function in a turn of the reactor, and does not end the process."""
        self.install(*NUMBERS)
        for number in NUMBERS:
            signal.raise_signal(number)
        self.assertEqual(self.acted, [])
        self.reactor.turn()
        self.assertEqual(self.acted, [number.name for number in NUMBERS])

    def test_F129_before(self) -> None:
        """F129: the handler that was there before, such as that of twistd's log, is called as well."""
        signal.signal(signal.SIGUSR1, lambda number, frame: self.acted.append("before"))
        self.install(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        self.reactor.turn()
        self.assertEqual(self.acted, ["before", "SIGUSR1"])

    def test_restore(self) -> None:
        """The handlers of before come back, also that of an ignored signal."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        before = [signal.getsignal(number) for number in NUMBERS]
        signals = self.install(*NUMBERS)
        self.assertNotEqual([signal.getsignal(number) for number in NUMBERS], before)
        signals.restore()
        self.assertEqual([signal.getsignal(number) for number in NUMBERS], before)

    def test_fails(self) -> None:
        """An action that fails is logged, and the next signal is handled."""
        signals = Signals(self.reactor, {signal.SIGUSR2: lambda: 1 // 0})
        signals.install()
        self.addCleanup(signals.restore)
        for _ in range(2):
            signal.raise_signal(signal.SIGUSR2)
            self.reactor.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_otherThread(self) -> None:
        """In a thread other than the main one nothing is installed."""
        before = signal.getsignal(signal.SIGHUP)
        thread = threading.Thread(target=self.install, args=(signal.SIGHUP,))
        thread.start()
        thread.join()
        self.assertIs(signal.getsignal(signal.SIGHUP), before)
