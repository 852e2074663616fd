"""
tokensFrom: Python code that yields tokens, as a token source.

One loop serves three kinds of iterators. Plain ones are iterated in reactor turns, bounded by
number and time. Asynchronous ones are awaited. Blocking ones run in a `TokenThread`, which is
asynchronous.

Code may await Deferreds under every reactor. Under the asyncio reactor each run is an
`asyncio.Task`, so the code may await futures as well, in any order: `_Work._bridge` turns Deferreds
into futures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from inspect import isawaitable
from types import coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.sources.tokenthread import TokenThread, closeIterator
from sseserver.values import MODEL, Prompt, Reason

log = Logger(__name__)

#: Tokens that a run writes in one reactor turn.
TOKENS_PER_TURN = 1000

#: Seconds. Longest time that a run writes tokens in one reactor turn.
TURN = 0.01

#: Message for viewers when the code needs asyncio; the log tells the operator how to get it.
_NO_ASYNCIO = "The source of this text needs asyncio, and this server runs without it."

#: Parts of the messages of exceptions without an asyncio loop: from asyncio, from `sniffio` and
#: `anyio`, and from asyncio's `Event`, `Lock` and `Queue`, which call a method of `None`.
_NO_LOOP = ("event loop", "async library", "create_future")


def tokensFrom(
    reactor: Any, function: Callable[..., Any], takesPrompt: bool = False, model: str = MODEL, thread: bool = False
) -> ITokenSource:
    """
    Make a token source of Python code that yields its tokens.

    Args:
        reactor: Schedules the iteration, and takes tokens from threads.
        function: Called for each run, with the `Prompt` if the source takes one, otherwise without
            arguments. It returns one of these:

            - an iterable of tokens, such as a generator; a `str` returned by a generator is the
              reason of the end, such as `length`;
            - an asynchronous iterable, such as an async generator;
            - a coroutine, a Deferred or a future with one of the two as its result, or with a
              `str`, which is one token;
            - a `str`.
        takesPrompt: Whether a run needs a prompt.
        model: Name of the source as a model.
        thread: Whether the function and its iterable block. Then both run in a thread of their own.

    Returns:
        The source. It asks for tokens only while the run is not paused. When the run ends, for
        whatever reason, it calls `close` or `aclose` of the iterator and waits for it, so a
        generator's `finally` runs.
    """
    return _IterableSource(reactor, function, takesPrompt, model, thread)


@implementer(ITokenSource)
class _IterableSource:
    """See `tokensFrom`."""

    def __init__(self, reactor: Any, function: Callable[..., Any], takesPrompt: bool, model: str, thread: bool) -> None:
        self.takesPrompt = takesPrompt
        self.model = model
        self._reactor = reactor
        self._function = function
        self._thread = thread

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[Any]:
        """See `ITokenSource.produce`."""
        function = self._function
        call = (lambda: function(prompt)) if self.takesPrompt else function
        return _Work(self._reactor, sink, call).start(self._thread)


@implementer(IPushProducer)
class _Work:
    """
    One run: iterates until it is paused or stopped, or the iterator ends.

    Args:
        reactor: Schedules the iteration.
        sink: Takes the tokens.
        function: Returns the tokens; called in the first turn in which the sink is not paused.
    """

    __slots__ = (
        "_call",
        "_function",
        "_left",
        "_loop",
        "_paused",
        "_reactor",
        "_sink",
        "_stopped",
        "_until",
        "_waiting",
    )

    def __init__(self, reactor: Any, sink: ITokenSink, function: Callable[[], Any]) -> None:
        self._reactor = reactor
        self._sink = sink
        self._function = function
        self._paused = False
        self._stopped = False
        # Number of tokens that are left of this turn, and the time when the turn is over.
        self._left = 0
        self._until = 0.0
        # Fires in the next turn; and the call that fires it, unless the run is paused.
        self._waiting: Deferred[None] | None = None
        self._call: IDelayedCall | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, inThread: bool) -> Deferred[Any]:
        """
        Start the iteration.

        Args:
            inThread: Whether the code blocks.

        Returns:
            A Deferred that fires with the reason when all tokens are written and the code has
            released everything; after a cancellation, too, it fires only then.
        """
        self._sink.registerProducer(self, True)
        return Deferred.fromCoroutine(self._run(inThread)).addBoth(self._ended)

    def pauseProducing(self) -> None:
        """See `IPushProducer.pauseProducing`."""
        self._paused = True
        self._left = 0
        self._unschedule()

    def resumeProducing(self) -> None:
        """See `IPushProducer.resumeProducing`."""
        self._paused = False
        self._schedule()

    def stopProducing(self) -> None:
        """See `IPushProducer.stopProducing`."""
        self._stopped = True
        self.pauseProducing()

    def _ended(self, result: Any) -> Any:
        self._sink.unregisterProducer()
        return result

    async def _run(self, inThread: bool) -> Any:
        # A source that is started with the reactor has no running loop before the first turn.
        await self._nextTurn()
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        if self._loop is None:
            return await self._work(inThread)
        try:
            return await Deferred.fromFuture(self._loop.create_task(self._work(inThread)))
        except asyncio.CancelledError:
            raise CancelledError from None

    async def _work(self, inThread: bool) -> Any:
        return await self._bridge(self._produce(inThread))

    @coroutine
    def _bridge(self, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Run a coroutine that awaits Deferreds and, under the asyncio reactor, futures."""
        step, argument = work.send, None
        while True:
            # A turn begins anew after each wait.
            self._left = 0 if self._paused else TOKENS_PER_TURN
            self._until = self._reactor.seconds() + TURN
            try:
                awaited = step(argument)
            except StopIteration as end:
                return end.value
            try:
                if not isinstance(awaited, Deferred):
                    if self._loop is None:
                        raise RuntimeError(f"There is no running event loop to await {awaited!r} with.")
                    argument = yield awaited
                elif self._loop is None:
                    argument = yield awaited
                else:
                    argument = None
                    yield from _wait(awaited, self._loop)
                step = work.send
            except BaseException as error:
                step, argument = work.throw, error

    async def _produce(self, inThread: bool) -> Any:
        try:
            if self._paused:
                # The sink paused the run before the task began.
                await self._nextTurn()
            if inThread:
                thread = TokenThread(self._reactor, self._function)
                await self._writeAsync(thread.tokens())
                return thread.reason
            return await self._write(self._function())
        except (SystemExit, KeyboardInterrupt) as error:
            # The server's process is not the source's to end; asyncio would let both through.
            raise RuntimeError(f"A token source raised {type(error).__name__}.") from error
        except Exception as error:
            if self._loop is not None or inThread or not _wantsLoop(error):
                raise
            log.failure("A token source needs asyncio: run the server with `--reactor=asyncio`")
            raise SourceError(_NO_ASYNCIO, Reason.ASYNCIO) from error

    async def _write(self, answer: Any) -> Any:
        if isawaitable(answer):
            answer = await answer
            if self._paused:
                await self._nextTurn()
        if isinstance(answer, str):
            self._put(answer)
            return None
        if hasattr(answer, "__aiter__"):
            return await self._writeAsync(aiter(answer))
        return await self._writePlain(iter(answer))

    async def _writePlain(self, tokens: Iterator[Any]) -> Any:
        seconds = self._reactor.seconds
        try:
            while True:
                if self._left <= 0 or seconds() >= self._until:
                    await self._nextTurn()
                try:
                    token = next(tokens)
                except StopIteration as end:
                    return end.value
                self._put(token)
        finally:
            closeIterator(tokens)

    async def _writeAsync(self, tokens: AsyncIterator[Any]) -> None:
        seconds = self._reactor.seconds
        try:
            async for token in tokens:
                if self._paused:
                    # The sink paused the run while it awaited the token.
                    await self._nextTurn()
                self._put(token)
                if self._left <= 0 or seconds() >= self._until:
                    await self._nextTurn()
        finally:
            if hasattr(tokens, "aclose"):
                await tokens.aclose()

    def _put(self, token: Any) -> None:
        self._left -= 1
        if not isinstance(token, str):
            raise TypeError(f"Tokens are str, not {type(token).__name__}: {token!r:.100}")
        self._sink.write(token)

    async def _nextTurn(self) -> None:
        """Wait for the next reactor turn in which the sink is not paused."""
        while True:
            if self._stopped:
                raise CancelledError
            self._waiting = Deferred(self._dontWait)
            self._schedule()
            await self._waiting
            if not self._paused:
                return

    def _dontWait(self, waiting: Deferred[None]) -> None:
        self._waiting = None
        self._unschedule()

    def _schedule(self) -> None:
        if self._waiting is not None and self._call is None and not self._paused:
            self._call = self._reactor.callLater(0, self._continue)

    def _unschedule(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _continue(self) -> None:
        self._call = None
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        waiting.callback(None)


def _wantsLoop(error: BaseException | None) -> bool:
    """
    Whether an exception, or one that it wraps as `httpx` does, says that there is no asyncio loop.
    """
    while error is not None:
        if isinstance(error, (RuntimeError, AttributeError)) and any(words in str(error) for words in _NO_LOOP):
            return True
        error = error.__cause__ or error.__context__
    return False


def _wait(deferred: Deferred[Any], loop: asyncio.AbstractEventLoop) -> Generator[Any, Any, None]:
    """
    Wait in an asyncio task until a Deferred has a result, and leave it the result.

    `Deferred.asFuture` would take the result away from the code that awaits the Deferred.
    """
    future: asyncio.Future[None] = loop.create_future()

    def wake(result: Any) -> Any:
        if not future.done():
            future.set_result(None)
        return result

    deferred.addBoth(wake)
    try:
        yield from future
    except asyncio.CancelledError:
        # The code that awaits the Deferred gets asyncio's exception instead of Twisted's.
        deferred.addErrback(lambda failure: failure.trap(CancelledError) and None)
        deferred.cancel()
        raise
