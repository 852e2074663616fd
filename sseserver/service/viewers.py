"""
Viewers: the responses that take their time.

They follow the streams of a service, or send more than fits into one write. The APIs hand requests over to it
(`follow`, `wait`, `send`). A response is a viewer until its client has taken all of it. The service drains it when it
stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.web.http import Request

from sseserver.delivery.body import MakeBody
from sseserver.delivery.connection import isOver
from sseserver.delivery.counts import DeliveryCounts
from sseserver.delivery.document import Document, DocumentProducer
from sseserver.delivery.head import jitter, trimHead
from sseserver.delivery.producer import EventStreamProducer
from sseserver.delivery.response import Delivery
from sseserver.delivery.tail import Tails
from sseserver.delivery.turnaway import NO_ROOM, turnAway
from sseserver.delivery.waiter import Reader, Waiter
from sseserver.errors import Overloaded, RateLimited
from sseserver.interfaces import ANYONE, IFormat, IStreamLog, Principal
from sseserver.service.clients import Client, identifyClient
from sseserver.service.ledger import Ledger
from sseserver.service.viewerrights import ViewerRights
from sseserver.settings import Settings
from sseserver.timing.fairturns import FairTurns
from sseserver.timing.ticker import Ticker
from sseserver.tracebacks import forgetTraceback
from sseserver.values import StartingPlace

_FIRST = StartingPlace()

#: A response of one viewer.
Response = EventStreamProducer | Waiter | DocumentProducer


class Viewers:
    """
    All viewers of a service.

    Args:
        settings: `maxViewers`, and the numbers of a response.
        sweep: Ticker of heartbeats and time limits.
        ledger: Counts the viewers, and those of each client.
        makeBody: Makes the body of each response, from `chooseBody`.
        onLeft: Called with the stream log of each viewer that has left.

    Attributes:
        counts: The counts of their responses.
        rights: Checks the rights of their clients again.
        tails: Responses that are finished and not sent.
    """

    def __init__(
        self,
        settings: Settings,
        sweep: Ticker,
        ledger: Ledger,
        makeBody: MakeBody,
        onLeft: Callable[[IStreamLog], None],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._sweep = sweep
        self.tails = Tails(sweep.clock, settings.stall)
        self.counts = DeliveryCounts()
        self.rights = ViewerRights(self, sweep, settings)
        self._delivery = Delivery(
            sweep,
            settings,
            makeBody,
            self._producerLeft,
            self.tails.add,
            self.counts,
            ledger.rests,
            FairTurns(sweep.clock, sweep.turnEnd),
        )
        self._onLeft = onLeft
        self._requests: dict[Response, Request] = {}
        # The clients of those that count for one.
        self._clientOf: dict[Response, Client] = {}
        self._admitting = True
        # Viewers for whom room is kept.
        self._reserved = 0
        # Whether the viewers were cut in this drain.
        self._isCut = False
        # The request that has waited, while it may become a viewer.
        self._passing: Request | None = None
        # Fires when the last viewer has left, while they are drained.
        self._drained: Deferred[None] | None = None

    def __iter__(self) -> Iterator[Response]:
        """Iterate over the viewers of this moment, but those whose response is finished."""
        return iter(tuple(self._requests))

    @property
    def count(self) -> int:
        """Number of viewers that are served now."""
        return len(self._requests) + len(self.tails)

    def hasRoom(self) -> bool:
        """Whether one more viewer can be served."""
        return len(self._requests) + len(self.tails) + self._reserved < self._settings.maxViewers and self._admitting

    def reserve(self, client: Client | None) -> None:
        """
        Keep room for the viewer of a run until `release`, while its stream is being stored.

        Otherwise the runs of several requests at once would start, and their viewers be refused then.

        Args:
            client: See `checkRoom`, which has found room.
        """
        self._reserved += 1
        self._ledger.clients.viewers.add(client)

    def release(self, client: Client | None) -> None:
        """Keep the room no longer: the viewer comes now, or never."""
        self._reserved -= 1
        self._ledger.clients.viewers.remove(client)

    def checkRoom(self, client: Client | None) -> None:
        """
        Check that one more viewer can be served.

        Args:
            client: The client of that viewer, from `identifyClient`.

        Raises:
            Overloaded: There is no room.
            RateLimited: The client has too many viewers.
        """
        if not self.hasRoom():
            self._countRefusal()
            raise Overloaded(NO_ROOM)
        self._ledger.clients.checkViewer(client)

    def follow(
        self,
        request: Request,
        streamLog: IStreamLog,
        form: IFormat,
        url: str,
        principal: Principal = ANYONE,
        place: StartingPlace = _FIRST,
    ) -> None:
        """
        Answer a request with a stream. Without room, tell the viewer to come back later.

        Args:
            request: Its response has not begun; the viewer takes it over.
            streamLog: The stream.
            form: The format of the response.
            url: The stream's own URL.
            principal: The client. The response ends when its rights do.
            place: Where it starts to read.

        Raises:
            Overloaded: There is no room, and viewers of this format do not reconnect.
            RateLimited: The client has too many viewers, and those of this format do not reconnect.
            Unauthorized: The rights of the client have ended since the request came.
        """
        if isOver(request):
            return
        if principal is not ANYONE:
            principal = self.rights.check(principal, streamLog)
        client = identifyClient(request)
        try:
            if request is not self._passing:
                self.checkRoom(client)
        except (Overloaded, RateLimited) as refusal:
            turnAway(request, form, self._settings.reconnectionTime, refusal)
            forgetTraceback(refusal)
            return
        trimHead(request)
        producer = EventStreamProducer(request, streamLog, form, self._delivery)
        self._add(producer, request, client)
        producer.principal = principal
        if principal.expires is not None:
            producer.expires = self.rights.findEnd(principal)
        producer.start(place, jitter(self._settings.reconnectionTime), url)

    def wait(
        self,
        request: Request,
        streamLog: IStreamLog,
        form: IFormat,
        read: Reader,
        limit: float | None = None,
        principal: Principal = ANYONE,
    ) -> Deferred[bool]:
        """
        Count a request as a viewer until a stream has what it needs.

        A caller that follows the stream as soon as the Deferred fires keeps the run's linger from
        beginning.

        Args:
            request: Its response has not begun.
            streamLog: The stream.
            form: The format of the later response.
            read: Reads what follows a cursor, and returns the new cursor and whether the wait is
                over.
            limit: Seconds to wait; `None` waits without limit.
            principal: The client. The wait ends when a key that vouches for it is taken back.

        Returns:
            A Deferred that fires with true when the wait is over, and with false after the limit,
            or if the client has left or was cut.

        Raises:
            Overloaded: There is no room.
            RateLimited: The client has too many viewers.
            Unauthorized: (also as the errback) The rights of the client have ended since the request came.
            Exception: An exception of `read`, also as the errback.
        """
        cursor, over = read(0)
        if over or isOver(request):
            return succeed(over)
        if principal is not ANYONE:
            principal = self.rights.check(principal, streamLog)
        client = identifyClient(request)
        self.checkRoom(client)
        trimHead(request)
        waiter = Waiter(request, streamLog, self._sweep, read, cursor, self._waiterLeft)
        self._add(waiter, request, client)
        waiter.principal = principal
        waiter.start(form, limit)
        return waiter.over

    def send(self, request: Request, document: Document) -> None:
        """
        Answer a request with a document. The client counts as a viewer until it has taken all of it.

        This is also possible while the viewers are drained: the request may have been a viewer that waited.

        Args:
            request: Its response has a status and headers, but no length; the viewer takes it over.
            document: The body.

        Raises:
            Overloaded: There is no room.
            RateLimited: The client has too many viewers.
        """
        if isOver(request):
            return
        if self.count >= self._settings.maxViewers:
            self._countRefusal()
            raise Overloaded(NO_ROOM)
        client = identifyClient(request)
        self._ledger.clients.checkViewer(client)
        producer = DocumentProducer(request, document, self._delivery, self._documentLeft)
        self._add(producer, request, client)
        producer.start()

    def admit(self) -> None:
        """Accept viewers again after a drain."""
        self._admitting, self._isCut = True, False

    def drain(self) -> Deferred[None]:
        """
        Accept no more viewers, and wait until all have left.

        Viewers of published streams are told to come back later: nothing follows for them. A request that waits for a
        run becomes a viewer still.

        Returns:
            A Deferred that fires when no viewer is left.
        """
        self._admitting = False
        drained: Deferred[None] = Deferred()
        self._drained = drained
        atOnce = not self._requests
        drained.addCallback(lambda _: self.tails.drain(atOnce or self._isCut))
        for viewer in self:
            if isinstance(viewer, EventStreamProducer) and viewer.streamLog.published:
                viewer.retire(jitter(self._settings.reconnectionTime))
        self._checkDrained()
        return drained

    def retire(self) -> None:
        """Tell the viewers that have not read everything to come back later."""
        for viewer in self:
            if isinstance(viewer, EventStreamProducer):
                viewer.retire(jitter(self._settings.reconnectionTime))

    def cut(self) -> None:
        """Abort the connections of all viewers."""
        self._isCut = True
        for viewer in self:
            viewer.abort("shutdown")
        self.tails.cut()

    def _add(self, viewer: Response, request: Request, client: Client | None) -> None:
        """Count a viewer."""
        self._requests[viewer] = request
        self._ledger.viewers.count += 1
        if client is not None:
            self._clientOf[viewer] = client
            self._ledger.clients.viewers.add(client)

    def _remove(self, viewer: Response) -> None:
        """Count a viewer no longer."""
        del self._requests[viewer]
        self._ledger.viewers.count -= 1
        client = self._clientOf.pop(viewer, None)
        if client is not None:
            self._ledger.clients.viewers.remove(client)

    def _countRefusal(self) -> None:
        """Count a viewer that is turned away."""
        self.counts.ends.add("limit" if self._admitting else "shutdown")

    def _waiterLeft(self, waiter: Waiter, result: bool | Failure) -> None:
        self._remove(waiter)
        # A caller that follows the stream now is a viewer before this one leaves.
        self._passing = waiter.request
        waiter.over.callback(result)
        self._passing = None
        waiter.streamLog.leave(waiter)
        self._left(waiter.streamLog)

    def _producerLeft(self, producer: EventStreamProducer) -> None:
        self._remove(producer)
        self._left(producer.streamLog)

    def _documentLeft(self, producer: DocumentProducer) -> None:
        self._remove(producer)
        self._checkDrained()

    def _left(self, streamLog: IStreamLog) -> None:
        self._onLeft(streamLog)
        self._checkDrained()

    def _checkDrained(self) -> None:
        """Report the end of the drain when the last viewer has left."""
        if not self._requests and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)
