"""
RedisConnection: one connection to a Redis server, with commands in a pipeline.

Writing commands and reading replies is the work of hiredis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable

#: Seconds. A server that owes a reply, and has sent nothing for so long, is treated as dead.
PATIENCE = 5.0

#: Seconds between two looks at the time of the last byte.
LOOK = 1.0

#: One argument of a command.
Argument = bytes | str | int | float

#: A reply: bytes, an integer, `None`, a list of replies; or the exception that stands for it.
Reply = Any


class Disconnected(StoreUnavailable):
    """The connection ended before the reply came. The server may or may not have carried out the command."""


class Refused(StoreUnavailable):
    """
    The server answered a command with an error.

    Attributes:
        word: First word of the error, such as `MOVED`, `NOSCRIPT` or `OOM`. Clients never see it.
        text: The whole error.
    """

    def __init__(self, text: str) -> None:
        super().__init__("The store refused a command.")
        self.text = text
        self.word = text.partition(" ")[0]


class RedisConnection(Protocol):
    """
    One connection. Commands leave at once, and their replies come in the same order.

    Args:
        clock: The reactor.
        onPush: Called with each message of a channel: a list of its kind, the channel, and the data; for a refused
            subscription these are `error`, `None` and the error. `None` for a connection without subscriptions.
        onLost: Called once when the connection has ended.

    Attributes:
        awaiting: Number of commands without a reply.
    """

    def __init__(
        self, clock: Any, onPush: Callable[[list[Any]], object] | None, onLost: Callable[[RedisConnection], object]
    ) -> None:
        self._clock = clock
        self._onPush = onPush
        self._onLost = onLost
        self._reader = hiredis.Reader()
        self._replies: deque[Callable[[Reply], object]] = deque()
        self._heard: float = clock.seconds()
        self._looking: Any = None
        self._lost = False
        # Whether errors are about subscriptions.
        self._subscribed = False

    @property
    def awaiting(self) -> int:
        """Number of commands without a reply."""
        return len(self._replies)

    def connectionMade(self) -> None:
        """See `IProtocol.connectionMade`."""
        transport: Any = self.transport
        # A Unix socket has neither.
        for enable in ("setTcpNoDelay", "setTcpKeepAlive"):
            getattr(transport, enable, bool)(True)
        self._heard = self._clock.seconds()
        self._looking = self._clock.callLater(LOOK, self._look)

    def send(self, command: bytes, onReply: Callable[[Reply], object]) -> None:
        """
        Send a command.

        Args:
            command: The command, from `pack`.
            onReply: Called with the reply; with an exception if it is an error or never comes.
        """
        if self._lost:
            onReply(Disconnected("The store is not connected."))
            return
        if not self._replies:
            self._heard = self._clock.seconds()
        self._replies.append(onReply)
        transport: Any = self.transport
        transport.write(command)

    def ask(self, *arguments: Argument) -> Deferred[Reply]:
        """
        Send a command, and return its reply.

        Args:
            arguments: The command and its arguments.

        Raises:
            Refused: (errback) The reply is an error.
            Disconnected: (errback) No reply came.
        """
        answered: Deferred[Reply] = Deferred()
        # A Deferred takes an exception as a failure.
        self.send(pack(arguments), lambda reply: settle(answered, reply))
        return answered

    def subscribe(self, command: bytes) -> None:
        """
        Send a command that the server confirms by messages, not by a reply.

        Args:
            command: `SSUBSCRIBE` or another of its family, from `pack`.
        """
        if not self._lost:
            self._subscribed = True
            transport: Any = self.transport
            transport.write(command)

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol.dataReceived`."""
        self._heard = self._clock.seconds()
        reader = self._reader
        reader.feed(data)
        while (reply := reader.gets()) is not False:
            if isinstance(reply, hiredis.ReplyError):
                reply = Refused(str(reply))
            if self._onPush is not None and type(reply) is list and reply[0] != b"pong":
                self._onPush(reply)
            elif self._onPush is not None and self._subscribed and isinstance(reply, Refused):
                self._onPush([b"error", None, reply])
            elif self._replies:
                self._replies.popleft()(reply)
            else:
                self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol.connectionLost`."""
        self._lost = True
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        replies, self._replies = self._replies, deque()
        self._onLost(self)
        for onReply in replies:
            onReply(Disconnected(describeLoss(reason)))

    def abort(self) -> None:
        """End the connection at once."""
        transport: Any = self.transport
        if transport is not None and not self._lost:
            transport.abortConnection()

    def _look(self) -> None:
        """End the connection if a reply is overdue; ask for one if none is owed: a dead peer is found in this way."""
        self._looking = self._clock.callLater(LOOK, self._look)
        silent = self._clock.seconds() - self._heard
        if self._replies and silent > PATIENCE:
            self.abort()
        elif not self._replies and silent > PATIENCE / 2:
            self.send(_PING, bool)


def makeFactory(connection: RedisConnection) -> Factory:
    """Return a factory for an endpoint that makes one connection. It does not log its start and stop."""
    factory: Factory = Factory.forProtocol(lambda: connection)
    factory.noisy = False
    return factory


def pack(arguments: Sequence[Argument]) -> bytes:
    """
    Write a command as the protocol has it.

    Args:
        arguments: The command and its arguments.
    """
    # The types of hiredis allow a single argument only.
    command: Any = tuple(arguments)
    return bytes(hiredis.pack_command(command))


def settle(answered: Deferred[Reply], reply: Reply) -> None:
    """
    Fire a Deferred with a reply.

    Args:
        answered: The Deferred.
        reply: The reply; an exception becomes a failure.
    """
    if isinstance(reply, Exception):
        answered.errback(reply)
    else:
        answered.callback(reply)


def unwrap(failure: Failure) -> Failure:
    """Return the failure of the command that failed first of several."""
    error: Any = failure.value
    first: Failure = getattr(error, "subFailure", failure)
    return first


_PING = pack(("PING",))


def describeLoss(reason: Failure) -> str:
    """Return a sentence that says how a connection has ended; a failure of TLS is named."""
    error: Any = reason.value
    module = type(error).__module__
    if module.startswith("service_identity"):
        return "TLS with the store failed: its certificate is not valid for this host name."
    if module.startswith("OpenSSL") and error.args and error.args[0]:
        # The last of its errors; each is a list of texts.
        return f"TLS with the store failed: {error.args[0][-1][-1]}."
    return "The connection to the store was lost."
