-- Drops a log and the queue of the same name.
--
-- KEYS: 1 stream, 2 metadata, 3 and 4 the generations of ids; of the queue
--       5 waiting, 6 data, 7 ends, 8 metadata; 9 the index of logs of its kind
-- ARGV: 1 name
-- Answer: one outcome: a dropped, n there was none; then existed, 0 or 1
--
-- The metadata stays as a gravestone: positions and the producers' numbers go on,
-- the epoch is among the dead ones, and as long as no append begins another there
-- is none.
local DEAD = 8 -- epochs that are remembered

local meta = KEYS[2]
local log = redis.call('XLEN', KEYS[1]) > 0
redis.call('HLEN', KEYS[3])
redis.call('HLEN', KEYS[4])
local queue = redis.call('ZCARD', KEYS[5]) > 0
redis.call('HLEN', KEYS[6])
queue = redis.call('ZCARD', KEYS[7]) > 0 or queue
local numbers = redis.call('HLEN', KEYS[8]) > 0 -- they may outlive the queue
local m = redis.call('HMGET', meta, 'epoch', 'dead', 'us', 'seq')
log = log or m[1]
if not log and not queue and not numbers then return { 'n0' } end

if log then
  local us, seq = tonumber(m[3] or 0), tonumber(m[4] or 0)
  if redis.call('EXISTS', KEYS[1]) == 1 then -- metadata may have been lost
    local info = redis.call('XINFO', 'STREAM', KEYS[1])
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        local u, s = string.match(info[i + 1], '^(%d+)-(%d+)$')
        if tonumber(u) > us then us, seq = tonumber(u), tonumber(s) end
      end
    end
  end
  local dead = { m[1] or nil }
  for e in string.gmatch(m[2] or '', '%x+') do
    if #dead < DEAD then dead[#dead + 1] = e end
  end
  redis.call('HSET', meta, 'dead', table.concat(dead, ' '), 'us', str(us), 'seq', str(seq))
  redis.call('HDEL', meta, 'epoch', 'gen', 'exp')
  redis.call('PEXPIRE', meta, TOMBSTONE_MS)
else
  -- Removing the queue alone must be refused where other writes are, too.
  redis.call('HSET', KEYS[8], 'us', str(clock))
end
redis.call('UNLINK', KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8])
redis.pcall('ZREM', KEYS[9], ARGV[1])
return { (log or queue) and 'a1' or 'n0' }
