"""
Token sources whose runs the seed scripts: all kinds of sources that the package has, behind one prompt.
"""

from __future__ import annotations

import json
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
from tests.simulation.network import Network
from tests.simulation.payloads import Sent, makeText, wrap
from tests.simulation.reactor import SimReactor
from tests.simulation.truth import Truth

#: Port of the upstream.
UPSTREAM_PORT = 9000

#: Seconds. Longest run.
_LONGEST = 30.0

#: Tokens that a source in a thread may write before they are taken.
_INLINE = 50

#: Bodies of an upstream's errors.
_ERRORS = (
    b'{"error": {"message": "Slow down"}}',
    b'{"error": {"message": "Slow down", "type": "rate_limit", "code": "slow", "param": null}}',
    b'{"detail": [{"msg": "Slow down"}]}',
    b"<html>Slow down</html>",
    b"",
)

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
            size = chance.randint(0, self._size) if chance.random() < 0.2 else 0
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


class Upstream:
    """
    An OpenAI-compatible API whose answers the seed scripts, on a port of the network.

    Args:
        network: Of the simulation.
        scripts: Writes the answers.
        chance: Decides how they are sent.
    """

    def __init__(self, network: Network, scripts: Scripts, chance: Random) -> None:
        self.network = network
        self.scripts = scripts
        self.chance = chance
        network.listen(UPSTREAM_PORT, lambda sock, peer: _Answerer(self, sock))


class _Answerer:
    """One connection of the upstream."""

    def __init__(self, upstream: Upstream, sock: Any) -> None:
        self._upstream = upstream
        self._socket = sock
        self._received = b""
        self._out = b""
        self._ending = False
        self._asked = False
        sock.watch = self._work

    def _work(self) -> None:
        sock = self._socket
        if sock.closed:
            return
        try:
            while sock.readable:
                data = sock.recv(16384)
                if not data:
                    sock.close()
                    return
                self._received += data
            self._read()
            while self._out and sock.writable:
                self._out = self._out[sock.send(self._out) :]
            if self._ending and not self._out:
                sock.close()
        except OSError:
            sock.close()

    def _read(self) -> None:
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or self._asked:
            return
        if head.startswith(b"GET"):
            self._received = body
            self._answer(b"application/json", json.dumps({"data": [{"id": "simulated"}]}).encode())
            return
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return
        self._received = b""
        self._asked = True
        self._start(json.loads(body[:length]))

    def _answer(self, kind: bytes, body: bytes, status: bytes = b"200 OK") -> None:
        self._out += b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
            status,
            kind,
            len(body),
            body,
        )

    def _start(self, asked: dict[str, Any]) -> None:
        """Begin the answer that the seed wants."""
        chance = self._upstream.chance
        prompt = asked["messages"][-1]["content"]
        self._upstream.scripts.truth.asked[prompt] += 1
        how = chance.random()
        if how < 0.08:
            status = chance.choice((b"429 Too Many Requests", b"502 Bad Gateway", b"503 Service Unavailable"))
            self._answer(b"application/json", chance.choice(_ERRORS), status)
            self._asked = False
            return
        if how < 0.12:
            self._socket.reset()
            return
        script = self._upstream.scripts.write(prompt)
        if len(script.tokens) == 1 and not script.fails and chance.random() < 0.5:
            self._answerWhole(script)
            return
        self._out += b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        if chance.random() < 0.7:
            self._send({"delta": {"role": "assistant", "content": ""}})
        if chance.random() < 0.3:
            for arguments in ("", '{"city":', '"x"}'):
                call = {"index": 0, "function": {"arguments": arguments}}
                if not arguments:
                    call |= {"id": "call_1", "type": "function"}
                    call["function"] |= {"name": "weather"}
                self._send({"delta": {"tool_calls": [call]}})
        if chance.random() < 0.3:
            self._send({"delta": {"reasoning_content": "Hmm"}, "logprobs": {"content": [{"token": "x"}]}})
        self._next(script, 0, how > 0.2)

    def _answerWhole(self, script: Script) -> None:
        """Answer in one piece, as some APIs do whatever they are asked for."""
        work = self._upstream.scripts.truth.works[script.run]
        work.written, work.end = 1, "ok"
        message = {"role": "assistant", "content": script.tokens[0], "x_unknown": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        answer = {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}
        self._answer(b"application/json", json.dumps(answer).encode())
        self._asked = False

    def _next(self, script: Script, index: int, whole: bool) -> None:
        """Send the next token, or the end."""
        if self._socket.closed or self._socket.broken:
            return
        work = self._upstream.scripts.truth.works[script.run]
        if index == len(script.tokens):
            self._end(work, whole, script.fails)
            return

        def send() -> None:
            work.written += 1
            self._send({"delta": {"content": script.tokens[index]}})
            self._work()
            self._next(script, index + 1, whole)

        self._upstream.network.world.after(script.pauses[index], send)

    def _end(self, work: Work, whole: bool, fails: bool) -> None:
        if fails:
            work.end = "fail"
            self._event('{"error": {"message": "The script says so.", "code": 500}}')
        elif whole:
            work.end = "ok"
            self._send({"delta": {}, "finish_reason": "stop"})
            if self._upstream.chance.random() < 0.5:
                usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
                self._event(json.dumps({"object": "chat.completion.chunk", "choices": [], "usage": usage}))
            self._event("[DONE]")
        else:
            # A response that simply ends is no success.
            work.end = "cut"
        self._out += b"0\r\n\r\n"
        self._asked = False
        self._ending = self._upstream.chance.random() < 0.3
        self._work()

    def _send(self, choice: dict[str, Any]) -> None:
        self._event(json.dumps({"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}))

    def _event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self._out += b"%x\r\n%b\r\n" % (len(event), event)
