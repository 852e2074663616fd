"""
`UpstreamSource`: an OpenAI-compatible API as a token source.

Each run is one request `POST .../chat/completions`, and the chunks of the answer become the entries of the stream,
unchanged. Any server with this API will do: vLLM, Ollama, llama.cpp, OpenAI.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine, Generator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, succeed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface import implementer

from sseserver.client import Request, StatusError
from sseserver.client.agent import Connections, makeConnections
from sseserver.client.response import chooseReadPath
from sseserver.errors import ErrorDetails, SourceError
from sseserver.interfaces import IChecked, IModels, IResponsesSource, ITokenSink, ITokenSource
from sseserver.protocols.jsonpieces import PIECES_PER_TURN, PLAIN, encodePieces, encodeUTF8
from sseserver.protocols.jsonsteps import readSteps
from sseserver.protocols.responses.native import NATIVE, needsResponses
from sseserver.redaction import splitURL
from sseserver.sources.upstreamanswer import UpstreamAnswer
from sseserver.sources.upstreamdialect import DIALECTS, RESPONSES, Dialect, hasUsage, isMissing
from sseserver.sources.upstreammodels import ModelList
from sseserver.sources.upstreamopening import JSONDocument, UpstreamLimits, openAnswer
from sseserver.sources.upstreamreach import Reachability
from sseserver.timing.turns import takeTurns
from sseserver.tracebacks import forgetFailure
from sseserver.values import MODEL, VERSION, LargePrompt, Prompt, Reason

__all__ = ["UpstreamLimits", "UpstreamSource", "checkHeader", "checkKey", "checkURL"]

#: Number of values in a request that this process has written itself.
ANY_NUMBER = 2**31

#: A request that is being written.
_Writing = Coroutine[Any, Any, Request]

_DEFAULT_LIMITS = UpstreamLimits()
_NO_HEADERS: Mapping[str, str] = {}

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

#: Headers of a request that belong to the connection or to the source, in lower case.
RESERVED_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
    }
)


def checkURL(url: str) -> str:
    """
    Check the base URL of an API, in the form that OpenAI's clients take.

    Returns:
        The URL. Its path has no slash at its end; its query, such as `?api-version=1`, is sent with each request.

    Raises:
        ValueError: The URL is unusable. The message does not repeat it, because it may hold a secret.
    """
    parts = splitURL(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL must begin with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the URL must not contain a user or a password; the key has its own option")
    if parts.fragment or not url.isascii() or not url.isprintable() or " " in url or "#" in url:
        raise ValueError("the URL must be plain ASCII, without spaces and #")
    if parts.port == 0:
        raise ValueError("the port must not be 0")
    return parts._replace(path=parts.path.rstrip("/")).geturl()


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


def checkHeader(name: str, value: str) -> tuple[str, str]:
    """
    Check a header that is sent with each request.

    Args:
        name: Name of the header.
        value: Its value, which may be a secret.

    Returns:
        Name and value, unchanged.

    Raises:
        ValueError: The header is unusable. The message does not repeat the value.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name[:50]!r} is not the name of a header")
    if name.lower() in RESERVED_HEADERS:
        raise ValueError(f"the header {name} cannot be replaced")
    if not value or not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError(f"the value of the header {name} must be one line of printable ASCII")
    return name, value


@implementer(ITokenSource, IModels, IChecked, IResponsesSource)
class UpstreamSource:
    """
    Token source that sends each prompt to an OpenAI-compatible API.

    Connections are used again. Certificates are verified, redirects are not followed, and there are no cookies.

    Args:
        reactor: Connects and measures time.
        url: Base URL of the API, such as `http://127.0.0.1:11434/v1`.
        key: API key, sent as a `Bearer` token; it appears in no log and no error. `authenticate` adds other headers.
        model: Model to request when the prompt names none.
        limits: Limits of time and size.
        connections: Connections to the API, for example with an agent of your own. By default from `makeConnections`.
            Make them with the `TurnEnd` of the service to send together the tokens that came together.

    Attributes:
        connections: See above.
        reach: Whether the upstream is reached.

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
        if limits.pinModel and model is None:
            raise ValueError("`pinModel` needs a `model`")
        self.model = model or MODEL
        self._reactor = reactor
        self._url = urlsplit(checkURL(url))
        # `None` leaves the choice to the upstream.
        self._requestedModel = model
        self.connections = connections or makeConnections(reactor, limits.connectTimeout)
        self._readPath = self.connections.readPath or chooseReadPath(reactor)
        self._limits = limits
        self._dialects = DIALECTS[limits.api]
        # The dialect of the upstream; `None` while it is not known.
        self._dialect = self._dialects[0] if len(self._dialects) == 1 else None
        self.reach = Reachability(reactor)
        self.authenticate(key)

    def __repr__(self) -> str:
        """Name the source in logs, without its key."""
        return f"<UpstreamSource {self._url._replace(query='').geturl()}>"

    def authenticate(self, key: str | None, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        """
        Use another key and other headers for the requests from now on.

        Args:
            key: See `UpstreamSource`.
            headers: Further headers of each request, such as `api-key`. Their values appear in no log and no error.

        Raises:
            ValueError: The key or a header is unusable. Nothing is changed.
        """
        own = {} if key is None else {"Authorization": f"Bearer {checkKey(key)}"}
        own.update(checkHeader(name, value) for name, value in headers.items())
        self._ownHeaders = own
        self._secrets = tuple(filter(None, (key, *headers.values())))
        # Made once, because headers are slow to make.
        self._chatHeaders = self._makeHeaders("text/event-stream")
        self._chatHeaders.setRawHeaders(b"Content-Type", [b"application/json"])
        listURL, listHeaders = self._locate("models"), self._makeHeaders("application/json")
        self._models = ModelList(self._reactor, self.connections.agent, listURL, listHeaders, self._secrets)

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[str]:
        """See `ITokenSource.produce`."""
        return self.begin(self.makeAnswer(sink, prompt), prompt)

    def makeAnswer(self, sink: ITokenSink, prompt: Prompt | None) -> UpstreamAnswer:
        """
        Make the answer to a prompt, which is not requested yet.

        Args:
            sink: Takes the chunks.
            prompt: The prompt.

        Raises:
            SourceError: There is no prompt, or it names another model than the pinned one.
        """
        if prompt is None:
            raise SourceError("An upstream needs a prompt.", Reason.PROMPT, 400)
        self._checkModel(prompt)
        choices = prompt.options.get("n")
        expected = choices if isinstance(choices, int) else 1
        return UpstreamAnswer(self._reactor, sink, self._limits, expected, self._secrets)

    def begin(self, answer: UpstreamAnswer, prompt: Prompt | None) -> Deferred[str]:
        """
        Request an answer.

        Args:
            answer: From `makeAnswer`.
            prompt: The same prompt.

        Returns:
            See `ITokenSource.produce`.

        Raises:
            SourceError: The upstream cannot be asked for this.
        """
        assert prompt is not None
        members, isLarge = self._makeMembers(prompt), isinstance(prompt, LargePrompt)
        dialect = self._dialect
        if dialect is None and needsResponses(members):
            dialect = RESPONSES
        native = members.get(NATIVE)
        writing = self._write(answer, members, isLarge, dialect or self._dialects[0])
        asking = self._ask(writing) if dialect else self._findDialect(answer, writing, isLarge, native)
        opening = Deferred.fromCoroutine(asking).addCallbacks(self.reach.noteReached, self.reach.noteFailure)
        return answer.start(opening, self._readPath)

    async def _ask(self, writing: _Writing) -> IResponse | JSONDocument:
        """Send a request when it is written; see `openAnswer`."""
        request = await writing
        try:
            return await openAnswer(self._reactor, self.connections.agent, request, self._limits)
        except StatusError as error:
            if len(self._dialects) > 1 and isMissing(error):
                # The upstream may have been replaced by another one.
                self._dialect = None
            raise

    async def _findDialect(
        self, answer: UpstreamAnswer, writing: _Writing, isLarge: bool, native: Mapping[str, Any] | None
    ) -> IResponse | JSONDocument:
        """Ask in both dialects, until the upstream has the path, and remember the one that has led to an answer."""
        agent, limits, (first, second) = self.connections.agent, self._limits, self._dialects
        request = await writing
        try:
            opened = await openAnswer(self._reactor, agent, request, limits)
        except StatusError as error:
            if not isMissing(error):
                raise
        else:
            self._dialect = first
            return opened
        # The members have not been kept: they take many times the memory of their JSON.
        steps = readSteps(request.body or b"", ANY_NUMBER)
        members = await takeTurns(self._reactor, steps, PIECES_PER_TURN)
        if native is not None:
            members[NATIVE] = native
        writing = self._write(answer, members, isLarge, second)
        opened = await self._ask(writing)
        self._dialect = second
        return opened

    def _write(self, answer: UpstreamAnswer, members: dict[str, Any], isLarge: bool, dialect: Dialect) -> _Writing:
        """Write a request in a dialect. The members are not kept longer than that."""
        body = dialect.makeBody(members)
        if dialect.makeConverter is not None:
            answer.translate(dialect.makeConverter(hasUsage(members)))
        if isLarge or dialect.makeConverter is not None:
            return self._writeSlowly(body, dialect)
        # A copy, because msgspec leaves room to grow behind what it writes.
        return self._makeRequest(bytes(memoryview(encodeUTF8(body))), dialect)

    async def _makeRequest(self, body: bytes, dialect: Dialect) -> Request:
        return Request(self._locate(dialect.path), b"POST", self._chatHeaders, body)

    async def _writeSlowly(self, body: dict[str, Any], dialect: Dialect) -> Request:
        """Write a request in several turns of the reactor."""
        # It grows in place: a copy of tens of megabytes would take longer than a turn may last.
        encoded = bytearray()

        def encode() -> Generator[None, None, None]:
            for piece in encodePieces(body, PLAIN):
                encoded.extend(piece)
                yield

        await takeTurns(self._reactor, encode(), PIECES_PER_TURN)
        return await self._makeRequest(cast("bytes", encoded), dialect)

    def models(self) -> Deferred[Sequence[str | Mapping[str, Any]]]:
        """See `IModels.models`. The upstream's list is kept for a minute."""
        if self._requestedModel is not None:
            return succeed([self._requestedModel])
        return self._models.find().addCallbacks(self.reach.noteReached, self.reach.noteFailure)

    @property
    def writesResponseEvents(self) -> bool:
        """See `IResponsesSource`: whether the upstream speaks Responses, or may do so."""
        return RESPONSES in self._dialects and self._dialect in {None, RESPONSES}

    def findProblem(self) -> str | None:
        """
        See `IChecked.findProblem`: whether the last connection to the upstream failed.

        While it did, the list of models is requested now and then: nobody else may ask the upstream.
        """
        if self.reach.takeCheck():
            checking = self._models.find(anew=True).addCallbacks(self.reach.noteReached, self.reach.noteFailure)
            checking.addErrback(forgetFailure)
        return self.reach.problem

    def close(self) -> Deferred[None]:
        """
        Close the idle connections. The source can still be used.

        Returns:
            Fires when they are closed.
        """
        pool = self.connections.pool
        closing: Deferred[None] = succeed(None) if pool is None else pool.closeCachedConnections()
        return closing

    def _locate(self, path: str) -> str:
        """Return the URL of a resource of the API."""
        return self._url._replace(path=f"{self._url.path}/{path}").geturl()

    def _checkModel(self, prompt: Prompt) -> None:
        """Refuse a prompt that names another model than the pinned one."""
        model = prompt.options.get("model")
        if self._limits.pinModel and model is not None and model != self.model:
            message = f"There is no model {str(model)[:100]!r} here; the model is {self.model!r}."
            details = ErrorDetails("model_not_found", param="model")
            raise SourceError(message, Reason.PROMPT, 404, None, details)

    def _makeMembers(self, prompt: Prompt) -> dict[str, Any]:
        """Return the members of a prompt, unchanged, with the messages and the model."""
        messages = prompt.messages or [{"role": "user", "content": prompt.text}]
        members = {**prompt.options, "messages": messages}
        if self._requestedModel is not None:
            members.setdefault("model", self._requestedModel)
        return members

    def _makeHeaders(self, accept: str) -> Headers:
        headers = Headers({"Accept": [accept], "Accept-Encoding": ["identity"], "User-Agent": [f"sseserver/{VERSION}"]})
        for name, value in self._ownHeaders.items():
            headers.setRawHeaders(name, [value])
        return headers
