-- What the scripts that write have in common; it stands in front of each of them.

local DAY_MS = 86400000
local TOMBSTONE_MS = 7 * DAY_MS
local PRODUCERS = 32            -- remembered in each chain hash
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

local noted = 0
local function note(hash, producer, number)
  redis.call('HSET', hash, 'p:' .. producer, str(number) .. ' ' .. str(clock + noted))
  noted = noted + 1
end

-- The producers that wrote longest ago make room. fixed is how many other fields
-- the hash has.
local function prune(hash, fixed)
  if redis.call('HLEN', hash) <= PRODUCERS + fixed then return end
  local all, chains = redis.call('HGETALL', hash), {}
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 'p:' then
      chains[#chains + 1] = { all[i], tonumber(string.match(all[i + 1], '%d+$')) or 0 }
    end
  end
  table.sort(chains, function(a, b) return a[2] < b[2] end)
  for i = 1, #chains - PRODUCERS do redis.call('HDEL', hash, chains[i][1]) end
end

-- Lua compares strings by the server's locale; names are ordered by their bytes.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
