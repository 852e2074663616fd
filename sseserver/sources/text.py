"""
TextSource: a text, word by word.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from zope.interface import classImplements

from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.timing.ticker import FIRING, IDLE, Tick, Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import MODEL, Prompt

#: Seconds between two turns in which words are written, at least. The fewer turns, the more words share what a turn
#: costs; but the more come at once, the later is the last of them.
SLOT = 0.01

# A word is due when no more than that is missing: sums of intervals are not exact.
_HAIR = 1e-6

#: Words written in one turn of the reactor when there is no pace.
WORDS_PER_TURN = 1000

#: A word and the white space that follows it. What stands before the first word belongs to it, and white space alone
#: is one word: joined, the words are the text.
_WORD = re.compile(r"\s*\S+\s*|\s+")


def granularity(interval: float) -> float:
    """
    Give the width of the slots for an interval, in seconds: one to two times
    L{SLOT}. An interval that is not shorter than that is a whole number of
    slots, so that the time between two words is always the same; and a power
    of two, so that this holds in floating point.
    """
    while interval >= 2 * SLOT:
        interval /= 2
    return max(interval, SLOT)


def splitWords(text: str) -> list[str]:
    """Cut a text into words that keep the white space which follows them; joined they equal the text."""
    return _WORD.findall(text)


class TextSource:
    """
    Streams the same text in every run, one word at a time.

    Args:
        clock: A reactor or a L{task.Clock}. All runs share one L{LoopingCall} on it.
        text: What is streamed; may be empty.
        interval: Seconds between two words, and before the first; 0 is as
            fast as the viewers take them.
        model: What it is called as a model.
        turnEnd: The service's, so that its writes leave when the calls of a tick are made; by default one of its own.
    """

    takesPrompt = False

    def __init__(
        self,
        clock: Any,
        text: str,
        interval: float = 0.1,
        model: str = MODEL,
        *,
        turnEnd: TurnEnd | None = None,
    ) -> None:
        if not 0 <= interval < float("inf"):
            raise ValueError(f"The interval must be a number of seconds, 0 or more, not {interval!r}.")
        self.model = model
        self._clock = clock
        self._words = splitWords(text)
        self._interval = interval
        self._ticker = Ticker(clock, granularity(interval), turnEnd=turnEnd)

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
        """See L{ITokenSource.produce}."""
        if self._interval and self._words:
            return _Paced(sink, self._words, self._interval, self._ticker).start()
        return _Unpaced(sink, self._words, self._clock).start()


classImplements(TextSource, ITokenSource)


class _Words(Tick):
    """
    One run: writes word by word, until it is paused, stopped, or through.

    A sink may pause, resume or stop it inside a write.
    """

    __slots__ = ("_done", "_next", "_sink", "_words")

    def __init__(self, sink: ITokenSink, words: list[str]) -> None:
        self.slot = IDLE
        self._sink = sink
        self._words = words
        self._next = 0
        self._done: Deferred[None] = Deferred(lambda _: self.stopProducing())

    def start(self) -> Deferred[None]:
        # Going before it is registered: a sink that is paused says so while it registers.
        self.resumeProducing()
        self._sink.registerProducer(self, True)
        return self._done

    def stopProducing(self) -> None:
        self.pauseProducing()
        self._next = len(self._words)

    def pauseProducing(self) -> None:
        raise NotImplementedError

    def resumeProducing(self) -> None:
        raise NotImplementedError

    def _write(self) -> bool:
        """
        Write the next word.

        Returns:
            Whether there is another one after it.
        """
        word = self._words[self._next]
        self._next += 1
        try:
            self._sink.write(word)
        except Exception:
            self.stopProducing()
            self._done.errback()
            return False
        if self._next < len(self._words):
            return True
        if not self._done.called:
            self._finish()
        return False

    def _finish(self) -> None:
        self._sink.unregisterProducer()
        self._done.callback(None)


classImplements(_Words, IPushProducer)


class _Paced(_Words):
    """
    At a pace. A turn that comes late makes up for the words that were due
    meanwhile; a pause does not: after it the pace goes on.
    """

    __slots__ = ("_due", "_interval", "_ticker")

    def __init__(self, sink: ITokenSink, words: list[str], interval: float, ticker: Ticker) -> None:
        super().__init__(sink, words)
        self._interval = interval
        self._ticker = ticker
        self._due = 0.0

    def pauseProducing(self) -> None:
        self._ticker.cancel(self)

    def resumeProducing(self) -> None:
        if self.slot == IDLE and self._next < len(self._words):
            self._due = self._ticker.seconds() + self._interval
            self._ticker.put(self, self._due)

    def fire(self, now: float) -> float | None:
        """Write the words that are due."""
        while self._due < now + _HAIR:
            self._due += self._interval
            if not self._write():
                return None
            if self.slot != FIRING:
                # Paused inside the write; and if it was resumed there as well, it waits again.
                return None
        return self._due


class _Unpaced(_Words):
    """As fast as the sink takes the words, some in each turn of the reactor."""

    __slots__ = ("_call", "_clock")

    def __init__(self, sink: ITokenSink, words: list[str], clock: Any) -> None:
        super().__init__(sink, words)
        self._clock = clock
        self._call: IDelayedCall | None = None

    def pauseProducing(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def resumeProducing(self) -> None:
        if self._call is None and not self._done.called:
            self._call = self._clock.callLater(0, self._writeSome)

    def _writeSome(self) -> None:
        """Write some words, and come back for more."""
        if self._next == len(self._words):
            self._call = None
            self._finish()
            return
        # The next call is there before the first word: a pause inside a write takes it away, and so ends this turn too.
        self._call = call = self._clock.callLater(0, self._writeSome)
        for _ in range(WORDS_PER_TURN):
            if not self._write():
                self.pauseProducing()
                return
            if self._call is not call:
                return


#: What is streamed when nothing else is asked for.
WELCOME = """\
What you are reading was not here when the page was. It arrives now, word by word, over one HTTP response that \
stays open: the server writes an event, your browser shows it, and both wait for the next.

This is Server-Sent Events, the plainest way to push text to a browser. Each word is an entry in a numbered log, and \
you are a cursor that moves along it. Should your connection break in the middle of a sentence, the browser comes back \
by itself, says which event it saw last, and the server goes on with the very next word. Nothing is lost, and nothing \
comes twice.

Today the words come from a short text that was written in advance. They might as well come from a program, or from a \
language model that is still making up its mind. When the last one is written, the server ends the response; the \
browser asks once more whether there is anything left, and hears 204, No Content.

That was all.
"""
