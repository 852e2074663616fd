"""
The channel between a pool and one of its workers: messages in JSON, each a netstring, over a pair of Unix sockets.

Both trust each other. Orders go to the worker, questions as well; answers and the news that it is ready come back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import NetstringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

log = Logger(__name__)


class Order(StrEnum):
    """An order to a worker: what the signals of a single process are."""

    TERMINATE = "terminate"
    INTERRUPT = "interrupt"
    RELOAD = "reload"
    REOPEN = "reopen"


class Question(StrEnum):
    """A question to a worker: its metrics, whether it is ready, its state, and whether it takes a connection."""

    METRICS = "metrics"
    READINESS = "readiness"
    STATUS = "status"
    CONNECT = "connect"  # a descriptor comes with it


class Gone(Exception):
    """A worker has ended without an answer."""


@implementer(IFileDescriptorReceiver)
class Channel(NetstringReceiver):
    """
    One end of a channel.

    Args:
        receive: Called with each message.
        lost: Called with this channel when the other end is gone.
    """

    #: Bytes. Longest message: the metrics of a worker are some ten thousand.
    MAX_LENGTH = 1 << 24

    def __init__(self, receive: Callable[[dict[str, Any]], object], lost: Callable[[Channel], object]) -> None:
        self._receive = receive
        self._lost = lost
        self._descriptors: list[int] = []

    def sendDescriptor(self, descriptor: int) -> None:
        """Send a descriptor with the next message. It must be open until that is answered."""
        transport: Any = self.transport
        if transport is not None:
            transport.sendFileDescriptor(descriptor)

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """See `IFileDescriptorReceiver`. It comes before its message."""
        self._descriptors.append(descriptor)

    def takeDescriptor(self) -> int:
        """Return the oldest descriptor that has come and was not taken."""
        return self._descriptors.pop(0)

    def send(self, **members: Any) -> None:
        """Send a message."""
        if self.transport is not None:
            self.sendString(json.dumps(members).encode("ascii"))

    def sendFirst(self, message: bytes) -> None:
        """Send the assignment."""
        self.sendString(message)

    def stringReceived(self, string: bytes) -> None:
        """See `NetstringReceiver.stringReceived`."""
        self._receive(json.loads(string))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol.connectionLost`."""
        self.transport = None
        while self._descriptors:
            os.close(self._descriptors.pop())
        self._lost(self)


class Asking:
    """The questions of a pool to one worker that are not answered yet."""

    def __init__(self) -> None:
        self._waiting: dict[int, Deferred[Any]] = {}
        self._number = 0

    def ask(self, channel: Channel, question: Question, descriptor: int | None = None) -> Deferred[Any]:
        """
        Ask a question.

        Args:
            channel: The channel to the worker.
            question: The question.
            descriptor: A descriptor that comes with it.

        Returns:
            A Deferred that fires with the answer.

        Raises:
            Gone: (errback) The worker has ended.
        """
        self._number += 1
        number = self._number
        waiting: Deferred[Any] = Deferred(lambda _: self._forget(number))
        self._waiting[number] = waiting
        if descriptor is not None:
            channel.sendDescriptor(descriptor)
        channel.send(ask=question, number=number)
        return waiting

    def _forget(self, number: int) -> None:
        self._waiting.pop(number, None)

    def take(self, message: dict[str, Any]) -> None:
        """Take an answer. One that nobody waits for any more is dropped."""
        waiting = self._waiting.pop(message["number"], None)
        if waiting is not None:
            waiting.callback(message["answer"])

    def end(self) -> None:
        """Let all questions fail: the worker has ended."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            each.errback(Gone())


def answer(channel: Channel, message: dict[str, Any], find: Callable[[Question], Any]) -> None:
    """
    Answer a question of the pool.

    Args:
        channel: The channel to the pool.
        message: The question.
        find: Returns the answer, or a Deferred that fires with it.
    """
    finding = maybeDeferred(find, Question(message["ask"]))
    finding.addCallback(lambda found: channel.send(number=message["number"], answer=found))
    finding.addErrback(lambda failure: log.failure("A question of the pool is not answered.", failure=failure))
