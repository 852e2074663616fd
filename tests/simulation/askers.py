"""
Askers: actors that start runs, by each API that does, and read the answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.simulation.facts import Span
from tests.simulation.textviewers import ChunkReader, PartReader
from tests.simulation.upstream import CONNECT_TIMEOUT, SECRET
from tests.simulation.viewers import Stage, Viewer, parseID
from tests.simulation.wire import EventParser, Exchange, Frame, Malformed, Query, Reply

#: Characters of a long conversation, about.
LARGE = 120_000

#: Requests of an asker until it gives up.
_MOST = 30


@dataclass(frozen=True, slots=True)
class Failure:
    """
    A failed run, as a client sees it.

    Attributes:
        status: Status of the answer.
        asked: How often the source was asked for the prompt by then.
        life: Life of the server.
    """

    status: int
    asked: int
    life: int


class Asker:
    """
    Starts one run, with or without an idempotency key, and repeats what was not answered.

    Args:
        stage: See `Stage`.
        number: Of this asker.
        prompt: The prompt; `None` for none.
        keyed: Whether it sends a key.

    Attributes:
        finished: Whether it has its answer, or has given up.
        stream: Name of the stream of the run; empty as long as it is unknown.
        refused: Whether the last answer was that there is no room.
    """

    path = "/streams"

    def __init__(self, stage: Stage, number: int, prompt: str | None, keyed: bool) -> None:
        self.stage = stage
        self.name = f"{type(self).__name__.lower()}{number}"
        self.prompt = prompt
        self.finished = self.refused = False
        self.stream = ""
        self.cursor = 0
        self.exchange: Exchange | None = None
        self.onStream: Any = lambda name: None
        self._key = f"key-{self.name}" if keyed else ""
        if keyed and prompt is not None:
            stage.truth.keyed.add(prompt)
        self._tries = 0
        # Lives of the server in which the run was started, and in which the request was sent: keys
        # are in its memory.
        self._life = self._askedLife = 0
        self._askedAt = 0.0
        # Whether the key must be free, because the run that it has started failed or lost its client.
        self._free = False
        # The failure that was answered last, and how often the source was asked by then.
        self._failure: Failure | None = None
        # Characters of the conversation before the prompt: such a body is decoded in several turns.
        self._history = stage.chance.choice((0, 0, 0, LARGE)) if stage.network.weather.wide else 0
        # How often the source had been asked for the prompt when the request was sent.
        self._askedBefore = 0

    @property
    def asked(self) -> int:
        """How often the source was asked for the prompt."""
        return self.stage.truth.asked[self.prompt or "nothing"]

    @property
    def waits(self) -> bool:
        """Whether the source was not asked since the last request: the run may wait for its turn."""
        return self.asked == self._askedBefore

    def body(self) -> dict[str, Any]:
        """Return the body of the request."""
        if self.prompt is None:
            return {}
        if self._history:
            return {"messages": [*self.before(), {"role": "user", "content": self.prompt}]}
        return {"prompt": self.prompt}

    def before(self) -> list[dict[str, Any]]:
        """Return the conversation before the prompt: a long text, many short ones, and structures."""
        if not self._history:
            return []
        short = [{"role": role, "content": f'{n} é "quoted"'} for n in range(400) for role in ("user", "assistant")]
        parts = [{"type": "text", "text": "\\ x" * (self._history // 8)}, {"type": "text", "text": ""}]
        return [{"role": "system", "content": "y" * (self._history // 2)}, *short, {"role": "user", "content": parts}]

    def start(self) -> None:
        """Send the request."""
        if self.finished:
            return
        self._tries += 1
        self._askedLife = self.stage.truth.lives
        self._askedAt = self.stage.now
        self._askedBefore = self.asked
        self._free = bool(self._key) and self._mayRepeat()
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Idempotency-Key"] = self._key
        query = Query("POST", self.path, headers, json.dumps(self.body()).encode())
        self.stage.history.add(self.name, f"asks {self.prompt!r}")
        self.begin()
        self.exchange = self.stage.ask(query, self._over, self.read, timeout=60.0)

    def again(self) -> None:
        """Repeat a request with a key that was answered: the answer is the same, unless it may be tried again."""
        if self.finished and self._key and self.stage.truth.calmSince is None:
            self.finished = False
            self.start()

    def lose(self) -> None:
        """Lose the connection, if there is one."""
        if self.exchange is not None:
            self.exchange.cut()

    def blame(self, rule: str, text: str) -> None:
        """Report a broken promise."""
        self.stage.history.blame(rule, f"{self.name}: {text}")

    def begin(self) -> None:
        """Forget the response before."""

    def read(self, data: bytes) -> None:
        """Take a piece of the body."""

    def answered(self, reply: Reply) -> None:
        """Take a response with the status 200 or 201."""
        self.follow(reply.json["name"] if reply.complete else "")
        self.finished = reply.complete

    def follow(self, name: str) -> None:
        """Note the stream of the run."""
        if name and name == self.stream and self._free and self._life == self._askedLife:
            self.blame("key", f"the run {name} has failed, and its key is not free")
        if name and name != self.stream:
            # A request that began while no server ran was answered by the next one.
            same = self._life == self._askedLife == self.stage.truth.lives
            if self.stream and self._key and same and not self.stage.truth.mayBeGone(self.stream):
                self.stage.truth.repeat(self.name, self.stream, name)
            self.stream = name
            self._free = False
            self._life = self._askedLife
            self.stage.truth.exists(self.name, name, name, self._askedLife)
            self.onStream(name)

    def _over(self, reply: Reply) -> None:
        self.refused = reply.status in (429, 503)
        self.stage.history.add(self.name, f"over: {reply.status} {reply.complete} {reply.body[:200]!r}")
        if SECRET.encode() in reply.body:
            self.blame("secret", f"{reply.body[:300]!r} has the key of the upstream")
        if self.finished:
            # It was dropped.
            return
        if reply.status in (200, 201):
            self.answered(reply)
        elif reply.status == 429 and self.stage.identity.client and not self.stage.refusals.relays:
            # It retries below.
            pass
        elif reply.status in (400, 402, 403, 404, 410, 418, 422, 429, 500, 502, 504, 529) and self.allows(reply):
            self._judgeFailure(reply)
            self.finished = True
        elif reply.status not in (0, 503):
            self.blame("status", f"{reply.status} {reply.body[:200]!r}")
            self.finished = True
        if not self.finished:
            if self._tries < _MOST and (self._key or reply.status in (0, 429, 503)):
                self.stage.after(round((reply.retryAfter or 0.2) + self.stage.chance.random(), 3), self.start)
            else:
                self.finished = True

    def _mayRepeat(self) -> bool:
        """Return whether the run is known to have failed, or to have lost its client."""
        known = self.stage.truth.epochs.get(self.stream)
        return known is not None and (known.end == "failed" or known.reason == "linger")

    def _judgeFailure(self, reply: Reply) -> None:
        """Check that a failure comes from the source, each time: a failure is no answer that a key keeps."""
        if not self._key or not reply.complete or reply.status in (400, 410):
            return
        failure = Failure(reply.status, self.stage.truth.asked[self.prompt or "nothing"], self._askedLife)
        # An upstream that could not be reached is not asked, but was waited for.
        waited = self.stage.now - self._askedAt >= CONNECT_TIMEOUT - 1
        if failure == self._failure and not waited:
            self.blame("key", f"the failure {reply.status} is told again, and the source was not asked")
        self._failure = failure

    def allows(self, reply: Reply) -> bool:
        """Return whether a status is a true answer."""
        error = (reply.json or {}).get("error", {})
        if not reply.complete:
            return reply.status != 500
        if reply.status == 400:
            # An upstream refuses for reasons of its own.
            return bool(error.get("code")) if self.stage.truth.sparse else error.get("code") == "answer_too_long"
        return reply.status != 500 and bool(error.get("code"))


class Completion(Asker):
    """A client of OpenAI's API that wants the answer in one piece."""

    path = "/v1/chat/completions"
    streamed = False

    def body(self) -> dict[str, Any]:
        """See `Asker.body`."""
        messages = [*self.before(), {"role": "user", "content": self.prompt or "nothing"}]
        return {"messages": messages, "stream": self.streamed, "x_unknown": [1, None]}

    def answered(self, reply: Reply) -> None:
        """See `Asker.answered`."""
        self.follow(reply.headers["content-location"].rpartition("/")[2])
        if not reply.complete:
            return
        self.finished = True
        answer = reply.json
        choice = answer["choices"][0]
        text = choice["message"]["content"] or ""
        truth = self.stage.truth
        truth.spans.append(Span(self.name, self.stream, 0, None, text, raw=True, complete=True))
        truth.succeed(self.name, self.stream)


class StreamedCompletion(Completion):
    """A client of OpenAI's API that wants a streamed answer."""

    streamed = True

    def begin(self) -> None:
        """See `Asker.begin`."""
        self.cursor = 0
        self._ended = False
        self._parser = EventParser()
        self._reader = ChunkReader(self)

    def read(self, data: bytes) -> None:
        """See `Asker.read`."""
        assert self.exchange is not None
        reply = self.exchange.reply
        if reply.status != 200:
            return
        self.follow(reply.headers["content-location"].rpartition("/")[2])
        try:
            frames = self._parser.feed(data)
        except (Malformed, UnicodeDecodeError) as error:
            self.blame("wire", str(error))
            return
        for frame in frames:
            self._see(frame)

    def ends(self) -> None:
        """Note the end of the answer."""
        self._ended = True

    def answered(self, reply: Reply) -> None:
        """See `Asker.answered`."""
        self.finished = self._ended
        if reply.complete and not self._ended:
            self.blame("end", "the response is complete without an end")

    def _see(self, frame: Frame) -> None:
        place = parseID(frame.id)
        if self._ended:
            self.blame("end", f"{frame.data[:100]!r} after the end")
        self._reader.see(frame, place)
        if place is not None:
            if place[0] != self.stream:
                self.blame("ID", f"{frame.id} in {self.stream}")
            self.cursor = place[1]


class Chat(StreamedCompletion):
    """A page with the Vercel AI SDK."""

    path = "/api/chat"
    epoch = ""

    def __init__(self, stage: Stage, number: int, prompt: str | None, keyed: bool) -> None:
        super().__init__(stage, number, prompt, keyed)
        self.chat = f"chat{number}"

    def body(self) -> dict[str, Any]:
        """See `Asker.body`."""
        parts = [{"type": "text", "text": self.prompt or "nothing"}]
        texts = [one["content"] for one in self.before() if isinstance(one["content"], str)]
        earlier = [{"id": f"e{n}", "role": "user", "parts": [{"type": "text", "text": t}]} for n, t in enumerate(texts)]
        return {
            "id": self.chat,
            "messages": [*earlier, {"id": "m1", "role": "user", "parts": parts}],
            "trigger": "submit-message",
            "messageId": None,
        }

    def begin(self) -> None:
        """See `Asker.begin`."""
        super().begin()
        self._parts = PartReader(self)

    def _see(self, frame: Frame) -> None:
        if self._ended:
            self.blame("end", f"{frame.data[:100]!r} after the end")
        self._parts.see(frame)


class ChatReturn(Viewer):
    """A page that was loaded anew: it asks for the newest answer of its chat."""

    resumes = False

    def __init__(self, stage: Stage, name: str, chat: str) -> None:
        super().__init__(stage, name, f"/api/chat/{chat}/stream")
        self._reader = PartReader(self)

    def see(self, frame: Frame) -> None:
        """See `Viewer.see`."""
        self._reader.see(frame)

    def _refused(self) -> None:
        # No answer is under way.
        self.finished = True

    def _return(self) -> None:
        self.finished = True
