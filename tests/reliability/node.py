"""
Viewers with npm's `eventsource`, in one process of Node.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from tests.integration.node import nodeFolder
from tests.reliability.world import World

#: Fixed, so that a new release does not fail our tests; the same as in tests/integration/test_foreign.py.
PACKAGES = ("eventsource@3.0.7", "eventsource-parser@3.1.1")

SCRIPT = """
import {EventSource} from "eventsource";
import {createInterface} from "node:readline";

const TYPES = ["stream", "gap", "message", "note", "restart", "done", "failed", "cancelled"];
const tell = object => process.stdout.write(JSON.stringify(object) + "\\n");

const follow = (viewer, url, place) => {
    const source = new EventSource(place ? `${url}?last_event_id=${place}` : url);
    source.onopen = () => tell({do: "open", viewer, after: place});
    for (const type of TYPES) source.addEventListener(type, event => {
        place = event.lastEventId;
        tell({do: "event", viewer, type, id: place, data: event.data});
        if (["done", "failed", "cancelled"].includes(type)) {
            source.close();
            tell({do: "left", viewer, how: "end"});
        }
    });
    source.onerror = event => {
        if (source.readyState !== EventSource.CLOSED) return tell({do: "lost", viewer, error: event.message});
        tell({do: "refused", viewer, status: event.code});
        if (event.code === 404) tell({do: "left", viewer, how: "missing"});
        else if (event.code === 204) tell({do: "left", viewer, how: "complete"});
        else setTimeout(() => follow(viewer, url, place), 500);
    };
};

createInterface({input: process.stdin}).on("line", line => {
    const {viewer, url} = JSON.parse(line);
    follow(viewer, url, "");
});
"""


class NodeViewers:
    """
    Viewers with npm's `eventsource`.

    Args:
        world: What all actors share.
        count: Number of viewers at a time.
    """

    def __init__(self, world: World, count: int) -> None:
        self._world = world
        self._count = count
        self._luck = world.makeLuck("node")
        self._views = 0
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Install the package, and start Node."""
        folder: Path = await asyncio.to_thread(nodeFolder, SCRIPT, *PACKAGES)
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            "node", "main.js", cwd=folder, stdin=pipe, stdout=pipe, limit=1 << 20
        )

    async def work(self) -> None:
        """Begin a view whenever there are too few, and write down what the viewers see."""
        assert self._process is not None
        reading = asyncio.ensure_future(self._read())
        while not self._world.over.is_set():
            if self._world.streams and self._open < self._count:
                self._begin(self._luck.choice(self._world.streams[-40:]))
            await self._world.rest(0.1)
        await self._idle.wait()
        self._process.kill()
        await reading
        await self._process.wait()

    async def stop(self) -> None:
        """End Node."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _begin(self, stream: str) -> None:
        self._views += 1
        self._open += 1
        self._idle.clear()
        viewer = f"node.{self._views}"
        self._world.journal.note("view", viewer=viewer, stream=stream)
        url = f"http://127.0.0.1:{self._world.balancer}/streams/{stream}"
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"viewer": viewer, "url": url}).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            seen = json.loads(line)
            self._world.journal.note(seen.pop("do"), **seen)
            self._open -= "how" in seen
            if not self._open:
                self._idle.set()
