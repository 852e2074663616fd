"""
The rights of viewers, checked again after keys were taken back.

A credential is checked at each request. An event stream is a request that may last for days: `Viewers` has a
`ViewerRights`, which ends the responses whose client may no longer read its stream.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from math import inf

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from sseserver.delivery.head import jitter
from sseserver.delivery.producer import EventStreamProducer
from sseserver.delivery.waiter import Waiter
from sseserver.errors import Unauthorized
from sseserver.interfaces import ANYONE, IStreamLog, Principal, Right
from sseserver.settings import Settings
from sseserver.timing.ticker import Ticker
from sseserver.timing.turns import takeTurns
from sseserver.tracebacks import forgetTraceback

log = Logger(__name__)

#: Number of viewers that are checked in one turn of the reactor. If all of them end, it takes some milliseconds.
CHECKED = 50

#: Finds the present rights of a principal: `None` if it has none any more.
Renew = Callable[[Principal], Principal | None]


class ViewerRights:
    """
    Checks rights, and ends viewers that have lost theirs.

    Args:
        viewers: Iterates over the viewers of the moment.
        sweep: Ticker of heartbeats.
        settings: `heartbeat` and `reconnectionTime`.
    """

    def __init__(self, viewers: Iterable[object], sweep: Ticker, settings: Settings) -> None:
        self._viewers = viewers
        self._sweep = sweep
        self._settings = settings
        # `None` until keys were taken back for the first time.
        self._renew: Renew | None = None

    def recheck(self, renew: Renew) -> None:
        """
        Check all viewers, in several turns of the reactor.

        An event stream that its client may no longer read ends, as it does when the rights expire. An answer that
        still waits is refused.

        Args:
            renew: Finds the present rights of a principal. It is also asked for viewers that come later: their
                requests may have been checked before the change.
        """
        self._renew = renew
        checking = Deferred.fromCoroutine(takeTurns(self._sweep.clock, self._checkAll(), CHECKED))
        checking.addErrback(lambda failure: log.failure("The rights of viewers could not be checked", failure))

    def check(self, principal: Principal, streamLog: IStreamLog) -> Principal:
        """
        Find the present rights of a client that reads a stream.

        Args:
            principal: The client, as its request was checked.
            streamLog: The stream.

        Raises:
            Unauthorized: It may no longer read the stream. Whoever may start runs may read theirs.
        """
        if self._renew is None or principal is ANYONE:
            return principal
        renewed, name = self._renew(principal), streamLog.name
        if renewed is not None and (
            renewed.allows(Right.READ, name) or (renewed.allows(Right.RUN, name) and not streamLog.published)
        ):
            return renewed
        raise Unauthorized("The rights of the credential have ended.", 'Bearer error="invalid_token"')

    def findEnd(self, principal: Principal) -> float:
        """Return the time at which rights end, in seconds on the ticker's clock, which does not jump."""
        if principal.expires is None:
            return inf
        return self._sweep.seconds() + principal.expires - self._sweep.wall()

    def _checkAll(self) -> Generator[None, None, None]:
        """Check the viewers of this moment, one in each step."""
        for viewer in self._viewers:
            if isinstance(viewer, EventStreamProducer | Waiter):
                try:
                    principal = self.check(viewer.principal, viewer.streamLog)
                except Unauthorized as refusal:
                    self._refuse(viewer, refusal)
                else:
                    self._note(viewer, principal)
            yield

    def _refuse(self, viewer: EventStreamProducer | Waiter, refusal: Unauthorized) -> None:
        """End a viewer that may no longer read its stream."""
        if isinstance(viewer, Waiter):
            viewer.refuse(refusal)
        else:
            self._retire(viewer)
            forgetTraceback(refusal)

    def _note(self, viewer: EventStreamProducer | Waiter, principal: Principal) -> None:
        """Note the present rights of a viewer. One whose end was moved to before its next heartbeat ends now."""
        isMoved = principal.expires != viewer.principal.expires
        viewer.principal = principal
        if isMoved and isinstance(viewer, EventStreamProducer):
            viewer.expires = self.findEnd(principal)
            if viewer.expires < self._sweep.seconds() + self._settings.heartbeat:
                self._retire(viewer)

    def _retire(self, viewer: EventStreamProducer) -> None:
        viewer.retire(jitter(self._settings.reconnectionTime), "expired")
