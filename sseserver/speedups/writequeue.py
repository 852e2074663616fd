"""
The write queue of a transport, whose names are private to Twisted: whether it is empty, and a pause without it.

Like those of `sseserver.speedups.privates`, the functions have probes. `sseserver.speedups.sendbuffer` sends past a
queue that is empty; others count the bytes in it.
"""

from __future__ import annotations

from typing import Any

from sseserver.speedups.probes import ProbeTransport, TakingSocket, makeConnection, probe


def isQueueEmpty(transport: Any) -> bool:
    """Return whether a connection has sent everything that was written to it."""
    # Written since the last send; and left over from it.
    return not (transport._tempDataBuffer or transport.dataBuffer)


def countQueued(transport: Any) -> int:
    """
    Count the bytes in the write queue of a connection.

    Without the private part of the queue, these are the bytes that the socket did not take at the last send.
    """
    written: int = sum(map(len, transport._tempDataBuffer)) if seesQueue() else 0
    return written + len(transport.dataBuffer) - int(transport.offset)


@probe
def seesQueue() -> bool:
    """Probe `isQueueEmpty`, `countQueued`: a write fills the queue, half a send leaves it filled, a whole ends it."""
    taking = TakingSocket()
    transport = makeConnection(taking)
    seen = [isQueueEmpty(transport)]
    transport.write(b"12")
    seen.append(isQueueEmpty(transport))
    for taking.room in (1, 1):
        transport.doWrite()
        seen.append(isQueueEmpty(transport))
    return seen == [True, False, False, True]


def awaitRoom(transport: Any) -> None:
    """
    Pause the producer of a connection until its socket takes bytes again, as if its write queue were full.

    Args:
        transport: A connection with a streaming producer, and a full socket.
    """
    transport.producerPaused = True
    transport.producer.pauseProducing()
    transport.startWriting()


def isAwaitingRoom(transport: Any) -> bool:
    """Return whether the producer of a connection is paused, and nothing is queued."""
    return bool(transport.producerPaused and transport.producer is not None and isQueueEmpty(transport))


@probe
def resumesProducers() -> bool:
    """Probe `awaitRoom`: the producer is paused, and resumed by the next chance to send."""
    transport = makeConnection(TakingSocket())
    producer = ProbeTransport()
    transport.registerProducer(producer, True)
    seen = [isAwaitingRoom(transport)]
    awaitRoom(transport)
    seen += [producer.paused, isAwaitingRoom(transport)]
    transport.doWrite()
    seen += [producer.paused, isAwaitingRoom(transport)]
    return seesQueue() and seen == [False, True, True, False, False]
