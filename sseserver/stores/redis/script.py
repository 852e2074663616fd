"""
Script: a program that Redis carries out atomically, and what the scripts that change streams have in common.

Scripts, unlike functions, need no permission to be installed, and survive in no backup. They are called by their hash.
Every script that changes a stream compares the generation of the server with that of its shard, and refuses if they
differ: the shard must be renewed first (`RENEW`). The generation is the replication ID of the server. It is a new one
whenever writes may be lost: at each start of a master, and when a replica becomes the master. The scripts ask the
server for it, since a client would not notice that its server has been a replica for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha1

from sseserver.stores.redis.damage import DAMAGED
from sseserver.streams.buffer import ENTRY_COST
from sseserver.streams.cost import KEY_COST

#: Bytes. Messages with more data only tell how far to read.
LARGE = 64 * 1024

#: Characters of the ID of a node.
NODE_SIZE = 22

#: Number. No stream ever has so many entries: Lua would write the number in another way.
MOST_ENTRIES = 10**13

# The numbers of kinds stand for `sseserver.values.Kind`: 0 and 2 have text, 8 and more are terminal.
_COMMON = """
local STATES = {[8] = 'done', [9] = 'failed', [10] = 'cancelled'}
local generation = redis.call('INFO', 'replication'):match('master_replid:(%x+)')

local function isRenewed(key)
  return redis.pcall('GET', key) == generation
end

-- Changes or reads an index of a shard. One that a foreign hand has replaced by another type begins anew.
local function index(command, key, ...)
  local fine, result = pcall(redis.call, command, key, ...)
  if fine then return result end
  local text = type(result) == 'table' and result.err or tostring(result)
  if not text:find('^WRONGTYPE') then error({err = text}, 0) end
  redis.call('DEL', key)
  return redis.call(command, key, ...)
end

-- Turns an error into that of the reply. One that foreign values have caused names the key; `at` is the place of the
-- stream's keys.
local function blame(problem, at)
  local text = type(problem) == 'table' and problem.err or tostring(problem)
  local misplaced = text:find('^ERR The ID') or text:find('^ERR Invalid stream ID')
  if not (misplaced or text:find('^WRONGTYPE') or text:find('^user_script')) then return text end
  local key = KEYS[at + 1] or KEYS[1]
  if not KEYS[at + 3] then
    -- It has no keys of a stream.
  elseif misplaced or not pcall(redis.call, 'XLEN', KEYS[at + 2]) then
    key = KEYS[at + 2]
  elseif not pcall(redis.call, 'HLEN', KEYS[at + 3]) then
    key = KEYS[at + 3]
  end
  return 'DAMAGED_WORD ' .. key:gsub('[^!-~]', '?')
end

-- The name of a stream, by its key.
local function nameOf(stream)
  return stream:match('}:stream:(.*)$')
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
    local fine, known = pcall(redis.call, 'HGETALL', keysKey)
    if not fine then known = {} end
    for i = 1, #known, 2 do
      uses[#uses + 1] = {known[i], tonumber(known[i + 1]:match('^%d+ (%d+) ')) or 0}
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
      local kind, data = tonumber(entry[2][2]), entry[2][4] or ''
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
    index('HDEL', place.runs, nameOf(place.stream))
    redis.call('HDEL', place.stream, 'order')
    if s.published then index('ZREM', place.idle, nameOf(place.stream)) end
    redis.call('PEXPIRE', place.stream, keep)
    redis.call('PEXPIRE', place.entries, keep)
    redis.call('PEXPIRE', place.keys, keep)
  end
end

-- Gives another epoch to a stream that somebody else than its owner is about to write: if Redis lost these entries, the
-- owner would use their numbers again.
local function refresh(s, place, epoch)
  local epochs = (redis.call('HGET', place.stream, 'epochs') or '') .. s.epoch .. '-' .. s.last .. ' '
  redis.call('HSET', place.stream, 'epoch', epoch, 'epochs', epochs)
  redis.call('SPUBLISH', place.tail, '=' .. s.epoch .. ' ' .. epoch .. ' ' .. s.last)
  s.epoch = epoch
end

-- Reads the state of a stream; an error if it makes no sense.
local function load(stream)
  local f = redis.call('HMGET', stream, 'epoch', 'state', 'last', 'size', 'tokens', 'first', 'keyBytes', 'owner',
    'published', 'node')
  if not (f[1] or f[2] or f[3] or f[8] or f[10]) then return nil end
  local s = {epoch = f[1], was = f[2], last = tonumber(f[3]), size = tonumber(f[4]), tokens = tonumber(f[5]),
    first = tonumber(f[6]), keyBytes = tonumber(f[7]), owner = f[8], published = f[9] == '1', node = f[10]}
  if not (s.epoch and #s.epoch == 22 and s.last and s.size and s.tokens and s.first and s.keyBytes and s.node
    and s.owner and #s.owner == (s.published and 0 or NODE_SIZE) and s.first >= 1 and s.last >= s.first - 1
    and s.last < MOST_ENTRIES) then
    error('a field makes no sense')
  end
  return s
end

-- Checks that entries can be appended to a stream; an error if they cannot.
local function checkEntries(s, place)
  if redis.call('EXISTS', place.entries) == 0 then return end
  local described = redis.call('XINFO', 'STREAM', place.entries)
  for i = 1, #described, 2 do
    if described[i] == 'last-generated-id' and tonumber(described[i + 1]:match('^%d+')) > s.last then
      error('ERR The ID of another entry is ahead', 0)
    end
  end
end

local function locate(at)
  return {generation = KEYS[at], stream = KEYS[at + 1], entries = KEYS[at + 2], keys = KEYS[at + 3],
    runs = KEYS[at + 4], tail = KEYS[at + 5], idle = KEYS[at + 6]}
end
"""

for _name, _value in (
    *(("LARGE_MESSAGE", LARGE), ("ENTRY_COST", ENTRY_COST), ("KEY_COST", KEY_COST)),
    *(("MOST_ENTRIES", MOST_ENTRIES), ("DAMAGED_WORD", DAMAGED), ("NODE_SIZE", NODE_SIZE)),
):
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
    Make a script that changes streams. If foreign values let it fail, its reply is an error of the word `DAMAGED`.

    Args:
        body: The program after the common functions.
        flags: Its flags.
    """
    end = "local fine, result = pcall(main)\nif fine then return result end\nreturn {err = blame(result, 1)}\n"
    return Script(f"#!lua flags={flags}\n{_COMMON}local function main()\n{body}\nend\n{end}")
