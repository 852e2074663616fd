"""
PatientScript: a script that is run again if the connection is lost, for as long as its effect is wanted.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from sseserver.errors import StoreUnavailable
from sseserver.stores.redis.client import Client
from sseserver.stores.redis.connection import Reply

log = Logger(__name__)

#: Seconds. Pause after the first attempt. The pauses grow, up to so many times the first one.
PAUSE, LONGEST = 1.0, 10


class PatientScript:
    """
    A script on its way to Redis. It may take effect more than once.

    Args:
        client: The Redis.
        run: Runs the script. Called with whether it is run again.
        isWanted: Returns whether its effect is still wanted.

    Attributes:
        answered: Fires when the script has taken effect, or fails when it could not at once. Then it is run again.
    """

    def __init__(self, client: Client, run: Callable[[bool], Deferred[Reply]], isWanted: Callable[[], bool]) -> None:
        self.answered: Deferred[None] = Deferred()
        self._client = client
        self._run = run
        self._isWanted = isWanted
        self._attempts = 0

    def go(self) -> None:
        """Run the script, for the first time or again."""
        if self._isWanted():
            again, self._attempts = self._attempts > 0, self._attempts + 1
            self._run(again).addCallbacks(self._note, self._retry).addErrback(_report)

    def fail(self, error: StoreUnavailable) -> None:
        """Give up: the store is closed."""

    def _note(self, _: Reply) -> None:
        if not self.answered.called:
            self.answered.callback(None)

    def _retry(self, failure: Failure) -> None:
        if failure.check(StoreUnavailable):
            self._client.postpone(self, PAUSE * min(self._attempts, LONGEST))
        if not self.answered.called:
            self.answered.errback(failure)


def _report(failure: Failure) -> None:
    log.failure("A script of the store broke", failure)
