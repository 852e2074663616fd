"""
A proxy between a store and its Redis, which delays answers or swallows everything.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol


class RedisProxy:
    """
    The proxy.

    Args:
        reactor: Listens and connects.
        target: Path of the socket of the Redis.
        path: Path of the socket of the proxy.

    Attributes:
        delay: Seconds until an answer is passed on.
        swallows: Whether bytes of both sides are lost. Connections stay.
        url: Its address, as `--store` takes it.
    """

    def __init__(self, reactor: Any, target: str, path: str) -> None:
        self.delay = 0.0
        self.swallows = False
        self.url = f"redis+unix://{path}"
        self._reactor = reactor
        self._target = target
        self._sides: set[_Side] = set()
        self._stopped = False
        factory: Factory = Factory.forProtocol(lambda: _Side(self))
        factory.noisy = False
        self._port = reactor.listenUNIX(path, factory)

    @property
    def isClosed(self) -> bool:
        """Whether no connection is open."""
        return not self._sides

    def note(self, side: _Side) -> bool:
        """Note an open connection; return whether the proxy takes it."""
        if self._stopped:
            side.transport.abortConnection()
        else:
            self._sides.add(side)
        return not self._stopped

    def forget(self, side: _Side) -> None:
        """Note that a connection has ended."""
        self._sides.discard(side)

    def join(self, near: _Side) -> None:
        """Connect to the Redis for a client."""
        far = _Side(self, near)
        factory: Factory = Factory.forProtocol(lambda: far)
        factory.noisy = False
        UNIXClientEndpoint(self._reactor, self._target).connect(factory).addCallbacks(
            near.join, lambda _: near.transport.loseConnection()
        )

    def passOn(self, data: bytes, to: _Side, isAnswer: bool) -> None:
        """Pass bytes on to the other side."""
        if self.swallows:
            return
        if isAnswer and self.delay:
            self._reactor.callLater(self.delay, to.transport.write, data)
        else:
            to.transport.write(data)

    def stop(self) -> None:
        """Listen no longer, and cut all connections: see `isClosed`."""
        self._stopped = True
        self._port.stopListening()
        for side in tuple(self._sides):
            side.transport.abortConnection()


class _Side(Protocol):
    """One side of a connection; the far one knows the near one, where the client is."""

    transport: Any

    def __init__(self, proxy: RedisProxy, near: _Side | None = None) -> None:
        self._proxy = proxy
        self._other = near
        self._isFar = near is not None
        self._early: list[bytes] = []

    def connectionMade(self) -> None:
        """Connect the other side."""
        if self._proxy.note(self) and not self._isFar:
            self._proxy.join(self)

    def join(self, far: _Side) -> None:
        """Pass on what has come before the other side was there."""
        self._other = far
        early, self._early = self._early, []
        for data in early:
            self._proxy.passOn(data, far, False)

    def dataReceived(self, data: bytes) -> None:
        """Pass bytes on."""
        if self._other is None:
            self._early.append(data)
        else:
            self._proxy.passOn(data, self._other, self._isFar)

    def connectionLost(self, reason: Any = None) -> None:
        """End the other side, too."""
        self._proxy.forget(self)
        if self._other is not None:
            self._other.transport.abortConnection()
