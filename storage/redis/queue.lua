-- Pushes items to one queue, in order, or takes its oldest ones.
--
-- KEYS: 1 waiting: id -> number, 2 data: id -> <µs> <data>,
--       3 ends: id -> when its time is over in ms, of waiting and of taken items,
--       4 metadata: seq, us, p:<producer>
-- ARGV: 1 'push', then for each item id, data, ms that it waits (0: for ever),
--       most items waiting (0: unbounded), producer or '', number, flags
--       (r: rebase, t: taken elsewhere);
--       or 'take', most items
-- Answer to push: for each item <outcome><existed>; outcomes are a added,
--       d duplicate, g a number is missing before, f full, x a number too large;
--       existed is 0 or 1
-- Answer to take: id and <µs> <data> of each item
--
-- The types of all keys are checked before the first write.
local waiting, data, ends, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
redis.call('ZCARD', waiting)
redis.call('HLEN', data)
redis.call('HLEN', meta)
redis.call('ZCARD', ends)

-- The first write of a push is one that Redis refuses when it is out of memory.
local begun = false
local function begin()
  if not begun then redis.call('HSET', meta, 'us', str(clock)) end
  begun = true
end

-- Items whose time is over are as if they had never been; each is removed once.
local function sweep(first)
  local over
  repeat
    over = redis.call('ZRANGEBYSCORE', ends, '-inf', str(clock_ms), 'LIMIT', 0, 500)
    if #over == 0 then return end
    first()
    redis.call('ZREM', waiting, unpack(over))
    redis.call('HDEL', data, unpack(over))
    redis.call('ZREM', ends, unpack(over))
  until #over < 500
end

-- The keys live as long as the longest-lived item, and with one that waits for
-- ever a day from now. The producers' numbers always live that day: whoever goes
-- on with his chain needs them.
local function live()
  local last = redis.call('ZREVRANGEBYSCORE', ends, '(+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  local over, day = tonumber(last[2] or clock_ms), clock_ms + DAY_MS
  if redis.call('ZCOUNT', ends, '+inf', '+inf') > 0 then over = math.max(over, day) end
  for _, key in ipairs({ waiting, data, ends }) do redis.call('PEXPIREAT', key, str(over)) end
  redis.call('PEXPIREAT', meta, str(math.max(over, day)))
end

if ARGV[1] == 'take' then
  sweep(function() end) -- removing needs no memory
  local ids = redis.call('ZRANGE', waiting, 0, tonumber(ARGV[2]) - 1)
  if #ids == 0 then return {} end
  local values = redis.call('HMGET', data, unpack(ids))
  redis.call('ZREM', waiting, unpack(ids))
  redis.call('HDEL', data, unpack(ids))
  live()
  local items = {}
  for i, id in ipairs(ids) do
    items[#items + 1] = id
    items[#items + 1] = values[i] or ''
  end
  return items
end

sweep(begin)
local PER_ITEM, FIRST = 7, 2
local answer = {}
for i = FIRST, #ARGV, PER_ITEM do
  local id, lasts, most = ARGV[i], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local p, n, flags = ARGV[i + 4], tonumber(ARGV[i + 5]), ARGV[i + 6]
  local rebase = string.find(flags, 'r', 1, true)
  local elsewhere = string.find(flags, 't', 1, true)
  local known = redis.call('ZSCORE', ends, id)
  local others = redis.call('ZCARD', waiting) - (redis.call('ZSCORE', waiting, id) and 1 or 0)
  local outcome, advance = 'a', false
  if known then outcome = 'd' end
  if p ~= '' then
    local had = number_of(meta, p)
    if n >= TWO53 then
      outcome = 'x'
    elseif n > had + 1 and not rebase then
      outcome = 'g'
    elseif n > had or (rebase and not known) then
      advance = true
    else
      outcome = 'd'
    end
  end
  if outcome == 'a' and not elsewhere and most > 0 and others >= most then
    outcome, advance = 'f', false
  end
  if advance or outcome == 'a' then begin() end
  if advance then note(meta, p, n) end
  if outcome == 'a' then
    redis.call('ZADD', ends, lasts > 0 and str(clock_ms + lasts) or '+inf', id)
    if not elsewhere then
      redis.call('ZADD', waiting, redis.call('HINCRBY', meta, 'seq', 1), id)
      redis.call('HSET', data, id, str(clock) .. ' ' .. ARGV[i + 1])
    end
  end
  answer[#answer + 1] = outcome .. (others > 0 and '1' or '0')
end
if begun then live() end
return answer
