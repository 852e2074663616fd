"""
Link: a connection to a server that is made again whenever it is lost.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.steps import StateEnum, step
from sseserver.stores.redis.address import Credentials
from sseserver.stores.redis.connection import RedisConnection, makeFactory
from sseserver.stores.redis.handshake import ServerInfo, introduce

log = Logger(__name__)

#: Seconds. Bounds of the pause between two attempts; it doubles each time, and is jittered by a half.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0

#: Seconds. Longest time from a connection to the end of its handshake.
HANDSHAKE = 10.0


#: The problem of a link before its first attempt.
UNCONNECTED = "The store has not been connected yet."


class LinkState(StateEnum):
    """The life of a link."""

    STOPPED = "stopped"
    CONNECTING = "connecting"  # an attempt, or its handshake, is under way
    UP = "up"
    WAITING = "waiting"  # for the next attempt


#: Legal steps of a link.
LINK_STEPS = {
    LinkState.STOPPED: frozenset({LinkState.CONNECTING}),
    LinkState.CONNECTING: frozenset({LinkState.UP, LinkState.WAITING, LinkState.STOPPED}),
    LinkState.UP: frozenset({LinkState.WAITING, LinkState.STOPPED}),
    LinkState.WAITING: frozenset({LinkState.CONNECTING, LinkState.STOPPED}),
}


class Terms(NamedTuple):
    """
    The terms of a connection.

    Attributes:
        endpoint: Connects.
        credentials: Sent in each handshake.
        database: Number of the database.
        check: Called with the description of the server. Raises `Unsuitable` if it must not be used.
    """

    endpoint: IStreamClientEndpoint
    credentials: Credentials
    database: int
    check: Callable[[ServerInfo], ServerInfo]


class Link:
    """
    One connection to one server, made again when it is lost.

    Args:
        reactor: The clock of pauses and limits.
        connect: The terms of each connection.
        onUp: Called with the connection and the server's description after each handshake.
        onDown: Called when a connection that was up is lost.
        onPush: See `RedisConnection`.

    Attributes:
        connection: The connection, while it is up.
        problem: Reason why the last attempt failed, as a sentence; `None` while the link is up.
        state: State of the link.
    """

    def __init__(
        self,
        reactor: Any,
        connect: Terms,
        onUp: Callable[[RedisConnection, ServerInfo], object],
        onDown: Callable[[], object],
        onPush: Callable[[list[Any]], object] | None = None,
    ) -> None:
        self.connection: RedisConnection | None = None
        self.problem: str | None = UNCONNECTED
        self.state = LinkState.STOPPED
        self._reactor = reactor
        self._connect = connect
        self._onUp = onUp
        self._onDown = onDown
        self._onPush = onPush
        self._pause = FIRST_PAUSE
        # The next attempt, or the end of the time for the present one; the connection whose handshake is under way.
        self._timer: Any = None
        self._attempt: Deferred[Any] | None = None
        self._making: RedisConnection | None = None

    def start(self) -> None:
        """Connect, and keep the connection until `stop`."""
        self.state = step(LINK_STEPS, self.state, LinkState.CONNECTING)
        self.problem = UNCONNECTED
        self._makeAttempt()

    def stop(self) -> None:
        """End the connection, and make none any more."""
        if self.state is LinkState.STOPPED:
            return
        self.state = step(LINK_STEPS, self.state, LinkState.STOPPED)
        self._endTimer()
        if self._attempt is not None:
            self._attempt.cancel()
        for connection in (self.connection, self._making):
            if connection is not None:
                connection.abort()

    def _makeAttempt(self) -> None:
        connection = RedisConnection(self._reactor, self._onPush, self._noteLost)
        attempt: Deferred[Any] = self._connect.endpoint.connect(makeFactory(connection))
        self._attempt = attempt
        attempt.addCallback(self._shake)
        attempt.addCallbacks(self._noteUp, self._noteFailure)
        attempt.addErrback(lambda failure: log.failure("A connection to the store broke", failure))

    def _shake(self, connection: RedisConnection) -> Deferred[ServerInfo]:
        self._making = connection
        self._timer = self._reactor.callLater(HANDSHAKE, connection.abort)
        shaken = introduce(connection, self._connect.credentials, self._connect.database)
        return shaken.addCallback(self._connect.check)

    def _noteUp(self, info: ServerInfo) -> None:
        self._endTimer()
        connection, self._making, self._attempt = self._making, None, None
        if self.state is not LinkState.CONNECTING or connection is None:
            return
        self.state = step(LINK_STEPS, self.state, LinkState.UP)
        self.connection, self.problem, self._pause = connection, None, FIRST_PAUSE
        self._onUp(connection, info)

    def _noteFailure(self, failure: Failure) -> None:
        self._endTimer()
        making, self._making, self._attempt = self._making, None, None
        if making is not None:
            making.abort()
        if self.state is LinkState.CONNECTING:
            known, before = failure.check(StoreUnavailable) is not None, self.problem
            self.problem = str(failure.value) if known else f"No connection to the store: {failure.getErrorMessage()}"
            if self.problem != before:
                log.error("{problem} Trying again.", problem=self.problem)
            self._wait()

    def _noteLost(self, connection: RedisConnection) -> None:
        """The connection has ended. During a handshake its commands fail, which ends the attempt."""
        if connection is not self.connection:
            return
        self.connection = None
        if self.state is LinkState.UP:
            self.problem = "The connection to the store was lost."
            self._wait()
        self._onDown()

    def _wait(self) -> None:
        self.state = step(LINK_STEPS, self.state, LinkState.WAITING)
        self._timer = self._reactor.callLater(self._pause * random.uniform(0.5, 1.0), self._tryAgain)  # noqa: S311
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _tryAgain(self) -> None:
        self._timer = None
        self.state = step(LINK_STEPS, self.state, LinkState.CONNECTING)
        self._makeAttempt()

    def _endTimer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
