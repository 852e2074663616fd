"""
The scripts with which runs go over to another process. They are loaded only where that is wanted.
"""

from __future__ import annotations

from sseserver.stores.redis.script import Script, makeScript

#: Keeps the order of a run. Key: stream. Arguments: epoch, node, order. Returns whether the run is that of the node.
KEEP = Script("""#!lua flags=
local f = redis.call('HMGET', KEYS[1], 'epoch', 'state', 'owner')
if f[1] ~= ARGV[1] or f[2] ~= 'open' or f[3] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'order', ARGV[3])
return 1
""")

#: Takes a run over from a node that is gone. Keys: as for CREATE. Arguments: time, window, milliseconds to keep after
#: the end, old node, new node, number of times that a run may be begun anew, whether there is room, data of the entry
#: `restart` with `%d` for that number, another epoch, which the stream gets: see `refresh`. Returns the number of the
#: entry and the order, or a list of a word: the run is not that of the old node (`other`), must end (`spent`), or has
#: to wait (`room`).
TAKE = makeScript(
    """
local now, window, keep, old, new, limit = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local place = locate(1)
if not isRenewed(place.generation) then return {'generation'} end
local s = load(place.stream)
if not s or s.was ~= 'open' or s.owner ~= old then return {'other'} end
local f = redis.call('HMGET', place.stream, 'order', 'restarts')
local restarts = tonumber(f[2] or '0') + 1
if not f[1] or restarts > limit then return {'spent'} end
if ARGV[7] ~= '1' then return {'room'} end
checkEntries(s, place)
refresh(s, place, ARGV[9])
ARGV[8] = string.format(ARGV[8], restarts)
local message = add(s, place.entries, string.char(4), 8, now)
save(s, place, trim(s, place.entries, place.keys, window), now, keep)
redis.call('HSET', place.stream, 'owner', new, 'node', new, 'restarts', restarts)
index('HSET', place.runs, nameOf(place.stream), new)
redis.call('SPUBLISH', place.tail, message)
return {s.last, f[1]}
""",
    "allow-oom",
)
