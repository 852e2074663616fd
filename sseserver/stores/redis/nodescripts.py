"""
The scripts about nodes, which are processes, and their leases.
"""

from __future__ import annotations

from sseserver.stores.redis.script import Script, makeScript

#: Number. Nodes whose leases are over, of one look.
MOST_NODES = 100

#: Renews the lease of a node. Keys: nodes. Arguments: node, seconds. Returns whether the lease had run out, nodes whose
#: leases have, and the generation of the server.
LEASE = makeScript(
    """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local before = index('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.3f', now + tonumber(ARGV[2])), ARGV[1])
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.3f', now), 'LIMIT', 0, MOST_NODES)
return {(before and tonumber(before) >= now) and 0 or 1, over, generation}
""".replace("MOST_NODES", str(MOST_NODES)),
    "allow-oom",
)

#: Gives leases to nodes that have none. Keys: nodes. Arguments: seconds, nodes. Returns nothing.
ADOPT = Script("""#!lua flags=allow-oom
local time = redis.call('TIME')
local over = string.format('%.3f', tonumber(time[1]) + tonumber(time[2]) / 1e6 + tonumber(ARGV[1]))
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'NX', over, ARGV[i]) end
""")

#: Forgets a node, unless it has renewed its lease. Keys: nodes. Arguments: node.
FORGET = Script("""#!lua flags=allow-oom
local over = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 'inf')
if over < tonumber(redis.call('TIME')[1]) then return redis.call('ZREM', KEYS[1], ARGV[1]) end
return 0
""")
