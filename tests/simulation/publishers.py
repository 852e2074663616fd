"""
Publishers: actors that open streams, publish into them, and repeat what was not answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.simulation.payloads import Sent, makeText
from tests.simulation.viewers import Stage, parseID
from tests.simulation.wire import Exchange, Query, Reply

#: Types of published events.
_TYPES = ("message", "headline", "x-y", "tick")

#: Requests with the same body until the publisher gives up.
_MOST = 12


#: Characters. A publisher of such entries also has batches of many entries.
LARGE = 200_000

#: Entries of such a batch.
MANY = 2500


@dataclass(frozen=True, slots=True)
class Batch:
    """
    The content of one publish.

    Attributes:
        entries: The entries.
        kind: Media type of the body.
        body: The body.
        key: Idempotency key; empty for none.
        close: Whether the stream ends after them.
    """

    entries: tuple[Sent, ...]
    kind: str
    body: bytes
    key: str
    close: bool


class Publisher:
    """
    Publishes batches into one stream, one after the other.

    Args:
        stage: See `Stage`.
        number: Of this publisher, in its markers.
        stream: Name of the stream.
        batches: Number of batches.
        size: Characters of the largest entry.
        closes: Whether the last batch ends the stream.

    Attributes:
        finished: Whether everything was published, or given up.
        refused: Whether the last answer was that there is no room.
    """

    def __init__(self, stage: Stage, number: int, stream: str, batches: int, size: int, closes: bool) -> None:
        self.finished = self.refused = False
        self.exchange: Exchange | None = None
        self.name = f"p{number}"
        self.stream = stream
        self._stage = stage
        self._left = batches
        self._size = size
        self._closes = closes
        self._entries = 0
        self._batch: Batch | None = None
        self._tries = 0
        # Life of the server that was asked.
        self._life = 0
        self._askedAt = 0.0
        stage.truth.published.add(stream)

    def start(self) -> None:
        """Open the stream."""
        self._ask(Query("PUT", f"/streams/{self.stream}"), self._opened)

    def _ask(self, query: Query, answered: Any) -> None:
        self._life = self._stage.truth.lives
        self._askedAt = self._stage.now
        self._stage.history.add(self.name, f"{query.method} {query.path} {(query.body or b'')[:100]!r}")
        exchange = self.exchange = self._stage.ask(query, answered, timeout=10.0)
        if self._stage.chance.random() < 0.1:
            # The request may be on its way, or its answer.
            self._stage.after(round(self._stage.chance.random() * 0.1, 3), exchange.cut)

    def _opened(self, reply: Reply) -> None:
        self.refused = reply.status in (429, 503)
        self._stage.history.add(self.name, f"open: {reply.status}")
        if reply.status in (200, 201):
            if reply.complete:
                state = reply.json
                self._stage.truth.exists(self.name, self.stream, state["epoch"], self._life)
                self._stage.truth.fates.meet(self.name, state["epoch"], self._askedAt)
                self._stage.truth.fates.use(state["epoch"], self._askedAt)
                if reply.status == 201 and state["last"]:
                    self._blame("new", f"a new stream has {state['last']} entries")
            self._continue()
        elif reply.status in (0, 429, 503):
            self._tries += 1
            self._later(self.start, reply.retryAfter if reply.status == 429 else None)
        elif reply.status == 409:
            self.finished = True
        else:
            self._blame("status", f"PUT is answered {reply.status} {reply.body[:200]!r}")
            self.finished = True

    def _blame(self, rule: str, text: str) -> None:
        self._stage.history.blame(rule, f"{self.name} in {self.stream}: {text}")

    def _later(self, call: Any, wait: int | None = None) -> None:
        """Go on after some time, or after the seconds of `Retry-After`."""
        if self._tries > _MOST:
            self.finished = True
        else:
            self._stage.after(round(self._stage.chance.random(), 3) + 0.1 if wait is None else wait, call)

    def _continue(self) -> None:
        if self._batch is None and not self._left:
            self.finished = True
        elif self._batch is None:
            self._left -= 1
            self._tries = 0
            self._batch = self._make(close=self._closes and not self._left)
        if self._batch is not None:
            self._stage.after(round(self._stage.chance.random() * 0.5, 3), self._publish)

    def _make(self, close: bool) -> Batch:
        """Make the next batch."""
        chance = self._stage.chance
        kind = chance.choice(("application/json", "application/json", "text/plain", "text/event-stream"))
        count = 1 if kind == "text/plain" else chance.choice((1, 1, 2, 5))
        if count > 1 and self._size >= LARGE and chance.random() < 0.4:
            # The body is decoded in several turns.
            count = MANY
        entries = []
        key = f"{self.name}-{self._entries + count}" if chance.random() < 0.6 else ""
        for _ in range(count):
            self._entries += 1
            marker = f"{self.name}.{self._entries}"
            size = chance.randint(0, self._size) if count < MANY and chance.random() < 0.3 else 0
            text = makeText(chance, marker, size)
            event: str | None = chance.choice(_TYPES)
            if kind == "text/plain":
                event = "message"
            elif kind == "text/event-stream":
                text = text.replace("\r", "")
            elif chance.random() < 0.6:
                event = None
            entries.append(Sent(marker, text, event, key))
            self._stage.truth.send(entries[-1])
        return Batch(tuple(entries), kind, _write(kind, entries), key, close)

    def _publish(self) -> None:
        batch = self._batch
        assert batch is not None
        self._tries += 1
        headers = {"Content-Type": batch.kind}
        if batch.key:
            headers["Idempotency-Key"] = batch.key
        if batch.close:
            self._stage.truth.closing.add(self.stream)
            headers["Stream-Closed"] = "true"
        attempts = self._stage.truth.attempts
        for entry in batch.entries:
            # A key is forgotten with its entries, when the window of the stream drops them: see `Repeats`.
            isOnce = batch.key and not self._stage.truth.trims
            attempts[entry.marker] = 1 if isOnce else attempts[entry.marker] + 1
        self._ask(Query("POST", f"/streams/{self.stream}", headers, batch.body), self._answered)

    def _answered(self, reply: Reply) -> None:
        self.refused = reply.status in (429, 503)
        stage, batch = self._stage, self._batch
        assert batch is not None
        stage.history.add(self.name, f"answer: {reply.status} {reply.body[:200]!r}")
        if reply.status == 200:
            if reply.complete:
                self._acknowledged(batch, reply.json)
            if batch.key and self._tries == 1 and stage.chance.random() < 0.3:
                # A client that was not told repeats what is there, at any time.
                self._later(self._publish)
                return
            self._batch = None
            self._continue()
        elif reply.status == 0:
            # Nobody knows whether it was published. Without a key it may be there twice now, if it is repeated.
            if not batch.key and stage.chance.random() < 0.5:
                self._batch = None
                self._continue()
            else:
                self._later(self._publish)
        else:
            self._refused(batch, reply)

    def _refused(self, batch: Batch, reply: Reply) -> None:
        """Take an answer that says that nothing was published."""
        if not batch.key:
            for entry in batch.entries:
                self._stage.truth.attempts[entry.marker] -= 1
        if reply.status in (429, 503):
            self._later(self._publish, reply.retryAfter if reply.status == 429 else None)
        elif reply.status == 404:
            if not self._stage.truth.mayBeGone(self.stream):
                self._blame("gone", "404 for a stream that was opened")
            self._tries += 1
            self._later(self.start)
        elif reply.status == 409:
            self.finished = True
        else:
            self._blame("status", f"{reply.status} {reply.body[:200]!r}")
            self.finished = True

    def _acknowledged(self, batch: Batch, answer: Any) -> None:
        truth = self._stage.truth
        ids = answer["ids"] if "ids" in answer else [answer["first"], answer["last"]]
        first, last = parseID(ids[0]), parseID(ids[-1])
        if first is None or last is None or last[1] - first[1] + 1 != len(batch.entries) + batch.close:
            self._blame("answer", f"{ids} for {len(batch.entries)} entries")
            return
        epoch = first[0]
        if not batch.key and self._life == truth.lives:
            truth.keyless[truth.lives] += len(batch.entries)
        truth.know(epoch, self.stream, self.name)
        truth.fates.meet(self.name, epoch, self._askedAt)
        truth.fates.use(epoch, self._askedAt)
        for offset, entry in enumerate(batch.entries):
            truth.promise(self.name, epoch, first[1] + offset, entry.marker, self._life)
        if batch.close:
            truth.place(self.name, epoch, last[1], "end done stop")


def _write(kind: str, entries: list[Sent]) -> bytes:
    """Write the body of a publish."""
    if kind == "text/plain":
        return entries[0].text.encode()
    if kind == "text/event-stream":
        return "".join(
            f"event: {entry.type}\n" + "".join(f"data: {line}\n" for line in entry.text.split("\n")) + "\n"
            for entry in entries
        ).encode()
    items = [
        {"token": entry.text} if entry.type is None else {"event": entry.type, "data": entry.text} for entry in entries
    ]
    return json.dumps(items if len(items) > 1 else items[0]).encode()


class Opener:
    """
    Opens a stream of its own together with its first entries, and repeats that until it is answered.

    Args:
        stage: See `Stage`.
        number: Of this opener, in its markers.
        closes: Whether the stream ends after the entries.

    Attributes:
        finished: Whether it was answered, or has given up.
        refused: Whether the last answer was that there is no room.
    """

    def __init__(self, stage: Stage, number: int, closes: bool) -> None:
        self.finished = self.refused = False
        self.exchange: Exchange | None = None
        self.name = f"p{number}"
        self.stream = f"opened{number}"
        self._stage = stage
        self._tries = 0
        self._life = 0
        truth, chance = stage.truth, stage.chance
        truth.published.add(self.stream)
        headers = {"Content-Type": "application/json"}
        if closes:
            truth.closing.add(self.stream)
            headers["Stream-Closed"] = "true"
        if chance.random() < 0.5:
            headers["Idempotency-Key"] = f"{self.name}-open"
        markers = [f"{self.name}.{index}" for index in range(1, chance.randint(2, 5))]
        self._entries = [Sent(marker, makeText(chance, marker, 0), "message") for marker in markers]
        for entry in self._entries:
            truth.send(entry)
            # Without a key of its own the request has the one of its stream.
            truth.attempts[entry.marker] = 1
        body = _write("application/json", self._entries)
        self._query = Query("PUT", f"/streams/{self.stream}", headers, body)

    def start(self) -> None:
        """Send the request."""
        self._tries += 1
        self._life = self._stage.truth.lives
        self._stage.history.add(self.name, f"opens {self.stream}")
        self.exchange = self._stage.ask(self._query, self._answered, timeout=10.0)

    def _answered(self, reply: Reply) -> None:
        self.refused = reply.status in (429, 503)
        stage, truth = self._stage, self._stage.truth
        stage.history.add(self.name, f"answer: {reply.status} {reply.body[:200]!r}")
        if reply.status in (200, 201) and reply.complete:
            self.finished = True
            state = reply.json
            truth.exists(self.name, self.stream, state["epoch"], self._life)
            for number, entry in enumerate(self._entries, 1):
                truth.promise(self.name, state["epoch"], number, entry.marker, self._life)
            if reply.status == 201 and state["last"] < len(self._entries):
                stage.history.blame("new", f"{self.name}: {self.stream} has {state['last']} entries")
        elif reply.status in (0, 200, 201, 503) and self._tries <= _MOST:
            stage.after(round(stage.chance.random(), 3) + 0.1, self.start)
        else:
            self.finished = True
            # Somebody has ended the stream, or has deleted it together with its key.
            if reply.status not in (0, 200, 201, 409, 503):
                stage.history.blame("status", f"{self.name}: {reply.status} {reply.body[:200]!r}")
