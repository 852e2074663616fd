"""
The scripts that change streams.
"""

from __future__ import annotations

from sseserver.stores.redis.damage import DAMAGED
from sseserver.stores.redis.keyscripts import BIND, CLAIM, RELEASE
from sseserver.stores.redis.nodescripts import ADOPT, FORGET, LEASE
from sseserver.stores.redis.script import Script, makeScript
from sseserver.streams.cost import KEY_COST

#: Counts the processes that follow a stream. Key: tail.
FOLLOWERS = makeScript("return redis.call('PUBSUB', 'SHARDNUMSUB', KEYS[1])[2]")

#: Makes a stream. Keys: generation, stream, entries, keys, runs, tail, idle, streams. Arguments: name,
#: epoch, whether it is published, time, question, node, end of the time without use. Returns 1, or a word.
CREATE = makeScript("""
if not isRenewed(KEYS[1]) then return 'generation' end
if load(KEYS[2]) then return 'exists' end
local name, epoch, published, now, question, node, unused = unpack(ARGV)
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[2], 'name', name, 'epoch', epoch, 'epochs', '', 'published', published, 'created', now,
  'question', question, 'node', node, 'owner', published == '1' and '' or node, 'state', 'open', 'first', 1,
  'last', 0, 'size', 0, 'tokens', 0, 'keyBytes', 0, 'trimmedCR', 0)
index('ZADD', KEYS[8], now, name)
if published == '1' then index('ZADD', KEYS[7], unused, name) else index('HSET', KEYS[5], name, node) end
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
  if not fine then result = {blame(result, i), -1} end
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
    if not first or #before < 64 or #last > 13 or tonumber(first) > tonumber(last) or tonumber(last) > s.last then
      error({err = 'DAMAGED_WORD ' .. place.keys:gsub('[^!-~]', '?')}, 0)
    end
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
if not s.state then index('ZADD', place.idle, unused, nameOf(place.stream)) end
redis.call('SPUBLISH', place.tail, message)
return {s.epoch, first, s.last, 0}
""".replace("KEY_COST", str(KEY_COST)).replace("DAMAGED_WORD", DAMAGED)
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
local s, name = load(place.stream), nameOf(place.stream)
if not s or s.was ~= 'open' then
  -- A foreign hand may have added it to the indices.
  index('HDEL', place.runs, name)
  index('ZREM', place.idle, name)
end
if not s or (epoch ~= '' and epoch ~= s.epoch) then return {'missing', 0} end
if s.was ~= 'open' then return {'ended', s.last} end
if owner ~= '' and owner ~= s.owner then
  if s.published then index('HDEL', place.runs, name) else index('HSET', place.runs, name, s.owner) end
  return {'other', s.last}
end
if unused ~= '' and tonumber(index('ZSCORE', place.idle, name) or '0') > tonumber(unused) then
  return {'other', s.last}
end
checkEntries(s, place)
local before = s.epoch
if not s.published then refresh(s, place, ARGV[10]) end
local message = add(s, place.entries, ARGV[8], 9, now)
save(s, place, trim(s, place.entries, place.keys, window), now, keep)
redis.call('SPUBLISH', place.tail, message)
redis.call('PUBLISH', control .. s.node, 'ended ' .. before .. ' ' .. name)
return s.last
""",
    "allow-oom",
)

#: Deletes a stream, also a damaged one if any epoch will do. Keys: as for CREATE. Arguments: epoch that it must have or
#: nothing, control channels without the node. Returns 1, or a word.
DELETE = makeScript(
    """
if not isRenewed(KEYS[1]) then return 'generation' end
local fine, s = pcall(load, KEYS[2])
local name = nameOf(KEYS[2])
if not fine and ARGV[1] ~= '' then error(s, 0) end
if fine and (not s or (ARGV[1] ~= '' and ARGV[1] ~= s.epoch)) then return 'missing' end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
index('HDEL', KEYS[5], name)
index('ZREM', KEYS[7], name)
index('ZREM', KEYS[8], name)
redis.call('SPUBLISH', KEYS[6], '-' .. (fine and s.epoch or ''))
if fine then redis.call('PUBLISH', ARGV[2] .. s.node, 'deleted ' .. s.epoch .. ' ' .. name) end
return 1
""",
    "allow-oom",
)

#: Compares a stream with Redis for a process that has not heard of it for long; an error if it is damaged. An open run
#: that is missing among those of its shard is added. Keys: as for CREATE. Returns its epoch, the number of its last
#: entry and its state, or nothing if it is gone.
COMPARE = makeScript(
    """
local s, place, name = load(KEYS[2]), locate(1), nameOf(KEYS[2])
if not s then return {} end
checkEntries(s, place)
if s.was == 'open' and not s.published and index('HGET', place.runs, name) ~= s.owner then
  index('HSET', place.runs, name, s.owner)
end
return {s.epoch, s.last, s.was}
""",
    "allow-oom",
)

#: Deletes an index whose type a foreign hand has changed; it is then empty. Keys: the index. Arguments: a command that
#: reads it, and its arguments. Returns nothing.
MEND = Script("""#!lua flags=allow-oom
local fine, problem = pcall(redis.call, ARGV[1], KEYS[1], unpack(ARGV, 2))
local text = not fine and (type(problem) == 'table' and problem.err or tostring(problem)) or ''
if text:find('^WRONGTYPE') then redis.call('DEL', KEYS[1]) end
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
local names, known, runs = index('ZRANGE', KEYS[2], 0, -1), {}, index('HGETALL', KEYS[3])
for _, name in ipairs(names) do known[name] = true end
-- A foreign hand may have deleted the list of all streams. The other indices have the open ones.
local function add(name)
  if known[name] then return end
  known[name], names[#names + 1] = true, name
  local fine, created = pcall(redis.call, 'HGET', base .. 'stream:' .. name, 'created')
  if fine and created and tonumber(created) then redis.call('ZADD', KEYS[2], created, name) end
end
for _, name in ipairs(index('ZRANGE', base .. 'idle', 0, -1)) do add(name) end
for i = 1, #runs, 2 do add(runs[i]) end
for _, name in ipairs(names) do
  local stream = base .. 'stream:' .. name
  local fine, f = pcall(redis.call, 'HMGET', stream, 'epoch', 'state', 'published', 'last', 'epochs')
  if not fine then
    -- It is damaged.
  elseif not f[1] or not f[4] then
    redis.call('ZREM', KEYS[2], name)
  elseif f[2] == 'open' and f[3] == '1' then
    local epoch = redis.sha1hex(random .. name):sub(1, 22)
    local epochs = (f[5] or '') .. f[1] .. '-' .. f[4] .. ' '
    redis.call('HSET', stream, 'epoch', epoch, 'epochs', epochs)
    redis.call('SPUBLISH', base .. 'tail:' .. name, '=' .. f[1] .. ' ' .. epoch .. ' ' .. f[4])
  end
end
redis.call('SET', KEYS[1], generation)
local owners = {}
for i = 2, #runs, 2 do owners[i / 2] = runs[i] end
return owners
""",
    "allow-oom",
)

#: All of them, for the connection to load.
SCRIPTS = (CREATE, APPEND, PUBLISH, END, DELETE, COMPARE, LEASE, FORGET, ADOPT, RENEW, CLAIM, BIND, RELEASE)
