"""
UpstreamSource: an OpenAI-compatible API as a token source.

It asks with `POST .../chat/completions`, and the chunks of the answer come
back as they are. Any server that speaks it will do: vLLM, Ollama, llama.cpp,
OpenAI itself.
"""

from __future__ import annotations

from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from sseserver import __version__
from sseserver.client import (
    ConnectTimeout,
    EventSource,
    EventSourceError,
    EventTooLarge,
    ResponseTruncated,
    StatusError,
    WrongContentType,
)
from sseserver.client.agent import ConnectionPool, makeAgent
from sseserver.client.request import readRefusal, retryAfter
from sseserver.client.response import chooseReadPath
from sseserver.errors import SourceError
from sseserver.interfaces import IModels, ITokenSink, ITokenSource
from sseserver.protocols.chunks import readChunk
from sseserver.sources.upstreamerrors import oneLine, refused
from sseserver.timing.turnend import TurnEnd
from sseserver.values import MODEL, Prompt
from sseserver.wire import MAX_EVENT_BYTES

log = Logger()

#: Seconds that an upstream has to end its response after `[DONE]`, so that the connection can be used again.
_DRAIN = 0.5

#: Seconds for the list of models, and the bytes that it may have.
_LIST_TIMEOUT = 10.0
_LIST_BYTES = 1024 * 1024


class _Model(Struct):
    """One in the list of models."""

    id: str


class _Models(Struct):
    """The list of models."""

    data: list[_Model]


_decodeModels = msgspec.json.Decoder(_Models).decode


def checkURL(url: str) -> str:
    """
    Make sure that this is the base URL of an API, as OpenAI's clients take it.

    Returns:
        The URL, without a slash at its end.

    Raises:
        ValueError: It is not; says why, and does not repeat it.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("there must be no user and no password in the URL; a key has its own option")
    if parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the URL must be plain ASCII, without spaces, ? and #")
    if parts.port == 0:  # Out of range is a ValueError of its own.
        raise ValueError("there is no port 0")
    return url.rstrip("/")


def checkKey(key: str) -> str:
    """
    Make sure that a key can stand in a header.

    Returns:
        The key, unchanged.

    Raises:
        ValueError: It cannot; does not repeat it.
    """
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("a key is one word of printable ASCII")
    return key


@implementer(ITokenSource, IModels)
class UpstreamSource:
    """
    Asks an OpenAI-compatible API for each run, over connections that are used
    again. TLS is verified, redirects are not followed, there are no cookies.

    Args:
        reactor: Connects and schedules.
        url: The API's base, such as C{http://127.0.0.1:11434/v1}.
        key: What it wants to see as a C{Bearer}; never told to anyone else.
        model: What is asked for where the prompt names no model.
        agent: Makes the requests; one of our own unless given.
        connectTimeout: Seconds for connecting.
        firstTokenTimeout: Seconds from the start until the first chunk.
        tokenTimeout: Seconds from one chunk to the next. Comments are no
            chunks, and a run that is paused waits for none.
        maxChunkBytes: A larger chunk is refused.
        turnEnd: The service's, so that its writes leave when the chunks that came together are taken; by default one
            of its own.
        plain: Whether to use no speedup; by default as the environment says (`SSESERVER_PLAIN=1`).

    Raises:
        ValueError: The URL or the key is none.
    """

    takesPrompt = True

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        key: str | None = None,
        model: str | None = None,
        agent: IAgent | None = None,
        connectTimeout: float = 10.0,
        firstTokenTimeout: float = 60.0,
        tokenTimeout: float = 60.0,
        maxChunkBytes: int = MAX_EVENT_BYTES,
        turnEnd: TurnEnd | None = None,
        plain: bool | None = None,
    ) -> None:
        self.model = model or MODEL
        self._reactor = reactor
        self._url = checkURL(url)
        self._key = None if key is None else checkKey(key)
        self._asked = model
        # Made once: a header costs more than it seems.
        self._chatHeaders = self._headers("text/event-stream")
        self._chatHeaders.setRawHeaders(b"Content-Type", [b"application/json"])
        self._pool = ConnectionPool(reactor)
        self._readPath = chooseReadPath(reactor, turnEnd, plain)
        self._agent: IAgent = agent or makeAgent(reactor, connectTimeout, self._pool)
        self._firstTokenTimeout = firstTokenTimeout
        self._tokenTimeout = tokenTimeout
        self._maxChunkBytes = maxChunkBytes

    def __repr__(self) -> str:
        """Name it in logs, without its key."""
        return f"<UpstreamSource {self._url}>"

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[str]:
        """See L{ITokenSource.produce}."""
        if prompt is None:
            raise SourceError("An upstream must be asked something.", "prompt", 400)
        body = msgspec.json.encode(self._body(prompt))
        answer = _Answer(self._reactor, sink, self._key, self._firstTokenTimeout, self._tokenTimeout)
        events = EventSource(
            self._reactor,
            f"{self._url}/chat/completions",
            agent=self._agent,
            method=b"POST",
            headers=self._chatHeaders,
            body=body,
            reconnect=False,
            # The agent has its own limit for connecting; a model may think before it sends a head.
            connectTimeout=self._firstTokenTimeout,
            maxEventBytes=self._maxChunkBytes,
            onOpen=answer.opened,
            onData=answer.take,
            readPath=self._readPath,
        )
        return answer.start(events)

    def models(self) -> Deferred[list[str]]:
        """See L{IModels.models}."""
        if self._asked is not None:
            return succeed([self._asked])
        return Deferred.fromCoroutine(self._ask()).addTimeout(_LIST_TIMEOUT, self._reactor, _tooLate)

    async def _ask(self) -> list[str]:
        """Ask for the list of models."""
        url = f"{self._url}/models".encode("ascii")
        try:
            response = await self._agent.request(b"GET", url, self._headers("application/json"))
        except Exception as error:
            log.info("An upstream failed: {error}", error=error)
            raise SourceError("The upstream cannot be reached.", "unreachable") from None
        body = await readRefusal(self._reactor, response, _LIST_BYTES)
        if response.code != 200:
            raise refused(response.code, body, retryAfter(response.headers), self._key)
        try:
            return [model.id for model in _decodeModels(body).data]
        except (ValueError, RecursionError):
            raise SourceError("The upstream's list of models is none.", "malformed") from None

    def close(self) -> Deferred[None]:
        """Close the connections that wait to be used again."""
        closing: Deferred[None] = self._pool.closeCachedConnections()
        return closing

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        """Make the request: what the prompt says, unchanged, and streamed."""
        messages = prompt.messages or [{"role": "user", "content": prompt.text}]
        body = {**prompt.options, "messages": messages, "stream": True}
        if self._asked is not None:
            body.setdefault("model", self._asked)
        return body

    def _headers(self, accept: str) -> Headers:
        headers = Headers({"Accept": [accept], "User-Agent": [f"sseserver/{__version__}"]})
        if self._key is not None:
            headers.setRawHeaders("Authorization", [f"Bearer {self._key}"])
        return headers


class _Phase(Enum):
    """
    Where an answer is. READING leads to DRAINING when the answer has ended and
    its response has not; both lead to OVER.
    """

    READING = "reading"
    DRAINING = "draining"
    OVER = "over"


_READING = _Phase.READING


@implementer(IPushProducer)
class _Answer:
    """
    One run: reads an answer into a sink.

    Args:
        clock: Tells when it takes too long.
        sink: Where the chunks go.
        key: What must not be told, in whatever an upstream says.
        firstLimit: Seconds until the first chunk.
        limit: Seconds from one to the next.
    """

    __slots__ = (
        "_clock",
        "_done",
        "_events",
        "_finish",
        "_heard",
        "_key",
        "_limit",
        "_nextLimit",
        "_paused",
        "_phase",
        "_sink",
        "_timer",
    )

    def __init__(self, clock: Any, sink: ITokenSink, key: str | None, firstLimit: float, limit: float) -> None:
        self._clock = clock
        self._sink = sink
        self._key = key
        self._limit = firstLimit
        self._nextLimit = limit
        self._phase = _Phase.READING
        self._paused = False
        # The last reason that the upstream gave for an end.
        self._finish: str | None = None
        # When the last chunk came.
        self._heard = clock.seconds()
        self._timer: IDelayedCall | None = None
        self._done: Deferred[str] = Deferred(lambda _: self.stopProducing())

    def start(self, events: EventSource) -> Deferred[str]:
        """
        Read from here.

        Returns:
            Fires with the reason of the end.
        """
        self._events = events
        self._timer = self._clock.callLater(self._limit, self._look)
        events.start().addCallbacks(self._ended, self._broke)
        if self._phase is _Phase.READING:
            self._sink.registerProducer(self, True)
        return self._done

    def opened(self, response: IResponse) -> None:
        """Refuse what is packed: we did not ask for it."""
        coding = response.headers.getRawHeaders(b"Content-Encoding", [b"identity"])[-1].decode("latin-1")
        if coding != "identity":
            self._fail(SourceError(f"The upstream's answer is packed: {oneLine(coding, self._key)}.", "malformed"))

    def take(self, data: bytes) -> None:
        """
        Take what the upstream sent: each event is a chunk, an error or the end.

        Args:
            data: The event's, in UTF-8.

        Raises:
            SourceError: It is an error, or nothing of all that. What reads
                the events ends then.
        """
        if self._phase is not _READING:
            return
        if data.startswith(b"[DONE]"):
            self._succeed()
        elif data.startswith(b"{") or data.decode("utf-8").strip():
            text, finish = readChunk(data, self._key)
            if finish is not None:
                self._finish = finish
            self._heard = self._clock.seconds()
            self._limit = self._nextLimit
            self._sink.writeChunk(data, text)

    def pauseProducing(self) -> None:
        """See L{IPushProducer.pauseProducing}: the socket is read no more."""
        self._paused = True
        self._events.pauseProducing()

    def resumeProducing(self) -> None:
        """See L{IPushProducer.resumeProducing}."""
        self._paused = False
        self._heard = self._clock.seconds()
        self._events.resumeProducing()

    def stopProducing(self) -> None:
        """See L{IPushProducer.stopProducing}: the connection is closed at once."""
        if self._phase is _Phase.READING:
            self._close()

    def _look(self) -> None:
        """See whether the upstream is silent for too long."""
        self._timer = None
        if self._paused:
            self._heard = self._clock.seconds()
        left = self._heard + self._limit - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._look)
        else:
            self._fail(SourceError(f"The upstream sent nothing for {self._limit:g} seconds.", "timeout", 504))

    def _ended(self, _: None) -> None:
        """The response has ended in good order, or we have closed it."""
        if self._phase is not _Phase.READING:
            self._release()
        elif self._finish is None:
            self._fail(SourceError("The upstream's answer ended in the middle.", "truncated"))
        else:
            # Some upstreams leave out `[DONE]`; but what says why it ends is whole.
            self._release()
            self._done.callback(self._finish)

    def _broke(self, failure: Failure) -> None:
        """There is no response, or not all of it."""
        if self._phase is not _Phase.READING:
            self._release()
        elif failure.check(EventSourceError, EventTooLarge):
            log.info("An upstream failed: {error}", error=failure.value)
            self._fail(_asSourceError(failure.value, self._key))
        else:
            self._fail(failure)

    def _succeed(self) -> None:
        """The answer is whole. What is left of its response is read for the connection's sake."""
        self._release()
        self._phase = _Phase.DRAINING
        self._timer = self._clock.callLater(_DRAIN, self._close)
        self._done.callback(self._finish or "stop")

    def _fail(self, error: SourceError | Failure) -> None:
        self._close()
        self._done.errback(error)

    def _close(self) -> None:
        """End it, and its connection."""
        self._release()
        self._events.close()

    def _release(self) -> None:
        """Let go of the sink and of the clock."""
        if self._phase is _Phase.READING:
            self._sink.unregisterProducer()
        self._phase = _Phase.OVER
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _tooLate(_: object, seconds: float) -> list[str]:
    """Give up on a list of models."""
    raise SourceError(f"The upstream sent no list of models in {seconds:g} seconds.", "timeout", 504)


def _asSourceError(error: BaseException | None, key: str | None) -> SourceError:
    """Say why there is no answer, or no end of it, to those who wait for it."""
    if isinstance(error, StatusError):
        return refused(error.status, error.body, retryAfter(error.headers), key)
    if isinstance(error, WrongContentType):
        return SourceError("The upstream's answer is no event stream.", "malformed")
    if isinstance(error, EventTooLarge):
        return SourceError("The upstream sent a chunk that is too large.", "malformed")
    if isinstance(error, ResponseTruncated):
        return SourceError("The upstream's answer broke off.", "truncated")
    if isinstance(error, ConnectTimeout):
        return SourceError("The upstream did not answer in time.", "timeout", 504)
    return SourceError("The upstream cannot be reached.", "unreachable")
