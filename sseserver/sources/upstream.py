"""
`UpstreamSource`: an OpenAI-compatible API as a token source.

Each run is one request `POST .../chat/completions`, and the chunks of the answer become the entries of the stream,
unchanged. Any server with this API will do: vLLM, Ollama, llama.cpp, OpenAI.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.web.http_headers import Headers
from zope.interface import implementer

from sseserver.client import EventSource, Limits, Request
from sseserver.client.agent import Connections, makeConnections
from sseserver.client.bodies import readRefusal
from sseserver.client.response import chooseReadPath
from sseserver.client.retry import readRetryAfter
from sseserver.errors import SourceError
from sseserver.interfaces import IModels, ITokenSink, ITokenSource
from sseserver.options import defaultOf
from sseserver.sources.upstreamanswer import UpstreamAnswer
from sseserver.sources.upstreamerrors import makeRefusal
from sseserver.values import MODEL, VERSION, Prompt, Reason
from sseserver.wire import MAX_EVENT_BYTES

log = Logger()

#: Seconds that the list of models may take.
LIST_SECONDS = 10.0

#: Bytes. Largest list of models.
LIST_BYTES = 1024 * 1024


class _Model(Struct):
    """Member of the list of models."""

    id: str


class _Models(Struct):
    """List of models."""

    data: list[_Model]


_decodeModels = msgspec.json.Decoder(_Models).decode


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """
    Limits of an `UpstreamSource`.

    Args:
        connectTimeout: Seconds for the connection. `Connections` that are passed to the source have their own limit.
        firstTokenTimeout: Seconds from the start of a run to the first chunk.
        tokenTimeout: Seconds from one chunk to the next. Comments do not count as chunks. The time does not run while
            the run is paused.
        maxChunkBytes: Bytes of the largest chunk.
    """

    connectTimeout: float = defaultOf("connect-timeout")
    firstTokenTimeout: float = defaultOf("first-token-timeout")
    tokenTimeout: float = defaultOf("token-timeout")
    maxChunkBytes: int = MAX_EVENT_BYTES


_DEFAULT_LIMITS = UpstreamLimits()


def checkURL(url: str) -> str:
    """
    Check the base URL of an API, in the form that OpenAI's clients take.

    Returns:
        The URL without a slash at its end.

    Raises:
        ValueError: The URL is unusable. The message does not repeat it, because it may hold a secret.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL must not contain a user or a password; the key has its own option")
    if parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the URL must be plain ASCII, without spaces, ? and #")
    if parts.port == 0:  # A port out of range raises its own ValueError.
        raise ValueError("the port must not be 0")
    return url.rstrip("/")


def checkKey(key: str) -> str:
    """
    Check that an API key can be sent in a header.

    Returns:
        The key, unchanged.

    Raises:
        ValueError: The key is unusable. The message does not repeat it.
    """
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("a key must be one word of printable ASCII")
    return key


@implementer(ITokenSource, IModels)
class UpstreamSource:
    """
    Token source that sends each prompt to an OpenAI-compatible API.

    Connections are used again. Certificates are verified, redirects are not followed, and there are no cookies.

    Args:
        reactor: Connects and measures time.
        url: Base URL of the API, such as `http://127.0.0.1:11434/v1`.
        key: API key, sent as a `Bearer` token; it appears in no log and no error.
        model: Model to request when the prompt names none.
        limits: Limits of time and size.
        connections: Connections to the API, for example with an agent of your own. By default from `makeConnections`.
            Make them with the `TurnEnd` of the service to send together the tokens that came together.

    Attributes:
        connections: See above.

    Raises:
        ValueError: The URL or the key is unusable.
    """

    takesPrompt = True

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        key: str | None = None,
        model: str | None = None,
        limits: UpstreamLimits = _DEFAULT_LIMITS,
        connections: Connections | None = None,
    ) -> None:
        self.model = model or MODEL
        self._reactor = reactor
        self._url = checkURL(url)
        self._key = None if key is None else checkKey(key)
        # `None` leaves the choice to the upstream.
        self._requestedModel = model
        # Made once, because headers are slow to make.
        self._chatHeaders = self._makeHeaders("text/event-stream")
        self._chatHeaders.setRawHeaders(b"Content-Type", [b"application/json"])
        self.connections = connections or makeConnections(reactor, limits.connectTimeout)
        self._readPath = self.connections.readPath or chooseReadPath(reactor)
        self._limits = limits
        # The agent has its own limit for the connection. A model may think before it sends a head.
        self._clientLimits = Limits(connectTimeout=limits.firstTokenTimeout, maxEventBytes=limits.maxChunkBytes)

    def __repr__(self) -> str:
        """Name the source in logs, without its key."""
        return f"<UpstreamSource {self._url}>"

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[str]:
        """See `ITokenSource.produce`."""
        if prompt is None:
            raise SourceError("An upstream needs a prompt.", Reason.PROMPT, 400)
        body = msgspec.json.encode(self._makeBody(prompt))
        request = Request(f"{self._url}/chat/completions", b"POST", self._chatHeaders, body)
        limits = self._limits
        answer = UpstreamAnswer(self._reactor, sink, self._key, limits.firstTokenTimeout, limits.tokenTimeout)
        agent = self.connections.agent
        events = EventSource(self._reactor, request, retry=None, limits=self._clientLimits, agent=agent)
        events.readPath = self._readPath
        return answer.start(events)

    def models(self) -> Deferred[list[str]]:
        """See `IModels.models`."""
        if self._requestedModel is not None:
            return succeed([self._requestedModel])
        return Deferred.fromCoroutine(self._requestModels()).addTimeout(LIST_SECONDS, self._reactor, _raiseTimeout)

    def close(self) -> Deferred[None]:
        """
        Close the idle connections. The source can still be used.

        Returns:
            Fires when they are closed.
        """
        pool = self.connections.pool
        closing: Deferred[None] = succeed(None) if pool is None else pool.closeCachedConnections()
        return closing

    async def _requestModels(self) -> list[str]:
        """Request the list of models."""
        url = f"{self._url}/models".encode("ascii")
        try:
            response = await self.connections.agent.request(b"GET", url, self._makeHeaders("application/json"))
        except Exception as error:
            log.info("An upstream failed: {error}", error=error)
            raise SourceError("The upstream cannot be reached.", Reason.UNREACHABLE) from None
        body = await readRefusal(self._reactor, response, LIST_BYTES)
        if response.code != 200:
            raise makeRefusal(response.code, body, readRetryAfter(response.headers), self._key)
        try:
            return [model.id for model in _decodeModels(body).data]
        except (ValueError, RecursionError):
            raise SourceError("The upstream's list of models is not valid.", Reason.MALFORMED) from None

    def _makeBody(self, prompt: Prompt) -> dict[str, Any]:
        """Make the JSON of a request: the members of the prompt, unchanged, and `stream`."""
        messages = prompt.messages or [{"role": "user", "content": prompt.text}]
        body = {**prompt.options, "messages": messages, "stream": True}
        if self._requestedModel is not None:
            body.setdefault("model", self._requestedModel)
        return body

    def _makeHeaders(self, accept: str) -> Headers:
        headers = Headers({"Accept": [accept], "User-Agent": [f"sseserver/{VERSION}"]})
        if self._key is not None:
            headers.setRawHeaders("Authorization", [f"Bearer {self._key}"])
        return headers


def _raiseTimeout(_: object, seconds: float) -> NoReturn:
    """Give up waiting for a list of models."""
    raise SourceError(f"The upstream sent no list of models within {seconds:g} seconds.", Reason.TIMEOUT, 504)
