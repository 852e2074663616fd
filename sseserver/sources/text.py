"""`TextSource`: the same text for every run, word by word. The server without options streams `WELCOME`."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import classImplements

from sseserver.interfaces import IPackedSink, ITokenSink, ITokenSource
from sseserver.options import defaultOf
from sseserver.timing.nextturn import NextTurn
from sseserver.timing.ticker import FIRING, IDLE, Tick, Ticker
from sseserver.timing.turnend import TurnEnd
from sseserver.values import MODEL, Kind, NewEntry, PackedEntries, Prompt

#: Seconds. Shortest time between two turns that write words. In fewer turns more words share the cost of a turn, but
#: the last of them are later.
SLOT = 0.01

#: Seconds by which a word may be early, because sums of intervals are not exact.
_TOLERANCE = 1e-6

# Looked up for each word.
_FIRING = FIRING

#: Words written in one turn of the reactor when there is no pace, one by one.
WORDS_PER_TURN = 1000

#: Words that are written at once when there is no pace; and such writes in one turn of the reactor.
BATCH = 64
BATCHES_PER_TURN = 16

#: Characters. Longest word, and longest white space, in one token.
LONGEST = 64

# Characters of scripts without spaces between words: Han, Hiragana, Katakana, Bopomofo, and their punctuation.
_CJK = (
    "\u2e80-\u2fdf\u3001-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f\U00020000-\U0003ffff"
)

# Characters that belong to the one before: accents, voice marks, variation selectors; and a joiner with what it joins.
_MARKS = "(?:[\u0300-\u036f\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef]|\u200d\\S?)"

# A word and the white space around it. Joined, the matches equal the text.
_WORD = re.compile(
    rf"\s{{0,{LONGEST}}}(?:[{_CJK}]|[^\s{_CJK}]{{1,{LONGEST}}}){_MARKS}{{0,{LONGEST}}}\s{{0,{LONGEST}}}|\s{{1,{LONGEST}}}"
)


def chooseSlot(interval: float) -> float:
    """
    Choose the length of the ticker's slots for a pace.

    An interval of at least `SLOT` is a whole number of slots, so that the time between two words never varies. The
    number is a power of two, so that this is exact in floating point.

    Args:
        interval: Seconds between two words.

    Returns:
        Seconds; `SLOT` for a shorter interval, otherwise at least `SLOT` and less than twice as long.
    """
    while interval >= 2 * SLOT:
        interval /= 2
    return max(interval, SLOT)


def splitWords(text: str) -> list[str]:
    """
    Split a text into words with the white space that follows them. Joined, the words equal the text.

    In scripts without spaces each character is a word. Words over `LONGEST` characters are split.
    """
    return _WORD.findall(text)


def packWords(words: list[str]) -> list[PackedEntries]:
    """
    Pack words into batches of tokens.

    Args:
        words: The words.

    Returns:
        Batches of `BATCH` words; nothing if a word is not Unicode, which only a run can report.
    """
    try:
        tokens = [NewEntry(Kind.TOKEN, word.encode("utf-8")) for word in words]
    except UnicodeEncodeError:
        return []
    return [PackedEntries(tokens[start : start + BATCH]) for start in range(0, len(tokens), BATCH)]


class TextSource:
    """
    Token source that writes the same text in every run, one word at a time.

    Args:
        clock: A reactor or a `task.Clock`. All runs share one `LoopingCall` on it.
        text: The text; may be empty.
        interval: Seconds between two words. The first one is written at once. 0 writes as fast as the viewers read.
        model: Name of the source as a model.
        turnEnd: Turn end of the service, so that the writes of one tick leave together. By default the source has its
            own.

    Raises:
        ValueError: The interval is negative, infinite or not a number.
    """

    takesPrompt = False

    def __init__(
        self,
        clock: Any,
        text: str,
        interval: float = defaultOf("interval"),
        model: str = MODEL,
        *,
        turnEnd: TurnEnd | None = None,
    ) -> None:
        if not 0 <= interval < float("inf"):
            raise ValueError(f"The interval must be 0 or more seconds, not {interval!r}.")
        self.model = model
        self._interval = interval
        self.replaceText(text)
        self._ticker = Ticker(clock, chooseSlot(interval), turnEnd=turnEnd)
        self._nextTurn = NextTurn(clock, self._ticker.turnEnd)

    def replaceText(self, text: str) -> None:
        """Stream another text in the runs that start from now on."""
        self._words = splitWords(text)
        self._batches = [] if self._interval else packWords(self._words)

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Deferred[None]:
        """See `ITokenSource.produce`."""
        if self._interval and self._words:
            return _PacedWriter(sink, self._words, self._interval, self._ticker, self._nextTurn).start()
        if self._batches and IPackedSink.providedBy(sink):
            return _BatchWriter(sink, self._batches, self._nextTurn, BATCHES_PER_TURN).start()
        return _UnpacedWriter(sink, self._words, self._nextTurn, WORDS_PER_TURN).start()


classImplements(TextSource, ITokenSource)


class _WordWriter(Tick):
    """
    Producer of one run.

    The sink may pause, resume or stop it inside a write.
    """

    __slots__ = ("_done", "_next", "_sink", "_words")

    def __init__(self, sink: ITokenSink, words: list[Any]) -> None:
        self.slot = IDLE
        # It also takes batches if there are any.
        self._sink: Any = sink
        self._words = words
        self._next = 0
        self._done: Deferred[None] = Deferred(lambda _: self.stopProducing())

    def start(self) -> Deferred[None]:
        # Before the registration, during which a paused sink calls pauseProducing.
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
            Whether another word can follow.
        """
        word = self._words[self._next]
        self._next += 1
        try:
            self._put(word)
        except BaseException:
            self.stopProducing()
            self._done.errback()
            return False
        if self._next < len(self._words):
            return True
        if not self._done.called:
            self._finish()
        return False

    def _put(self, word: Any) -> None:
        self._sink.write(word)

    def _finish(self) -> None:
        self._sink.unregisterProducer()
        self._done.callback(None)


classImplements(_WordWriter, IPushProducer)


class _PacedWriter(_WordWriter):
    """
    Producer with a pace. The first word comes in the next turn of the reactor: it leaves with the head of its response.

    A late turn writes all words that are due; the words of a pause are not made up for.
    """

    __slots__ = ("_due", "_interval", "_nextTurn", "_ticker")

    def __init__(self, sink: ITokenSink, words: list[str], interval: float, ticker: Ticker, nextTurn: NextTurn) -> None:
        super().__init__(sink, words)
        self._interval = interval
        self._nextTurn = nextTurn
        self._ticker = ticker
        self._due = 0.0

    def pauseProducing(self) -> None:
        if self._next:
            self._ticker.cancel(self)
        else:
            self._nextTurn.cancel(self)

    def resumeProducing(self) -> None:
        if self.slot != IDLE or self._next == len(self._words):
            return
        self._due = self._ticker.seconds() + self._interval
        if self._next:
            self._ticker.put(self, self._due)
        else:
            self._nextTurn.put(self)

    def fire(self, now: float) -> float | None:
        """Write the words that are due."""
        if not self._next:
            self._begin()
            return None
        while self._due < now + _TOLERANCE:
            self._due += self._interval
            if not self._write():
                return None
            if self.slot != _FIRING:
                # Paused inside the write, and perhaps resumed, which has put it into the ticker again.
                return None
        return self._due

    def _begin(self) -> None:
        """Write the first word; the ticker has the others."""
        if self._write() and self.slot == FIRING:
            self.slot = IDLE
            self._ticker.put(self, self._due)


class _UnpacedWriter(_WordWriter):
    """Producer without a pace: some words in each turn of the reactor, as fast as the sink takes them."""

    __slots__ = ("_nextTurn", "_perTurn")

    def __init__(self, sink: ITokenSink, words: list[Any], nextTurn: NextTurn, perTurn: int) -> None:
        super().__init__(sink, words)
        self._nextTurn = nextTurn
        self._perTurn = perTurn

    def pauseProducing(self) -> None:
        self._nextTurn.cancel(self)

    def resumeProducing(self) -> None:
        if self.slot == IDLE and not self._done.called:
            self._nextTurn.put(self)

    def fire(self, now: float) -> float | None:
        """Write the words of this turn."""
        if self._next == len(self._words):
            self._finish()
            return None
        for _ in range(self._perTurn):
            if not self._write():
                # The sink may have paused and resumed it inside the last write.
                self.pauseProducing()
                return None
            if self.slot != FIRING:
                return None
        return now


class _BatchWriter(_UnpacedWriter):
    """The same for a sink that takes batches of words."""

    __slots__ = ()

    def _put(self, word: Any) -> None:
        self._sink.writeTokens(word)


#: Text of a server without options.
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
