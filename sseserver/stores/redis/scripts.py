"""
The scripts that change streams in Redis, each atomically.

Scripts, unlike functions, need no permission to be installed, and survive in no backup. They are called by their hash.
Every script that changes a stream compares the generation of the server with that of its shard, and refuses if they
differ: the shard must be renewed first (`RENEW`). The generation is the replication ID of the server. It is a new one
whenever writes may be lost: at each start of a master, and when a replica becomes the master. The scripts ask the
server for it, since a client would not notice that its server has been a replica for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1

from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import KEY_COST

#: Bytes. Messages with more data only tell how far to read.
LARGE = 64 * 1024

# The numbers of kinds stand for `sseserver.values.Kind`: 0 and 2 have text, 8 and more are terminal.
_COMMON = """
local STATES = {[8] = 'done', [9] = 'failed', [10] = 'cancelled'}
local generation = redis.call('INFO', 'replication'):match('master_replid:(%x+)')

local function isRenewed(key)
  return redis.call('GET', key) == generation
end

-- Appends the entries in ARGV[from], ARGV[from + 1] and so on. `s` has epoch, last, size and tokens, which it changes.
-- Returns the message for followers.
local function add(s, entries, kinds, from, now)
  local first, sizes, bytes = s.last + 1, {}, 0
  for i = 1, #kinds do
    local kind, data = kinds:byte(i), ARGV[from + i - 1]
    redis.call('XADD', entries, (first + i - 1) .. '-0', 'kind', kind, 'data', data)
    if kind == 0 or kind == 2 then s.tokens = s.tokens + 1 end
    sizes[i], bytes = #data, bytes + #data
  end
  s.last, s.size = s.last + #kinds, s.size + bytes
  s.state = STATES[kinds:byte(#kinds)]
  if s.state then s.terminal = ARGV[from + #kinds - 1] end
  if bytes > LARGE_MESSAGE then return '*' .. s.epoch .. ' ' .. s.last end
  return '+' .. s.epoch .. ' ' .. first .. ' ' .. table.concat(sizes, ',') .. ' ' .. (s.state and now or '') .. '\\n'
    .. kinds .. table.concat(ARGV, '', from, from + #kinds - 1)
end

-- Drops the oldest entries if the stream is larger than the window, and the keys that go with them.
-- Returns fields to be changed.
local function trim(s, entries, keysKey, window)
  local cost = s.size + ENTRY_COST * (s.last - s.first + 1) + s.keyBytes
  if cost <= window or s.last == s.first then return {} end
  local excess, least, freed, uses = cost - window + math.floor(window / 16), 0, 0, {}
  if s.keyBytes > 0 then
    local known = redis.call('HGETALL', keysKey)
    for i = 1, #known, 2 do
      uses[#uses + 1] = {known[i], tonumber(known[i + 1]:match('^%d+ (%d+) '))}
    end
    table.sort(uses, function(a, b) return a[2] < b[2] end)
  end
  local dropped, at, first, size, cr, full = 0, 1, s.first, 0, nil, false
  while not full do
    local page = redis.call('XRANGE', entries, first .. '-0', '+', 'COUNT', 256)
    if #page == 0 then break end
    for _, entry in ipairs(page) do
      local number = tonumber(entry[1]:match('^%d+'))
      while uses[at] and uses[at][2] < number do
        if dropped + freed < excess then
          least, freed = dropped, freed + KEY_COST + #uses[at][1]
        end
        at = at + 1
      end
      if number >= s.last or (dropped >= math.max(least, excess - freed) and dropped > 0) then full = true break end
      local kind, data = tonumber(entry[2][2]), entry[2][4]
      dropped, size, first = dropped + ENTRY_COST + #data, size + #data, number + 1
      if kind == 0 or kind == 2 then cr = data:sub(-1) == '\\r' and 1 or 0 end
    end
  end
  redis.call('XTRIM', entries, 'MINID', first .. '-0')
  s.first, s.size = first, s.size - size
  for _, use in ipairs(uses) do
    if use[2] < first then
      redis.call('HDEL', keysKey, use[1])
      s.keyBytes = s.keyBytes - KEY_COST - #use[1]
    end
  end
  local changed = {'first', first, 'keyBytes', s.keyBytes}
  if cr then changed[5], changed[6] = 'trimmedCR', cr end
  return changed
end

-- Stores the fields that `add` and `trim` have changed. An ended stream expires.
local function save(s, place, changed, now, keep)
  local n = #changed
  changed[n + 1], changed[n + 2] = 'last', s.last
  changed[n + 3], changed[n + 4] = 'size', s.size
  changed[n + 5], changed[n + 6] = 'tokens', s.tokens
  if s.state then
    changed[n + 7], changed[n + 8] = 'state', s.state
    changed[n + 9], changed[n + 10] = 'ended', now
    -- Once more, in case that a foreign hand deletes the entry.
    changed[n + 11], changed[n + 12] = 'terminal', s.terminal
  end
  redis.call('HSET', place.stream, unpack(changed))
  if s.state then
    redis.call('HDEL', place.runs, s.name)
    redis.call('HDEL', place.stream, 'order')
    if s.published then redis.call('ZREM', place.idle, s.name) end
    redis.call('PEXPIRE', place.stream, keep)
    redis.call('PEXPIRE', place.entries, keep)
    redis.call('PEXPIRE', place.keys, keep)
  end
end

-- Gives another epoch to a stream that somebody else than its owner is about to write: if Redis lost these entries, the
-- owner would use their numbers again.
local function refresh(s, place, epoch)
  local epochs = redis.call('HGET', place.stream, 'epochs') .. s.epoch .. '-' .. s.last .. ' '
  redis.call('HSET', place.stream, 'epoch', epoch, 'epochs', epochs)
  redis.call('SPUBLISH', place.tail, '=' .. s.epoch .. ' ' .. epoch .. ' ' .. s.last)
  s.epoch = epoch
end

local function load(stream)
  local f = redis.call('HMGET', stream, 'epoch', 'state', 'last', 'size', 'tokens', 'first', 'keyBytes', 'owner',
    'name', 'published', 'node')
  if not f[1] then return nil end
  return {epoch = f[1], was = f[2], last = tonumber(f[3]), size = tonumber(f[4]), tokens = tonumber(f[5]),
    first = tonumber(f[6]), keyBytes = tonumber(f[7]), owner = f[8], name = f[9], published = f[10] == '1',
    node = f[11]}
end

local function locate(at)
  return {generation = KEYS[at], stream = KEYS[at + 1], entries = KEYS[at + 2], keys = KEYS[at + 3],
    runs = KEYS[at + 4], tail = KEYS[at + 5], idle = KEYS[at + 6]}
end
"""

for _name, _value in (("LARGE_MESSAGE", LARGE), ("ENTRY_COST", ENTRY_COST), ("KEY_COST", KEY_COST)):
    _COMMON = _COMMON.replace(_name, str(_value))


@dataclass(frozen=True, slots=True)
class Script:
    """
    One script.

    Attributes:
        text: The program.
        name: Its hash, by which it is called.
    """

    text: str
    name: str = field(init=False)

    def __post_init__(self) -> None:
        """Hash the text."""
        object.__setattr__(self, "name", sha1(self.text.encode()).hexdigest())  # noqa: S324  (Redis's choice)


def makeScript(body: str, flags: str = "") -> Script:
    """
    Make a script that changes streams.

    Args:
        body: The program after the common functions.
        flags: Its flags.
    """
    return Script(f"#!lua flags={flags}\n{_COMMON}{body}")


#: Counts the processes that follow a stream. Key: tail.
FOLLOWERS = makeScript("return redis.call('PUBSUB', 'SHARDNUMSUB', KEYS[1])[2]")

#: Makes a stream. Keys: generation, stream, entries, keys, runs, tail, idle, streams. Arguments: name,
#: epoch, whether it is published, time, question, node, end of the time without use. Returns 1, or a word.
CREATE = makeScript("""
if not isRenewed(KEYS[1]) then return 'generation' end
if redis.call('EXISTS', KEYS[2]) == 1 then return 'exists' end
local name, epoch, published, now, question, node, unused = unpack(ARGV)
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('HSET', KEYS[2], 'name', name, 'epoch', epoch, 'epochs', '', 'published', published, 'created', now,
  'question', question, 'node', node, 'owner', published == '1' and '' or node, 'state', 'open', 'first', 1,
  'last', 0, 'size', 0, 'tokens', 0, 'keyBytes', 0, 'trimmedCR', 0)
redis.call('ZADD', KEYS[8], now, name)
if published == '1' then redis.call('ZADD', KEYS[7], unused, name) else redis.call('HSET', KEYS[5], name, node) end
return 1
""")

#: Appends entries to runs, for each of which there are six keys (generation, stream, entries, keys, runs, tail).
#: Arguments: node, time, window, milliseconds to keep after the end; then for each: epoch, number of the first entry,
#: kinds, and the data of each entry. Returns for each the number of the last entry, or a pair of a word and that
#: number.
APPEND = makeScript("""
local node, now, window, keep = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local function append(place, epoch, first, kinds, from)
  if not isRenewed(place.generation) then return {'generation', 0} end
  local s = load(place.stream)
  if not s then return {'missing', 0} end
  if s.was == 'open' and s.owner ~= node then return {'owner', s.last} end
  if s.epoch ~= epoch then return {'missing', 0} end
  if s.was ~= 'open' then return {'ended', s.last} end
  if s.last + 1 ~= first then return {'moved', s.last} end
  if #kinds == 0 then return s.last end
  local message = add(s, place.entries, kinds, from, now)
  save(s, place, trim(s, place.entries, place.keys, window), now, keep)
  redis.call('SPUBLISH', place.tail, message)
  return s.last
end
local results, at = {}, 5
for i = 1, #KEYS, 6 do
  local kinds = ARGV[at + 2]
  local fine, result = pcall(append, locate(i), ARGV[at], tonumber(ARGV[at + 1]), kinds, at + 3)
  if not fine then result = {type(result) == 'table' and result.err or tostring(result), -1} end
  results[#results + 1] = result
  at = at + 3 + #kinds
end
return results
""")

#: Publishes entries. Keys: as for CREATE. Arguments: time, window, milliseconds to keep after the end,
#: idempotency key, digest, number that the first entry must get or 0, whether to close, whether there is room, end of
#: the time without use, data of the entry `done` with `%d` for the tokens, kinds, and the data of each entry. Returns
#: the epoch, the numbers of the first and of the last entry and whether it is a repeat, or a list of word and state.
PUBLISH = makeScript(
    """
local now, window, keep, key, digest = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local expected, close, room, unused = tonumber(ARGV[6]), ARGV[7] == '1', ARGV[8] == '1', ARGV[9]
local done, kinds, place = ARGV[10], ARGV[11], locate(1)
if not isRenewed(place.generation) then return {'generation', ''} end
local s = load(place.stream)
if not s then return {'missing', ''} end
if key ~= '' then
  local use = redis.call('HGET', place.keys, key)
  if use then
    local first, last, before = use:match('^(%d+) (%d+) (%x+)$')
    if before ~= digest then return {'reused', ''} end
    return {s.epoch, tonumber(first), tonumber(last), 1}
  end
end
if not s.published then return {'run', ''} end
if s.was ~= 'open' then return {'ended', s.was} end
if not room then return {'room', ''} end
if expected > 0 and expected ~= s.last + 1 then return {'moved', s.last} end
local first = s.last + 1
if close then
  local tokens = s.tokens
  for i = 1, #kinds do
    local kind = kinds:byte(i)
    if kind == 0 or kind == 2 then tokens = tokens + 1 end
  end
  ARGV[12 + #kinds] = string.format(done, tokens)
  kinds = kinds .. string.char(8)
end
local message = add(s, place.entries, kinds, 12, now)
if key ~= '' then
  redis.call('HSET', place.keys, key, first .. ' ' .. s.last .. ' ' .. digest)
  s.keyBytes = s.keyBytes + KEY_COST + #key
end
local changed = trim(s, place.entries, place.keys, window)
if key ~= '' and #changed == 0 then changed = {'keyBytes', s.keyBytes} end
save(s, place, changed, now, keep)
if not s.state then redis.call('ZADD', place.idle, unused, s.name) end
redis.call('SPUBLISH', place.tail, message)
return {s.epoch, first, s.last, 0}
""".replace("KEY_COST", str(KEY_COST))
)

#: Ends a stream, whoever writes it. Keys: as for CREATE. Arguments: time, window, milliseconds to keep,
#: control channels without the node, owner that it must have or nothing, epoch that it must have or nothing, time since
#: when it must have been unused or nothing, kind, data, another epoch for a run: if Redis lost this entry, its owner
#: would use the number again. Returns the number of the entry, or a list of a word and the number of the last entry.
END = makeScript(
    """
local now, window, keep, control, owner, epoch = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local unused, place = ARGV[7], locate(1)
if not isRenewed(place.generation) then return {'generation', 0} end
local s = load(place.stream)
if not s or (epoch ~= '' and epoch ~= s.epoch) then return {'missing', 0} end
if s.was ~= 'open' then return {'ended', s.last} end
if owner ~= '' and owner ~= s.owner then return {'other', s.last} end
if unused ~= '' and tonumber(redis.call('ZSCORE', place.idle, s.name) or '0') > tonumber(unused) then
  return {'other', s.last}
end
local before = s.epoch
if not s.published then refresh(s, place, ARGV[10]) end
local message = add(s, place.entries, ARGV[8], 9, now)
save(s, place, trim(s, place.entries, place.keys, window), now, keep)
redis.call('SPUBLISH', place.tail, message)
redis.call('PUBLISH', control .. s.node, 'ended ' .. before .. ' ' .. s.name)
return s.last
""",
    "allow-oom",
)

#: Deletes a stream. Keys: as for CREATE. Arguments: epoch that it must have or nothing, control
#: channels without the node. Returns 1, or a word.
DELETE = makeScript(
    """
if not isRenewed(KEYS[1]) then return 'generation' end
local s = load(KEYS[2])
if not s or (ARGV[1] ~= '' and ARGV[1] ~= s.epoch) then return 'missing' end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('HDEL', KEYS[5], s.name)
redis.call('ZREM', KEYS[7], s.name)
redis.call('ZREM', KEYS[8], s.name)
redis.call('SPUBLISH', KEYS[6], '-' .. s.epoch)
redis.call('PUBLISH', ARGV[2] .. s.node, 'deleted ' .. s.epoch .. ' ' .. s.name)
return 1
""",
    "allow-oom",
)

#: Renews the lease of a node. Keys: nodes. Arguments: node, seconds. Returns whether the lease had run out, the nodes
#: whose leases have, and the generation of the server.
LEASE = Script("""#!lua flags=allow-oom
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local before = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.3f', now + tonumber(ARGV[2])), ARGV[1])
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.3f', now))
local generation = redis.call('INFO', 'replication'):match('master_replid:(%x+)')
return {(before and tonumber(before) >= now) and 0 or 1, over, generation}
""")

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

#: Gives a shard to the present generation of the server. Keys: generation, streams, runs, and one that never exists:
#: a cluster runs no script with it while it moves the slot, when some streams would seem to be missing. Arguments:
#: begin of the keys of the shard, 40 random characters. Each published stream that is open gets a new epoch, and
#: remembers the earlier ones, each with the number of the last entry that is the same in both. Returns the owners
#: of open runs.
RENEW = makeScript(
    """
local base, random = ARGV[1], ARGV[2]
if isRenewed(KEYS[1]) then return {} end
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local stream = base .. 'stream:' .. name
  local f = redis.call('HMGET', stream, 'epoch', 'state', 'published', 'last', 'epochs')
  if not f[1] then
    redis.call('ZREM', KEYS[2], name)
  elseif f[2] == 'open' and f[3] == '1' then
    local epoch = redis.sha1hex(random .. name):sub(1, 22)
    local epochs = f[5] .. f[1] .. '-' .. f[4] .. ' '
    redis.call('HSET', stream, 'epoch', epoch, 'epochs', epochs)
    redis.call('SPUBLISH', base .. 'tail:' .. name, '=' .. f[1] .. ' ' .. epoch .. ' ' .. f[4])
  end
end
redis.call('SET', KEYS[1], generation)
return redis.call('HVALS', KEYS[3])
""",
    "allow-oom",
)

#: Claims a key of a directory. Keys: its hash. Arguments: digest of the request, node, milliseconds of the claim.
#: Returns a list of a word and, if a stream has the key, its name and epoch.
CLAIM = Script("""#!lua flags=
local f = redis.call('HMGET', KEYS[1], 'digest', 'name', 'epoch')
if f[1] and f[1] ~= ARGV[1] then return {'reused'} end
if f[3] then return {'bound', f[2], f[3]} end
if f[1] then return {'wait'} end
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'node', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'mine'}
""")

#: Gives a key of a directory to a stream. Keys: its hash. Arguments: name and epoch of the stream, node, milliseconds
#: to keep it, whether it is tried again: then only if the node still has its claim. Returns whether the stream has it.
BIND = Script("""#!lua flags=allow-oom
local f = redis.call('HMGET', KEYS[1], 'node', 'epoch')
if ARGV[5] == '1' and (f[1] ~= ARGV[3] or (f[2] and f[2] ~= ARGV[2])) then return 0 end
redis.call('HSET', KEYS[1], 'name', ARGV[1], 'epoch', ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[4])
""")

#: Drops a key of a directory. Keys: its hash. Arguments: epoch of its stream, or nothing for a claim; node.
RELEASE = Script("""#!lua flags=allow-oom
local f = redis.call('HMGET', KEYS[1], 'epoch', 'node')
if ARGV[1] == (f[1] or '') and (f[1] or f[2] == ARGV[2]) then return redis.call('DEL', KEYS[1]) end
return 0
""")

#: All of them, for the connection to load.
SCRIPTS = (CREATE, APPEND, PUBLISH, END, DELETE, LEASE, FORGET, ADOPT, RENEW, CLAIM, BIND, RELEASE)
