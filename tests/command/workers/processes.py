"""
A reactor that starts processes without starting any: tests play the part of the workers.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from sseserver.command.workers.channel import Channel


class Process:
    """
    A started process.

    Attributes:
        words: Its command line.
        environment: Its variables.
        descriptors: Its descriptors.
        orders: The orders that it has got.
        questions: The numbers of the questions that it has got.
        signals: The signals that were sent to it.
        descriptorsSent: The descriptors that were sent to it.
        ended: Whether it has ended.
    """

    def __init__(self, protocol: Any, words: list[str], environment: dict[str, str], descriptors: dict[int, Any]):
        self.words = words
        self.environment = environment
        self.descriptors = descriptors
        self.orders: list[str] = []
        self.questions: list[int] = []
        self.signals: list[int] = []
        self.descriptorsSent: list[int] = []
        self.first = True
        self._protocol = protocol
        self._channel: Any = None
        self.ended = False

    def attach(self, channel: Channel) -> None:
        """Take the channel of the pool."""
        self._channel = channel
        self._wire: Any = StringTransport()
        self._wire.sendFileDescriptor = self.descriptorsSent.append
        channel.makeConnection(self._wire)

    def read(self) -> None:
        """Read what the pool has sent."""
        end = Channel(self._take, lambda _: None)
        end.makeConnection(StringTransport())
        sent = self._wire.value()
        self._wire.clear()
        if self.first:
            # The assignment.
            size, _, rest = sent.partition(b":")
            sent, self.first = rest[int(size) + 1 :], False
        end.dataReceived(sent)

    def _take(self, message: dict[str, Any]) -> None:
        if "order" in message:
            self.orders.append(message["order"])
        else:
            self.questions.append(message["number"])

    def say(self, **members: Any) -> None:
        """Send a message to the pool."""
        end = Channel(lambda _: None, lambda _: None)
        wire = StringTransport()
        end.makeConnection(wire)
        end.send(**members)
        self._channel.dataReceived(wire.value())

    def write(self, data: bytes) -> None:
        """Write to standard output."""
        self._protocol.childDataReceived(1, data)

    def end(self, status: int = 0) -> None:
        """End."""
        self.ended = True
        self._channel.connectionLost()
        reason: Exception = ProcessTerminated(status) if status else ProcessDone(0)
        self._protocol.processEnded(Failure(reason))

    def signalProcess(self, number: int) -> None:
        """See `IProcessTransport.signalProcess`."""
        if self.ended:
            raise ProcessExitedAlready
        self.signals.append(number)


class ProcessReactor(Clock):
    """
    A reactor with processes.

    Attributes:
        processes: All that were started.
        stopped: Whether it was stopped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.stopped = False

    def spawnProcess(
        self, protocol: Any, program: str, words: list[str], environment: Any, folder: str, childFDs: dict[int, Any]
    ) -> Process:
        """See `IReactorProcess.spawnProcess`."""
        assert os.get_inheritable(childFDs[max(childFDs)]) is False
        self.processes.append(Process(protocol, words, environment, childFDs))
        return self.processes[-1]

    def adoptStreamConnection(self, descriptor: int, family: int, factory: Any) -> None:
        """See `IReactorSocket.adoptStreamConnection`."""
        protocol = factory.buildProtocol(None)
        if isinstance(protocol, Channel):
            self.processes[-1].attach(protocol)

    def callWhenRunning(self, function: Any) -> None:
        """See `IReactorCore.callWhenRunning`."""
        function()

    def callFromThread(self, function: Any, *arguments: Any) -> None:
        """See `IReactorFromThreads.callFromThread`."""
        function(*arguments)

    def stop(self) -> None:
        """See `IReactorCore.stop`."""
        assert not self.stopped, "The reactor is stopped twice."
        self.stopped = True


def refuseProcess(*_: Any, **__: Any) -> Process:
    """Stand for `spawnProcess` where a process cannot be started."""
    raise PermissionError(errno.EACCES, "Permission denied")
