"""
Planted bugs: does the simulation of a Redis notice when the Redis store is broken?

`python -m tests.simulation.redis.planted` copies the tree, breaks the copy in one way after the other, and runs seeds
until one breaks a promise. `python -m tests.simulation.redis.planted WORD` plants only the bugs whose names contain the
word.
"""

from __future__ import annotations

import sys
import time

from tests.reliability.planted import PLANTS as COMMON
from tests.reliability.planted import Plant
from tests.simulation.planted import Bug, find
from tests.simulation.redis.play import play


def _change(file: str, old: str, new: str) -> Bug:
    return Bug(file, f"stores/redis/{file}.py", old, new)


#: Streams are never compared with Redis: that would repair most of what is missed.
_NO_COMPARISON = _change("follower", "silent > limit and", "False and")

#: Number. Seeds in which each bug must be found.
SEEDS = 500

#: The bugs of the run in Jepsen's manner, and others that need worse luck than a real Redis has.
PLANTS = (
    *COMMON,
    Plant("lost wake-up", (_change("follower", "        self.release(stream)\n\n", "\n"), _NO_COMPARISON)),
    Plant(
        "no new subscription",
        (
            _change("follower", "self._client.follow(*self.noteDeaf(concerns))", "self.noteDeaf(concerns)"),
            _change("follower", "is Tracking.JOINING and silent > CONFIRMATION:", "is Tracking.JOINING and False:"),
            _NO_COMPARISON,
        ),
    ),
    Plant("entries appended twice", (_change("scripts", "if s.last + 1 ~= first then", "if false then"),)),
    Plant(
        "two ends", (_change("scripts", "if s.was ~= 'open' then return {'ended', s.last} end\nif owner", "if owner"),)
    ),
    Plant("a repeated publish is doubled", (_change("scripts", "  if use then\n", "  if false then\n"),)),
    Plant(
        "a run keeps its epoch whoever writes it",
        (
            _change(
                "script",
                "local function refresh(s, place, epoch)\n",
                "local function refresh() end\nlocal function _()\n",
            ),
        ),
    ),
    Plant(
        "a takeover keeps the epoch",
        (
            _change("restartscripts", "refresh(s, place, ARGV[9])\n", ""),
            _change("takeover", " or stream.epoch != run.epoch:", ":"),
        ),
    ),
    Plant("runs are not begun anew", (_change("restartscripts", "or restarts > limit then", "or restarts > 0 then"),)),
    Plant("restarts are not counted", (_change("restartscripts", "'restarts', restarts)", "'restarts', 0)"),)),
    Plant(
        "viewers are not told of a restart",
        (
            _change(
                "restartscripts",
                "add(s, place.entries, string.char(4), 8, now)",
                "'*' .. s.epoch .. ' ' .. s.last",
            ),
        ),
    ),
    Plant(
        "viewers keep what is lost",
        (_change("follower", "        elif epochs.get(stream.epoch, -1) <", "        elif 1 << 60 <"),),
    ),
    Plant("runs end with an outage", (_change("leases", "if now - self._heldSince < self.lease:", "if False:"),)),
    Plant(
        "a run without an answer stays",
        (_change("registry", "            self._session.node.doubt()", "            pass"),),
    ),
    Plant(
        "the dead are not buried", (_change("leases", "if node not in self._burying and node", "if False and node"),)
    ),
    Plant(
        "a key is bound to nothing",
        (_change("keyscripts", "redis.call('HSET', KEYS[1], 'name', ARGV[1], 'epoch', ARGV[2])", ""),),
    ),
)


def main(words: list[str]) -> int:
    """Plant the bugs whose names contain one of the words, or all; return how many were not found."""
    missed = 0
    for plant in PLANTS:
        if not words or any(word in plant.name for word in words):
            began = time.monotonic()
            found = find(plant, SEEDS, play)
            missed += not found
            print(f"{plant.name}: {found[:200] or 'NOT FOUND'} ({time.monotonic() - began:.0f} s)", flush=True)  # noqa: T201
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
