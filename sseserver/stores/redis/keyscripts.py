"""
The scripts about keys of directories.
"""

from __future__ import annotations

from sseserver.stores.redis.damage import DAMAGED
from sseserver.stores.redis.script import Script, makeScript

#: Claims a key of a directory. Keys: its hash. Arguments: digest of the request, node, milliseconds of the claim.
#: Returns a list of a word and, if a stream has the key, its name and epoch. Every key expires, so one that does not is
#: that of a foreign hand.
CLAIM = Script(
    """#!lua flags=
local f = redis.call('HMGET', KEYS[1], 'digest', 'name', 'epoch')
local makesSense = (not f[1] or f[1]:find('^%x+$')) and (not f[3] or (f[2] and #f[3] > 0))
if (f[1] or f[3]) and not (makesSense and redis.call('PTTL', KEYS[1]) >= 0) then return {err = 'DAMAGED_WORD'} end
if f[1] and f[1] ~= ARGV[1] then return {'reused'} end
if f[3] then return {'bound', f[2], f[3]} end
if f[1] then return {'wait'} end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'node', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'mine'}
""".replace("DAMAGED_WORD", DAMAGED)
)

#: Gives a key of a directory to a stream. Keys: its hash. Arguments: name and epoch of the stream, node, milliseconds
#: to keep it, whether it is tried again: then only if the node still has its claim, or nobody has the key; and the
#: digest of the request or nothing. Returns whether the stream has it.
BIND = makeScript(
    """
local f = index('HMGET', KEYS[1], 'node', 'epoch')
if ARGV[5] == '1' and ((f[1] and f[1] ~= ARGV[3]) or (f[2] and f[2] ~= ARGV[2])) then return 0 end
redis.call('HSET', KEYS[1], 'name', ARGV[1], 'epoch', ARGV[2])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'digest', ARGV[6], 'node', ARGV[3]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[4])
""",
    "allow-oom",
)

#: Drops a key of a directory. Keys: its hash. Arguments: epoch of its stream, or nothing for a claim; node.
RELEASE = Script("""#!lua flags=allow-oom
local f = redis.call('HMGET', KEYS[1], 'epoch', 'node')
if ARGV[1] == (f[1] or '') and (f[1] or f[2] == ARGV[2]) then return redis.call('DEL', KEYS[1]) end
return 0
""")
