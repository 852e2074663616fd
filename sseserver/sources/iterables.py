"""
tokensFrom: what Python code yields, as a token source.

Three ways lead here, and one loop serves them. Plain iterators are asked in turns of the reactor, bounded by number and
by time. Asynchronous ones are awaited. Those that block are iterated in a thread, which hands its tokens over as an
asynchronous one.

Code may await Deferreds under every reactor. Under the asyncio reactor each run is an L{asyncio.Task}, so that it may
await all that asyncio has as well, in any order; L{_Work._bridge} makes futures of the Deferreds on their way up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from inspect import isawaitable
from threading import Condition, Thread
from types import coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.values import MODEL, Prompt

log = Logger()

#: So many tokens are written in one turn of the reactor, and for so many seconds: the others want their turn too.
TOKENS_PER_TURN = 1000
TURN = 0.01

#: So many tokens wait between a thread and the reactor; a thread that is ahead by them waits.
TOKENS_AHEAD = 100

#: What viewers are told when the code awaits what only asyncio can give; the log says what to do.
_NO_ASYNCIO = "The source of this text needs asyncio, and this server runs without it."

#: What exceptions say where no asyncio runs: those of asyncio, of `sniffio` and `anyio`, and of asyncio's `Event`,
#: `Lock` and `Queue`, which call this method of C{None}.
_NO_LOOP = ("event loop", "async library", "create_future")


def tokensFrom(
    reactor: Any, function: Callable[..., Any], takesPrompt: bool = False, model: str = MODEL, thread: bool = False
) -> ITokenSource:
    """
    Make a token source of Python code that yields its tokens.

    Args:
        reactor: Gives the turns in which tokens are asked for, and takes them from threads.
        function: Is called for each run, with the L{Prompt} when the source
            takes one, else with nothing. It gives one of these:

            - an iterable of tokens, such as a generator; a `str` that a
              generator returns in the end is the reason (`length` ...);
            - an asynchronous iterable, such as an async generator;
            - a coroutine, a Deferred or a future that comes to one of the
              two, or to a `str`, which is one token;
            - a `str`.
        takesPrompt: Whether a run needs a prompt.
        model: What it is called as a model.
        thread: Whether the function, and the iterable that it gives, block:
            then both run in a thread, from the first line to the last.

    Returns:
        The source. It asks for tokens only while the viewers want more. When
        the run ends, however it ends, C{close} or C{aclose} of the iterator is
        called, so that a generator's C{finally} runs; it is waited for.
    """
    return _IterableSource(reactor, function, takesPrompt, model, thread)


@implementer(ITokenSource)
class _IterableSource:
    """See L{tokensFrom}."""

    def __init__(self, reactor: Any, function: Callable[..., Any], takesPrompt: bool, model: str, thread: bool) -> None:
        self.takesPrompt = takesPrompt
        self.model = model
        self._reactor = reactor
        self._function = function
        self._thread = thread

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[Any]:
        """See L{ITokenSource.produce}."""
        function = self._function
        call = (lambda: function(prompt)) if self.takesPrompt else function
        return _Work(self._reactor, sink, call).start(self._thread)


@implementer(IPushProducer)
class _Work:
    """
    One run: asks for token after token, until it is paused, stopped, or through.

    Args:
        function: Gives the tokens; is called in the first turn, not before the sink wants tokens.
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
        # What is left of this turn: tokens, and the time when it is over.
        self._left = 0
        self._until = 0.0
        # Fires when it goes on; and the call that does it, unless it is paused.
        self._waiting: Deferred[None] | None = None
        self._call: IDelayedCall | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, inThread: bool) -> Deferred[Any]:
        """
        Begin.

        Returns:
            Fires with the reason when all is written and the code has let go
            of what it holds; also when it is cancelled not before that.
        """
        self._sink.registerProducer(self, True)
        return Deferred.fromCoroutine(self._run(inThread)).addBoth(self._ended)

    def pauseProducing(self) -> None:
        self._paused = True
        self._left = 0
        self._unschedule()

    def resumeProducing(self) -> None:
        self._paused = False
        self._schedule()

    def stopProducing(self) -> None:
        self._stopped = True
        self.pauseProducing()

    def _ended(self, result: Any) -> Any:
        self._sink.unregisterProducer()
        return result

    async def _run(self, inThread: bool) -> Any:
        # Not before the first turn: what starts with the reactor starts before its loop runs.
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
        """Do work that awaits Deferreds, and under the asyncio reactor futures too."""
        step, argument = work.send, None
        while True:
            # Whoever waited has let the others have their turns.
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
                # Before the task began.
                await self._nextTurn()
            if inThread:
                thread = _Thread(self._reactor, self._function)
                await self._writeAsync(thread.tokens())
                return thread.reason
            return await self._write(self._function())
        except SystemExit as error:
            # It ends a program, and this is not its own.
            raise RuntimeError("A token source wants to exit.") from error
        except Exception as error:
            if self._loop is not None or inThread or not _wantsLoop(error):
                raise
            log.failure("A token source needs asyncio: run the server with `--reactor=asyncio`")
            raise SourceError(_NO_ASYNCIO, "asyncio") from error

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
            _close(tokens)

    async def _writeAsync(self, tokens: AsyncIterator[Any]) -> None:
        seconds = self._reactor.seconds
        try:
            async for token in tokens:
                if self._paused:
                    # Since it was asked for.
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
        """Wait for the next turn of the reactor, and until the sink wants tokens."""
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
            self._call = self._reactor.callLater(0, self._goOn)

    def _unschedule(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _goOn(self) -> None:
        self._call = None
        waiting, self._waiting = self._waiting, None
        assert waiting is not None
        waiting.callback(None)


class _Thread:
    """
    Code that blocks, in a thread of its own.

    Of its own, because the reactor's pool has ten, which name lookups need too; because what the code holds (a
    connection to SQLite ...) may want to stay in one thread; and because the pool's are joined when the reactor stops:
    code that blocks for ever would keep the process. How many there are, `Settings.maxRuns` says.

    Attributes:
        reason: What the iterator returned in the end.
    """

    def __init__(self, reactor: Any, function: Callable[[], Any]) -> None:
        self.reason: Any = None
        self._reactor = reactor
        self._function = function
        # Guards the next three, and tells the thread of changes.
        self._changed = Condition()
        self._tokens: list[Any] = []
        self._more: Deferred[None] | None = None
        self._closed = False
        self._over = False
        self._gone: Deferred[Any] = Deferred()

    async def tokens(self) -> AsyncIterator[Any]:
        """Iterate."""
        Thread(target=self._work, name="sseserver-source", daemon=True).start()
        try:
            while taken := await self._take():
                for token in taken:
                    yield token
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify()
            # Fails when the thread did.
            self.reason = await self._gone

    async def _take(self) -> list[Any]:
        """Take what there is, or wait for it; nothing means that it is over."""
        with self._changed:
            if not self._tokens and not self._over:
                self._more = Deferred()
            more = self._more
        if more is not None:
            await more
        with self._changed:
            taken, self._tokens = self._tokens, []
            self._changed.notify()
        return taken

    def _ended(self, result: Any) -> None:
        self._over = True
        more, self._more = self._more, None
        if more is not None:
            more.callback(None)
        self._gone.callback(result)

    def _work(self) -> None:
        """Run in the thread."""
        try:
            result = self._iterate()
        except BaseException:
            result = Failure()
        self._reactor.callFromThread(self._ended, result)

    def _iterate(self) -> Any:
        answer = self._function()
        tokens = iter([answer] if isinstance(answer, str) else answer)
        try:
            while not self._closed:
                try:
                    token = next(tokens)
                except StopIteration as end:
                    return end.value
                self._put(token)
            return None
        finally:
            _close(tokens)

    def _put(self, token: Any) -> None:
        with self._changed:
            self._tokens.append(token)
            more, self._more = self._more, None
            if more is not None:
                self._reactor.callFromThread(more.callback, None)
            while len(self._tokens) >= TOKENS_AHEAD and not self._closed:
                self._changed.wait()


def _close(tokens: Iterator[Any]) -> None:
    """Let an iterator let go of what it holds; those that hold something have this."""
    close = getattr(tokens, "close", None)
    if close is not None:
        close()


def _wantsLoop(error: BaseException | None) -> bool:
    """Whether something failed because no asyncio runs; libraries such as `httpx` wrap the exception that says so."""
    while error is not None:
        if isinstance(error, (RuntimeError, AttributeError)) and any(words in str(error) for words in _NO_LOOP):
            return True
        error = error.__cause__ or error.__context__
    return False


def _wait(deferred: Deferred[Any], loop: asyncio.AbstractEventLoop) -> Generator[Any, Any, None]:
    """
    Wait in an asyncio task until a Deferred has a result, and leave that to
    whoever awaits the Deferred; C{Deferred.asFuture} would take it away.
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
        # Whoever awaits it sees this exception, as the rest of asyncio wants it, and not that of the Deferred.
        deferred.addErrback(lambda failure: failure.trap(CancelledError) and None)
        deferred.cancel()
        raise
