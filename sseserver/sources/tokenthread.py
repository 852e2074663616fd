"""
TokenThread: a blocking iterator in a thread, as an asynchronous iterator on the reactor.

`tokensFrom` runs code that blocks in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from threading import Condition, Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

#: Tokens that may wait between a thread and the reactor; the thread blocks when there are more.
TOKENS_AHEAD = 100


class TokenThread:
    """
    A function and the iterable that it returns, both in a thread of their own.

    The reactor's thread pool is no place for them: it has ten threads, which name lookups need too;
    the code may hold something that must stay in one thread, such as a connection to SQLite; and
    the pool joins its threads when the reactor stops, so code that blocks for ever would keep the
    process alive. `Settings.maxRuns` bounds the number of threads.

    Args:
        reactor: Takes the tokens from the thread.
        function: Returns an iterable of tokens, or a `str`.

    Attributes:
        reason: The return value of the iterator, once it has ended.
    """

    def __init__(self, reactor: Any, function: Callable[[], Any]) -> None:
        self.reason: Any = None
        self._reactor = reactor
        self._function = function
        # Guards the next three, and wakes the thread when they change.
        self._changed = Condition()
        self._tokens: list[Any] = []
        self._more: Deferred[None] | None = None
        self._closed = False
        self._over = False
        self._gone: Deferred[Any] = Deferred()

    async def tokens(self) -> AsyncIterator[Any]:
        """
        Start the thread and iterate over its tokens.

        When the iteration ends, for whatever reason, it waits until the code has released
        everything. It raises the exception of the code.
        """
        Thread(target=self._work, name="sseserver-source", daemon=True).start()
        try:
            while taken := await self._take():
                for token in taken:
                    yield token
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify()
            self.reason = await self._gone

    async def _take(self) -> list[Any]:
        """Return the tokens that are there, or wait for some; an empty list is the end."""
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
            closeIterator(tokens)

    def _put(self, token: Any) -> None:
        with self._changed:
            self._tokens.append(token)
            more, self._more = self._more, None
            if more is not None:
                self._reactor.callFromThread(more.callback, None)
            while len(self._tokens) >= TOKENS_AHEAD and not self._closed:
                self._changed.wait()


def closeIterator(tokens: Iterator[Any]) -> None:
    """Let an iterator release its resources, if it has `close`, as generators do."""
    close = getattr(tokens, "close", None)
    if close is not None:
        close()
