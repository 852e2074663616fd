"""
Publishers, with and without idempotency keys, and those who start runs.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.reliability.requests import Answer, ask
from tests.reliability.world import World

#: Number. Most publishes of one publisher into one stream.
PUBLISHES = 60

#: Seconds. Longest pause between two publishes.
PAUSE = 0.5

#: Number. Most attempts to get one request answered.
ATTEMPTS = 100

#: Statuses of answers after which a request may be tried again; 0 is none.
AGAIN = {0, 429, 503}


class Publisher:
    """
    Makes streams, one after the other, and publishes into them.

    Args:
        world: What all actors share.
        name: Its name in the journal.
    """

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world
        self._luck = world.makeLuck(name)
        self._attempts = 0

    async def work(self) -> None:
        """Make one stream after the other until nothing new is begun."""
        count = 0
        while not self._world.over.is_set():
            count += 1
            stream = f"{self.name}-{count}"
            if await self._put(stream):
                self._world.add(stream)
                helper = Publisher(self._world, f"{self.name}-{count}-helper")
                await asyncio.gather(self.fill(stream, True), helper.fill(stream, False))
                self._world.drop(stream)

    async def fill(self, stream: str, close: bool) -> None:
        """
        Publish into a stream.

        Args:
            stream: Its name.
            close: Whether to end it.
        """
        for number in range(self._luck.randint(5, PUBLISHES)):
            await self._world.rest(self._luck.uniform(0, PAUSE))
            if self._world.over.is_set():
                break
            if not await self._publish(stream, number, False):
                return
        if close:
            await self._publish(stream, PUBLISHES, True)

    async def close(self, stream: str) -> None:
        """End a stream, unless it has ended."""
        for _ in range(ATTEMPTS):
            if (await self._attempt(stream, [], None, True)).status not in AGAIN:
                break
            await asyncio.sleep(self._luck.uniform(0, 0.5))

    async def _put(self, stream: str) -> bool:
        for _ in range(ATTEMPTS):
            answer = await self._ask("PUT", f"/streams/{stream}", {})
            if answer.status in {200, 201}:
                self._world.journal.note("made", stream=stream, epoch=answer.body["epoch"])
                return True
            if answer.status not in AGAIN:
                self._world.journal.note("unmade", stream=stream, status=answer.status)
                return False
            await asyncio.sleep(self._luck.uniform(0, 0.5))
        return False

    async def _publish(self, stream: str, number: int, close: bool) -> bool:
        """Publish once, as often as it takes. Returns whether the stream goes on."""
        key = f"{self.name}.{number}" if close or self._luck.random() < 0.6 else None
        entries = self._makeEntries(f"{self.name}.{number}")
        for repeat in range(ATTEMPTS):
            if key is None and repeat:
                # Nobody knows whether the last attempt was stored: this is another publish.
                entries = self._makeEntries(f"{self.name}.{number}.{repeat}")
            answer = await self._attempt(stream, entries, key, close)
            if answer.status == 200:
                return not close
            if answer.status not in AGAIN:
                return False
            await asyncio.sleep(self._luck.uniform(0, 0.5))
        return False

    async def _attempt(self, stream: str, entries: list[dict[str, str]], key: str | None, close: bool) -> Answer:
        self._attempts += 1
        attempt = f"{self.name}/{self._attempts}"
        note = self._world.journal.note
        note("send", attempt=attempt, stream=stream, entries=entries, key=key, close=close)
        fields = {"Content-Type": "application/json", "Stream-Closed": str(close).lower()}
        if key is not None:
            fields["Idempotency-Key"] = key
        answer = await self._ask("POST", f"/streams/{stream}", fields, json.dumps(entries).encode())
        ids = answer.body["ids"] if answer.status == 200 else None
        note("sent", attempt=attempt, status=answer.status, ids=ids)
        return answer

    async def _ask(self, method: str, path: str, fields: dict[str, str], body: bytes = b"") -> Answer:
        return await ask(self._luck.choice(self._world.fronts), method, path, fields, body)

    def _makeEntries(self, mark: str) -> list[dict[str, str]]:
        """Make entries with marks that exist only once. Tokens stand in brackets, so that joined ones can be told."""
        entries = []
        for index in range(self._luck.choice((1, 1, 1, 2, 3))):
            filling = self._luck.choice(("", " ", "\u2028", "😀", "\n", "x" * 3000, "data: \n\nid: 7\n\n"))
            if self._luck.random() < 0.7:
                entries.append({"token": f"⟦{mark}.{index}{filling}⟧"})
            else:
                entries.append({"event": "note", "data": f"{mark}.{index}{filling}"})
        return entries


class Starter:
    """
    Starts runs, one after the other; with the idempotency key of a run it asks for the same one again.

    Args:
        world: What all actors share.
        name: Its name in the journal.
    """

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self._world = world
        self._luck = world.makeLuck(name)

    async def work(self) -> None:
        """Start one run after the other until nothing new is begun."""
        count = 0
        while not self._world.over.is_set():
            count += 1
            stream = await self._start(f"{self.name}-{count}")
            if stream is None:
                continue
            self._world.add(stream)
            await self._world.rest(self._luck.uniform(1, 12))
            if self._luck.random() < 0.3:
                await self._start(f"{self.name}-{count}")
            if self._luck.random() < 0.15:
                await self._end(stream)
            self._world.drop(stream)

    async def _start(self, key: str) -> str | None:
        for _ in range(ATTEMPTS):
            front = self._luck.randrange(len(self._world.fronts))
            self._world.journal.note("start", key=key, front=front)
            fields = {"Idempotency-Key": key, "Content-Type": "application/json"}
            prompt = json.dumps({"prompt": key}).encode()
            answer = await ask(self._world.fronts[front], "POST", "/streams", fields, prompt)
            body: Any = answer.body or {}
            self._world.journal.note("started", key=key, front=front, status=answer.status, stream=body.get("name"))
            if answer.status == 201:
                name: str = body["name"]
                return name
            if answer.status not in AGAIN:
                return None
            await asyncio.sleep(self._luck.uniform(0, 0.5))
        return None

    async def _end(self, stream: str) -> None:
        """Cancel the stream, or delete it, at any server."""
        delete = self._luck.random() < 0.3
        self._world.journal.note("end", stream=stream, how="delete" if delete else "cancel")
        for _ in range(ATTEMPTS):
            request = ("DELETE", f"/streams/{stream}") if delete else ("POST", f"/streams/{stream}/cancel")
            answer = await ask(self._luck.choice(self._world.fronts), *request, {})
            if answer.status not in AGAIN:
                break
            await asyncio.sleep(self._luck.uniform(0, 0.5))
        self._world.journal.note("ended", stream=stream, status=answer.status)
