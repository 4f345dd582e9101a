-- What the scripts that write have in common; it stands in front of each of them.
--
-- KEYS: after those of the script: the hash with the marks of the partition
-- ARGV: after those of the script: the driver that sends, or '' if this call leaves
--       no mark; its last write in the partition that it knows of or '', a number for
--       this one, and what the call is about
-- Answer: the driver's mark; 1 if this write is in it, 0 if nothing can be written,
--       -1 if the mark lacks the write that the driver knows of; the script's own
--       answer. Without a driver only that.

local DAY_MS = 86400000
local TOMBSTONE_MS = 7 * DAY_MS
local PRODUCERS = 32            -- remembered in each chain hash
local DRIVERS = 64              -- remembered in the hash of each partition
local WRITES = 8                -- remembered of each of them
local TWO53 = 9007199254740992  -- up to here Lua counts exactly

-- Lua would write large numbers as 1.7e+15.
local function str(n) return string.format('%.0f', n) end

local now = redis.call('TIME')
local clock = now[1] * 1000000 + now[2]
local clock_ms = math.floor(clock / 1000)

-- The last number of a producer is the field p:<producer> of a hash: the number,
-- and when it was noted.
local function number_of(hash, producer)
  local v = redis.call('HGET', hash, 'p:' .. producer)
  return v and tonumber(string.match(v, '^%d+')) or 0
end

-- The fields that begin with prefix, and end with when they were noted: all but
-- the newest go. It is called when there is a new one.
local function prune(hash, prefix, most)
  local all, fields = redis.call('HGETALL', hash), {}
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, #prefix) == prefix then
      fields[#fields + 1] = { all[i], tonumber(string.match(all[i + 1], '%d+$')) or 0 }
    end
  end
  table.sort(fields, function(a, b) return a[2] < b[2] end)
  for i = 1, #fields - most do redis.call('HDEL', hash, fields[i][1]) end
end

local noted = 0
local function note(hash, producer, number)
  local new = redis.call('HSET', hash, 'p:' .. producer, str(number) .. ' ' .. str(clock + noted))
  noted = noted + 1
  if new == 1 then prune(hash, 'p:', PRODUCERS) end
end

-- Lua compares strings by the server's locale; names are ordered by their bytes.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local subject, tag, expect = table.remove(ARGV), table.remove(ARGV), table.remove(ARGV)
local driver, marks = table.remove(ARGV), table.remove(KEYS)
-- Read before anything is written, which also looks at the type of the key.
local mark = ''
if driver ~= '' then
  driver = 'd:' .. driver
  mark = redis.call('HGET', marks, driver) or ''
end
local answer
