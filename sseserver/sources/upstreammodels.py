"""
The list of models of an upstream, requested when it is needed and kept for a while.

`UpstreamSource` has one `ModelList`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from sseserver.client.bodies import readBodyStart
from sseserver.client.request import explainFailure
from sseserver.client.retry import readRetryAfter
from sseserver.errors import SourceError
from sseserver.sources.upstreamerrors import makeRefusal, makeSourceError
from sseserver.timing.patience import addPatientTimeout
from sseserver.values import Reason

log = Logger(__name__)

#: Seconds that the list of models may take.
LIST_SECONDS = 10.0

#: Bytes. Largest list of models.
LIST_BYTES = 16 * 1024 * 1024

#: Seconds that the list is kept. Clients ask often, and each request has the operator's key.
KEPT_SECONDS = 60.0

Models = Sequence[str | Mapping[str, Any]]


class ModelList:
    """
    The models of an upstream.

    Simultaneous callers share one request.

    Args:
        reactor: Measures time.
        agent: Sends the request.
        url: URL of the list.
        headers: Headers of the request.
        secrets: The API key and the like, which must not appear in errors.
    """

    def __init__(self, reactor: Any, agent: IAgent, url: str, headers: Headers, secrets: Sequence[str]) -> None:
        self._reactor = reactor
        self._agent = agent
        self._url = url.encode("ascii")
        self._headers = headers
        self._secrets = secrets
        self._models: Models | None = None
        # When the list was received.
        self._received = 0.0
        self._request: Deferred[Any] | None = None
        self._waiting: list[Deferred[Models]] = []

    def find(self, anew: bool = False) -> Deferred[Models]:
        """
        Return the models, as the upstream describes them.

        Args:
            anew: Whether the upstream is asked even if the list is known.

        Raises:
            SourceError: (errback) There is no list.
        """
        age = self._reactor.seconds() - self._received
        if not anew and self._models is not None and 0 <= age < KEPT_SECONDS:
            return succeed(self._models)
        waiting: Deferred[Models] = Deferred(self._leave)
        self._waiting.append(waiting)
        if self._request is None:
            asking = Deferred.fromCoroutine(self._ask())
            addPatientTimeout(asking, self._reactor, LIST_SECONDS, _raiseTimeout)
            self._request = asking
            asking.addCallbacks(self._receive, self._fail)
        return waiting

    async def _ask(self) -> Models:
        """Request the list."""
        try:
            response = await self._agent.request(b"GET", self._url, self._headers)
        except Exception as error:
            log.info("An upstream failed: {error}", error=error)
            raise makeSourceError(explainFailure(error), self._secrets) from None
        body = await readBodyStart(self._reactor, response, LIST_BYTES, LIST_SECONDS)
        if response.code != 200:
            raise makeRefusal(response.code, body, readRetryAfter(response.headers), self._secrets)
        return readModels(body)

    def _receive(self, models: Models) -> None:
        self._request = None
        self._models, self._received = models, self._reactor.seconds()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(models)

    def _fail(self, failure: Failure) -> None:
        self._request = None
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.errback(failure)

    def _leave(self, waiting: Deferred[Models]) -> None:
        """Forget a caller that gave up; the last one cancels the request."""
        if waiting in self._waiting:
            self._waiting.remove(waiting)
        if not self._waiting and self._request is not None:
            self._request.cancel()


def readModels(body: bytes) -> Models:
    """
    Read a list of models: an object with the member `data`, or the bare list. Entries without an `id` are skipped.

    Args:
        body: JSON in UTF-8.

    Raises:
        SourceError: It is neither.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = ""
    found = value.get("data", "") if isinstance(value, dict) else value
    if not isinstance(found, list | None):
        raise SourceError("The upstream's list of models is not valid.", Reason.MALFORMED)
    models = [model for model in found or () if isinstance(model, dict)]
    return [model for model in models if isinstance(model.get("id"), str) and model["id"]]


def _raiseTimeout(seconds: float) -> NoReturn:
    """Give up waiting for a list of models."""
    raise SourceError(f"The upstream sent no list of models within {seconds:g} seconds.", Reason.TIMEOUT, 504)
