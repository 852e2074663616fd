"""
`InputSource`: everything that a pipe or a file has, as it arrives, in every run (`--text -`).

`sseserver.tap` makes it.
"""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Callable
from io import FileIO
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReadDescriptor
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure
from zope.interface import classImplements, implementer

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.options import defaultOf
from sseserver.sources.text import splitWords
from sseserver.values import MODEL, Prompt

#: Bytes. Largest read, and longest piece of text that a run writes in one turn of the reactor.
READ = 8 * 1024

#: Bytes. Memory of a piece beside its characters.
_PIECE_COST = 64

#: Reason of a run that was too slow.
BEHIND = "behind"


@implementer(IReadDescriptor)
class InputReader:
    """
    Watches a descriptor and reads it to its end.

    The descriptor stays blocking: a terminal shares that flag with the output of the server and with the shell. One
    read at a time, and only when there is something to read, does not block.

    Args:
        reactor: Watches the descriptor.
        file: The descriptor; the reader closes it.
        onData: Called with the bytes of each read.
        onEnd: Called once, at the end of the input.
    """

    def __init__(self, reactor: Any, file: FileIO, onData: Callable[[bytes], None], onEnd: Callable[[], None]) -> None:
        self._reactor = reactor
        self._file = file
        self._onData = onData
        self._onEnd = onEnd

    def fileno(self) -> int:
        """See `IFileDescriptor.fileno`."""
        return -1 if self._file.closed else self._file.fileno()

    def logPrefix(self) -> str:
        """See `ILoggingContext.logPrefix`."""
        return "input"

    def doRead(self) -> Any:
        """See `IReadDescriptor.doRead`."""
        try:
            data = os.read(self.fileno(), READ)
        except OSError:
            # A terminal that was closed.
            data = b""
        if not data:
            return CONNECTION_DONE
        self._onData(data)
        return None

    def connectionLost(self, reason: Failure) -> None:
        """See `IFileDescriptor.connectionLost`."""
        if not self._file.closed:
            self._reactor.removeReader(self)
            self._file.close()
            self._onEnd()

    def start(self) -> None:
        """Watch the descriptor."""
        if not self._file.closed:
            self._reactor.addReader(self)

    def stop(self) -> None:
        """Leave the descriptor alone."""
        if not self._file.closed:
            self._reactor.removeReader(self)


class InputSource(Service):
    """
    Token source that reads its input once and writes it in every run.

    A run gets at once what has arrived, then the rest as it arrives, and ends with the input. Reading begins when the
    service starts. Bytes that are not UTF-8 become U+FFFD.

    Args:
        reactor: Watches the input.
        file: The input, such as `FileIO(0)`; the source closes it.
        window: Bytes of text that are kept for new runs. Of a longer input they get the end.
        model: Name of the source as a model.

    Attributes:
        clock: Schedules the turns of the runs.
        model: See above.
    """

    takesPrompt = False

    def __init__(self, reactor: Any, file: FileIO, window: int = defaultOf("window"), model: str = MODEL) -> None:
        self.model = model
        self.clock: Any = reactor
        self._window = window
        self._reader = InputReader(reactor, file, self._take, self._finish)
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._pieces: deque[str] = deque()
        # Number of the oldest piece kept, and the bytes of all pieces kept.
        self._first = 0
        self._size = 0
        self._over = False
        # In the order of their starts.
        self._copies: dict[_Copy, None] = {}

    def startService(self) -> None:
        """Begin to read."""
        super().startService()
        self._reader.start()

    def stopService(self) -> None:
        """Stop reading."""
        super().stopService()
        self._reader.stop()

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
        """See `ITokenSource.produce`."""
        copy = _Copy(self, sink, self.clock, self._first)
        self._copies[copy] = None
        return copy.start()

    def read(self, number: int) -> str | None:
        """
        Return a piece of the input.

        Args:
            number: Number of the piece, counted from 0.

        Returns:
            `None` if it has not arrived yet.

        Raises:
            SourceError: It is no longer kept.
            EOFError: The input has ended before it.
        """
        if number < self._first:
            message = f"The input has gone on by more than {self._window} bytes, while this run was not read."
            raise SourceError(message, BEHIND)
        if number < self._first + len(self._pieces):
            return self._pieces[number - self._first]
        if self._over:
            raise EOFError
        return None

    def forget(self, copy: _Copy) -> None:
        """Wake a run no longer."""
        self._copies.pop(copy, None)

    def _take(self, data: bytes) -> None:
        self._keep(self._decoder.decode(data))

    def _finish(self) -> None:
        self._over = True
        self._keep(self._decoder.decode(b"", True))

    def _keep(self, piece: str) -> None:
        """Keep a piece of text, which may be empty, drop the oldest ones, and wake the runs."""
        if piece:
            self._pieces.append(piece)
            self._size += _measure(piece)
        while self._size > self._window and len(self._pieces) > 1:
            self._size -= _measure(self._pieces.popleft())
            self._first += 1
        for copy in tuple(self._copies):
            copy.wake()


classImplements(InputSource, ITokenSource)


def _measure(piece: str) -> int:
    """Measure the memory of a piece. No character of a `str` takes more than four bytes."""
    return _PIECE_COST + (len(piece) if piece.isascii() else 4 * len(piece))


class _Copy:
    """
    Producer of one run: writes a piece of the input in each turn of the reactor, while there is one.

    Args:
        source: Has the pieces.
        sink: The sink of the run. It may pause, resume or stop the producer inside a write.
        clock: Schedules the turns.
        place: Number of the first piece to write.
    """

    def __init__(self, source: InputSource, sink: ITokenSink, clock: Any, place: int) -> None:
        self._source = source
        self._sink = sink
        self._clock = clock
        self._next = place
        self._call: IDelayedCall | None = None
        self._paused = False
        self._done: Deferred[None] = Deferred(lambda _: self.stopProducing())

    def start(self) -> Deferred[None]:
        """Begin to write. The Deferred fires at the end of the input."""
        self._sink.registerProducer(self, True)
        self.wake()
        return self._done

    def wake(self) -> None:
        """Write in the next turn."""
        if self._call is None and not self._paused:
            self._call = self._clock.callLater(0, self._write)

    def stopProducing(self) -> None:
        """See `IProducer.stopProducing`."""
        self.pauseProducing()
        self._source.forget(self)

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`."""
        self._paused = True
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        self._paused = False
        self.wake()

    def _write(self) -> None:
        self._call = None
        try:
            piece = self._source.read(self._next)
        except EOFError:
            self._end(None)
        except SourceError as error:
            self._end(error)
        else:
            if piece is not None:
                self._next += 1
                for word in splitWords(piece):
                    self._sink.write(word)
                self.wake()

    def _end(self, problem: SourceError | None) -> None:
        self._source.forget(self)
        self._sink.unregisterProducer()
        if problem is None:
            self._done.callback(None)
        else:
            self._done.errback(problem)


classImplements(_Copy, IPushProducer)
