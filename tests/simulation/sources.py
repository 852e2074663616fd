"""
Token sources whose runs the seed scripts: all kinds of sources that the package has, behind one prompt.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from sseserver.errors import SourceError
from sseserver.interfaces import ITokenSink, ITokenSource
from sseserver.sources.function import FunctionSource
from sseserver.sources.iterables import tokensFrom
from sseserver.sources.text import TextSource
from sseserver.values import Prompt
from tests.simulation.facts import Work
from tests.simulation.payloads import Sent, makeText, wrap
from tests.simulation.reactor import SimReactor
from tests.simulation.truth import Truth

#: Seconds. Longest run.
_LONGEST = 30.0

#: Tokens that a source in a thread may write before they are taken.
_INLINE = 50

#: Characters of the largest piece of a program's output, at least.
_OUTPUT = 4000

#: How a run gets its tokens.
KINDS = ("function", "iterable", "asyncIterable", "blocking", "paced", "unpaced")


@dataclass(frozen=True, slots=True)
class Script:
    """
    The course of one run.

    Attributes:
        run: First part of the markers of its tokens.
        tokens: Its tokens.
        pauses: Seconds before each.
        fails: Whether it fails after the last.
    """

    run: str
    tokens: list[str]
    pauses: list[float]
    fails: bool


class Scripts:
    """
    Writes the scripts of all runs.

    Args:
        chance: Decides what they are.
        truth: Is told of every token.
        most: Number of tokens of the longest run.
        size: Characters of the largest token.
        pace: Seconds of the longest pause before a token.
    """

    def __init__(self, chance: Random, truth: Truth, most: int, size: int, pace: float) -> None:
        self.chance = chance
        self.truth = truth
        self._most = most
        self._size = size
        self._pace = pace
        self._runs = 0

    def write(self, prompt: str, letter: str = "r", plain: bool = False) -> Script:
        """
        Write the script of a new run.

        Args:
            prompt: Its prompt.
            letter: First letter of its markers: `t` for words of a text, `x` for the output of a program, whose
                tokens begin and end anywhere.
            plain: Whether its tokens are words.
        """
        chance = self.chance
        self._runs += 1
        self.truth.asked[prompt] += 1
        run = f"{letter}{self._runs}"
        self.truth.works[run] = Work(prompt, self.truth.lives)
        count = chance.choice((0, 1, 2, chance.randint(1, self._most), chance.randint(1, self._most)))
        tokens = []
        for index in range(1, count + 1):
            marker = f"{run}.{index}"
            # The output of a program fills its pipe while the run is paused.
            most = max(self._size, _OUTPUT) if letter == "x" else self._size
            size = chance.randint(0, most) if chance.random() < 0.2 else 0
            text = f"{wrap(marker)} " if plain else makeText(chance, marker, size)
            if letter == "x":
                text = text.replace("\r", "")
                self.truth.works[run].text += text
            else:
                self.truth.send(Sent(marker, text))
            tokens.append(text)
        pace = min(self._pace, _LONGEST / max(1, count))
        pauses = [round(chance.random() * pace, 4) if chance.random() < 0.7 else 0.0 for _ in tokens]
        return Script(run, tokens, pauses, chance.random() < 0.15)


@implementer(ITokenSource)
class ScriptSource:
    """
    The token source of a simulated server.

    Args:
        reactor: Of the process.
        scripts: Writes the scripts.
        takesPrompt: See `ITokenSource`.
    """

    model = "simulated"

    def __init__(self, reactor: SimReactor, scripts: Scripts, takesPrompt: bool) -> None:
        self.takesPrompt = takesPrompt
        self._reactor: Any = reactor
        self._scripts = scripts

    def produce(self, sink: ITokenSink, prompt: Prompt | None) -> Any:
        """See `ITokenSource.produce`."""
        kind = self._scripts.chance.choice(KINDS)
        text = "" if prompt is None else prompt.text
        words = kind in ("paced", "unpaced")
        script = self._scripts.write(text, "t" if words else "r", words)
        work = self._scripts.truth.works[script.run]
        source: Any = getattr(self, f"_{kind}")(script, work)
        producing = maybeDeferred(source.produce, sink, prompt)
        if words:
            work.written = len(script.tokens)
        return producing.addCallback(self._end, script, work)

    def _end(self, result: Any, script: Script, work: Work) -> Any:
        if script.fails:
            work.end = "fail"
            raise SourceError("The script says so.", "script")
        work.end = "ok"
        return result

    def _function(self, script: Script, work: Work) -> ITokenSource:
        async def write(sink: ITokenSink) -> None:
            for token, pause in zip(script.tokens, script.pauses, strict=True):
                if pause:
                    await deferLater(self._reactor, pause)
                await sink.ready()
                work.written += 1
                sink.write(token)

        return FunctionSource(lambda sink, prompt: Deferred.fromCoroutine(write(sink)))

    def _iterable(self, script: Script, work: Work) -> ITokenSource:
        def tokens(*prompt: object) -> Iterator[str]:
            for token in script.tokens:
                work.written += 1
                yield token

        return tokensFrom(self._reactor, tokens)

    def _blocking(self, script: Script, work: Work) -> ITokenSource:
        def tokens(*prompt: object) -> Iterator[str]:
            # The thread runs inline, so nobody takes tokens meanwhile.
            for token in script.tokens[:_INLINE]:
                work.written += 1
                yield token

        return tokensFrom(self._reactor, tokens, thread=True)

    def _asyncIterable(self, script: Script, work: Work) -> ITokenSource:
        async def tokens(*prompt: object) -> AsyncIterator[str]:
            for token, pause in zip(script.tokens, script.pauses, strict=True):
                if pause:
                    await deferLater(self._reactor, pause)
                work.written += 1
                yield token

        return tokensFrom(self._reactor, tokens)

    def _paced(self, script: Script, work: Work) -> ITokenSource:
        return TextSource(self._reactor, "".join(script.tokens), max(script.pauses, default=0.0) or 0.05)

    def _unpaced(self, script: Script, work: Work) -> ITokenSource:
        return TextSource(self._reactor, "".join(script.tokens), 0)
