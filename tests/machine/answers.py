"""
The answers to requests, compared with the model, which takes them up.
"""

from __future__ import annotations

import json
from typing import Any

from tests.machine.world import Asked, World
from tests.model import Stream


def mayRepeat(stream: Stream) -> bool:
    """Whether the key of a run is free again: the run failed, or its client was lost."""
    if not stream.over:
        return False
    end = stream.items[-1]
    return end.type == "failed" or (end.type == "cancelled" and json.loads(end.data)["reason"] == "linger")


class Answers(World):
    """Takes up the answer to each kind of request."""

    def _PUT(self, asked: Asked, status: int, response: Any) -> None:
        name, stream = asked.name, self.names.get(asked.name)
        if self.refused(asked, status):
            return
        if status == 409:
            assert (stream and (stream.over or stream.epoch == name)) or not asked.alone, asked
            return
        if status == 404:
            # Deleted before it was made.
            assert not asked.alone, asked
            return
        epoch = response.json["epoch"]
        if status == 200:
            assert (stream and stream.epoch == epoch) or not asked.alone, asked
            return
        assert status == 201, response
        if stream:
            self.forget(name)
        new = self.streams[epoch] = Stream(name, epoch)
        self.undead.pop(name, None)
        later = self.askedAfter(asked)
        if "cancel" in later:
            new.mayEnd.add(("cancelled", "asked"))
        if "DELETE" in later:
            new.forgotten = True
            new.mayEnd.add(("cancelled", "deleted"))
            self.raced[name] = new
        else:
            self.names[name] = new

    def askedAfter(self, asked: Asked) -> set[str]:
        """Return what is asked of the same name after a request, and not answered yet."""
        return {other.what for other in self.asked[self.asked.index(asked) + 1 :] if other.name == asked.name}

    def _publish(self, asked: Asked, status: int, response: Any) -> None:
        stream = self.names.get(asked.name)
        if self.refused(asked, status):
            return
        if status == 404:
            if asked.alone:
                self.forget(asked.name)
        elif status == 409:
            assert (stream and (stream.over or not stream.published)) or not asked.alone, (asked, stream)
        elif status == 422:
            assert asked.key, asked
            assert (stream and asked.key in stream.keys) or not asked.alone, (asked, stream)
        else:
            assert status == 200, response
            self.putIn(asked, response.json["ids"])

    def putIn(self, asked: Asked, ids: list[str]) -> None:
        """Put what was published into the model, unless it is there."""
        epoch, first = ids[0].split("-")
        stream, start = self.streams[epoch], int(first)
        count = len(asked.items) + asked.close
        assert ids == [stream.id(number) for number in range(start, start + count)], ids
        body = repr((asked.items, asked.close))
        if start <= len(stream.items):
            assert asked.key is not None, f"{ids} were given before"
            assert stream.keys[asked.key] == (body, start, start + count - 1), (asked, stream.keys)
            return
        if asked.key in stream.keys:
            _, _, last = stream.keys[asked.key]
            assert last < self.firstOf(stream), f"{asked} was published again"
        assert start == len(stream.items) + 1, f"{ids}, but the last was {len(stream.items)}"
        stream.add(*asked.items)
        if asked.close:
            stream.end("done", reason="stop", tokens=stream.tokens())
        if asked.key is not None:
            stream.keys[asked.key] = (body, start, start + count - 1)

    def firstOf(self, stream: Stream) -> int:
        """Read which entry is the first that is kept."""
        _, now = self.snapshot(stream.name)
        return now.first if now and now.epoch == stream.epoch else len(stream.items) + 1

    def _run(self, asked: Asked, status: int, response: Any) -> None:
        if self.refused(asked, status):
            return
        assert status == 201, response
        name = response.json["name"]
        known = self.runKeys.get(asked.key or "")
        free = known and (self.mayBeForgotten(known) or mayRepeat(known))
        if known and not known.forgotten and not (known.name != name and free):
            assert known.name == name, f"{asked.key} gave {known.name} first and now {name}"
            return
        if known and known.name == name and self.undead.get(name) is known:
            # As long as it is not deleted, it may be joined.
            return
        assert name not in self.streams, f"{name} is another run's"
        script = self.source.runs[self.runs]
        self.runs += 1
        stream = self.streams[name] = self.names[name] = Stream(name, name, script, published=False)
        # It began between the request and the answer.
        stream.quietSince, stream.quietBy = asked.when, self.reactor.seconds()
        if asked.key:
            self.runKeys[asked.key] = stream

    def _cancel(self, asked: Asked, status: int, response: Any) -> None:
        stream = self.names.get(asked.name)
        if self.refused(asked, status):
            return
        if status == 404:
            if asked.alone:
                self.forget(asked.name)
            return
        assert status == 200, response
        state = response.json
        stream = self.streams[state["epoch"]]
        assert state["state"] != "open", response
        if stream.published and not stream.over and state["state"] == "cancelled":
            reasons = ["asked", "deleted"] if stream.forgotten else ["asked"]
            if reasons == ["asked"]:
                stream.end("cancelled", reason="asked")
                assert state["last"] == len(stream.items), (state, stream)

    def _DELETE(self, asked: Asked, status: int, response: Any) -> None:
        if self.refused(asked, status):
            # It is there as before; but for a run, which was stopped.
            if asked.stream and not asked.stream.published:
                self.end(asked.stream, "cancelled", reason="asked")
            return
        if status == 404:
            # Its time may be over, and the store at work on that: it can still fail.
            assert asked.stream is None or self.mayBeForgotten(asked.stream) or not asked.alone, asked
            if asked.name in self.raced and "DELETE" not in self.askedAfter(asked):
                # It was looked for before it was made.
                self.names[asked.name] = raced = self.raced.pop(asked.name)
                raced.forgotten = False
            return
        assert status == 204, response
        self.raced.pop(asked.name, None)
        if self.undead.get(asked.name) is asked.stream:
            self.undead.pop(asked.name, None)
