"""
The creation of streams: while the service takes work, and where there is room.

`StreamService` makes the streams of runs and of publishers with it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail

from sseserver.errors import Overloaded
from sseserver.interfaces import IStreamLog, IStreamStore
from sseserver.service.retention import Retention

#: Message for work that comes too late.
STOPPED = "The server is being stopped."


class Creation:
    """
    Creates streams in a store.

    Args:
        store: Keeps the streams.
        retention: Makes room.
        takesWork: Returns whether the service starts runs and takes publishes.
    """

    def __init__(self, store: IStreamStore, retention: Retention, takesWork: Callable[[], bool]) -> None:
        self._store = store
        self._retention = retention
        self._takesWork = takesWork

    def create(self, name: str | None, published: bool, question: str = "") -> Deferred[IStreamLog]:
        """
        Create a stream.

        Args:
            name: Its name; `None` names it by its epoch.
            published: Whether publishes write it; otherwise a run.
            question: The last message of the user.

        Returns:
            A Deferred that fires with the stream's log.

        Raises:
            Overloaded: (errback) There is no room, or the service is being stopped.
            StreamExists: (errback) There is a stream of this name.
            StoreUnavailable: (errback) The store cannot take the stream now.
        """
        if not self._retention.makeRoom(1, published):
            return fail(Overloaded("The limit of kept streams, or of their bytes, is reached; retry later."))
        if not self._takesWork():
            return fail(Overloaded(STOPPED))
        creating = self._store.create(name, published, question)
        return creating if creating.called else creating.addCallback(self.checkRunning)

    def checkRunning(self, streamLog: IStreamLog) -> IStreamLog:
        """
        Return a log that the store has found or created, unless the service was stopped meanwhile.

        Args:
            streamLog: The log.

        Raises:
            Overloaded: It was.
        """
        if not self._takesWork():
            raise Overloaded(STOPPED)
        return streamLog
