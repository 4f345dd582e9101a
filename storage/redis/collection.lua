-- Carries out Put, Del and Add on one collection, in order.
--
-- KEYS: 1 members, 2 ends, 3 chains and marks, 4 ranking of the scope '', then for each
--       operation its own: P and D document, counters of its member in the scope
--       ''; A counters, ranking of its scope, document
-- ARGV: 1 the common beginning of the collection's keys, then for each operation
--       P id, body, µs, producer, ms to live (0: for ever), r:<group>:, rank, most in
--         the group (0: unbounded), number of indexes, i:<index>:<value>: of each
--       D id, µs, producer
--       A member, producer or '', number, flags (x: only if the document exists),
--         field to rank by or '', most members (0: unbounded), trim from, trim to,
--         three times a number of fields and name, value of each: deltas, low, high
-- Answer: for each operation <outcome><existed>; outcomes are a applied,
--       d duplicate, n not there, g a number is missing before, x foreign or too
--       large; existed is 0 or 1
--
-- Members is one sorted set in byte order, so that every key but those of the
-- documents that make room is known beforehand. A document has the members
--   a:<id>   i:<index>:<value>:<id>   r:<group>:<rank>:<id>
-- and remembers them, packed, in its field x. Ends has those of mortal documents
-- with the time at which Redis expires the document, in ms. A document without x
-- is the stamp of a deletion.
--
-- Redis does not roll back: the types of an operation's keys are checked before
-- its first write.
local members, ends, chains, ranking0 = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local base = ARGV[1]
local SWEEP, EVICT = 2000, 1000 -- members and documents that one call removes at most
redis.call('ZCARD', members)
redis.call('ZCARD', ends)
redis.call('HLEN', chains)
redis.call('ZCARD', ranking0)

-- The first write is one that Redis refuses when it is out of memory.
local begun = false
local function begin()
  if not begun then redis.call('HSET', chains, 'us', str(clock)) end
  begun = true
end

-- FOREIGN is thrown, before an operation writes, when a key is not ours.
local FOREIGN = 'foreign'
local function check(reply)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then return nil, FOREIGN end
    return nil, reply.err
  end
  return reply
end

-- read answers the stamp of a document or of its deletion, and with list its
-- members if it is there.
local function read(key)
  local v, err = check(redis.pcall('HMGET', key, 'us', 'by', 'x'))
  if not v then return nil, err end
  local d = { us = tonumber(v[1] or nil), by = v[2] or '0' }
  if not tonumber(d.by, 16) then return nil, FOREIGN end
  if v[3] then
    local ok, list = pcall(cmsgpack.unpack, v[3])
    if not ok or type(list) ~= 'table' or not d.us then return nil, FOREIGN end
    d.list = list
  end
  return d
end

local function later(us1, by1, us2, by2)
  if us1 ~= us2 then return us1 > us2 end
  return tonumber(by1, 16) > tonumber(by2, 16)
end

local function unlist(list)
  for _, m in ipairs(list) do
    redis.call('ZREM', members, m)
    redis.call('ZREM', ends, m)
  end
end

-- bury leaves the stamp of a deletion.
local function bury(id, key, counters, list, us, by)
  begin()
  unlist(list or {})
  if list then
    redis.call('UNLINK', counters)
    redis.call('ZREM', ranking0, id)
  end
  redis.call('HSET', key, 'us', str(us), 'by', by)
  redis.call('HDEL', key, 'b', 'x')
  redis.call('PEXPIRE', key, TOMBSTONE_MS)
end

-- sweep removes the members of documents that have expired.
local function sweep()
  local over = redis.call('ZRANGEBYSCORE', ends, '-inf', str(clock_ms), 'LIMIT', 0, SWEEP)
  if #over == 0 then return end
  begin()
  unlist(over)
  for _, m in ipairs(over) do
    if string.sub(m, 1, 2) == 'a:' then
      local id = string.sub(m, 3)
      redis.call('UNLINK', base .. 'd:' .. id, base .. 'n::' .. id)
      redis.call('ZREM', ranking0, id)
    end
  end
end

-- 17 bytes in the order of the numbers.
local function ordered(rank)
  if rank < 0 then return '0' .. string.format('%016.0f', rank + TWO53) end
  return '1' .. string.format('%016.0f', rank)
end

local function holds(list, member)
  for _, m in ipairs(list) do
    if m == member then return true end
  end
  return false
end

-- evict removes the lowest of a group until it has at most keep, but not id.
local function evict(group, keep, id)
  local from, to = '[' .. group, '(' .. string.sub(group, 1, -2) .. ';'
  for _ = 1, EVICT do
    if redis.call('ZLEXCOUNT', members, from, to) <= keep then return end
    local low = redis.call('ZRANGEBYLEX', members, from, to, 'LIMIT', 0, 2)
    local m = low[1]
    if string.sub(m, #group + 19) == id then m = low[2] end
    if not m then return end
    local victim = string.sub(m, #group + 19)
    local d = read(base .. 'd:' .. victim)
    if d and d.list and holds(d.list, m) then
      bury(victim, base .. 'd:' .. victim, base .. 'n::' .. victim, d.list, d.us, d.by)
    else
      unlist({ m }) -- of a document that is not there any more
    end
  end
end

local function flag(b) return b and '1' or '0' end

local function put(doc, counters, a)
  local id, body, us, by, lives = a(), a(), tonumber(a()), a(), tonumber(a())
  local group, rank, most = a(), tonumber(a()), tonumber(a())
  local list = { 'a:' .. id, group .. ordered(rank) .. ':' .. id }
  for _ = 1, tonumber(a()) do list[#list + 1] = a() .. id end

  local d, err = read(doc)
  if not d then return nil, err end
  local _, err2 = check(redis.pcall('HLEN', counters))
  if err2 then return nil, err2 end
  if us == 0 and by == '0' then
    us = math.max(clock, d.us and d.us + 1 or 0)
    if d.us and d.us >= TWO53 then return nil, FOREIGN end
  elseif d.us and not later(us, by, d.us, d.by) then
    return 'd' .. flag(d.list)
  end

  begin()
  if d.list then
    unlist(d.list)
  elseif redis.call('ZSCORE', ends, list[1]) then -- an expired life of the same id
    redis.call('UNLINK', counters)
    redis.call('ZREM', ranking0, id)
  end
  redis.call('HSET', doc, 'us', str(us), 'by', by, 'b', body, 'x', cmsgpack.pack(list))
  local over = str(clock_ms + lives)
  for _, m in ipairs(list) do
    redis.call('ZADD', members, 0, m)
    if lives > 0 then redis.call('ZADD', ends, over, m) else redis.call('ZREM', ends, m) end
  end
  if lives > 0 then redis.call('PEXPIREAT', doc, over) else redis.call('PERSIST', doc) end
  -- Expired documents that could not all be swept must not push out living ones.
  if most > 0 and redis.call('ZCOUNT', ends, '-inf', str(clock_ms)) == 0 then evict(group, most, id) end
  return 'a' .. flag(d.list)
end

local function del(doc, counters, a)
  local id, us, by = a(), tonumber(a()), a()
  local d, err = read(doc)
  if not d then return nil, err end
  local _, err2 = check(redis.pcall('HLEN', counters))
  if err2 then return nil, err2 end
  if us == 0 and by == '0' then
    us = math.min(math.max(clock, d.us and d.us + 1 or 0), TWO53)
  elseif d.us and (later(d.us, d.by, us, by) or not d.list and not later(us, by, d.us, d.by)) then
    return 'd' .. flag(d.list)
  end
  bury(id, doc, counters, d.list, us, by)
  return 'a' .. flag(d.list)
end

-- less compares whole numbers that may be larger than Lua can count.
local function less(a, b)
  local minus = string.sub(a, 1, 1) == '-'
  if minus ~= (string.sub(b, 1, 1) == '-') then return minus end
  if #a ~= #b then return (#a < #b) ~= minus end
  return a ~= b and before(a, b) ~= minus
end

local function trim(counters, from, to)
  for _, f in ipairs(redis.call('HKEYS', counters)) do
    if not before(f, from) and before(f, to) then redis.call('HDEL', counters, f) end
  end
end

-- rerank gives a document the rank that its member's counter has.
local function rerank(doc, d, member, value)
  value = math.max(-TWO53, math.min(TWO53, value))
  for i, m in ipairs(d.list) do
    if string.sub(m, 1, 2) == 'r:' then
      local moved = string.sub(m, 1, #m - #member - 18) .. ordered(value) .. ':' .. member
      local over = redis.call('ZSCORE', ends, m)
      unlist({ m })
      redis.call('ZADD', members, 0, moved)
      if over then redis.call('ZADD', ends, over, moved) end
      d.list[i] = moved
    end
  end
  redis.call('HSET', doc, 'x', cmsgpack.pack(d.list))
end

-- cut removes the lowest members of a scope. The ranking is by negated values: the
-- last is the lowest, and among equals the first name.
local function cut(ranking, counters, member, most)
  local scope = string.sub(counters, 1, #counters - #member)
  for _ = 1, EVICT do
    if redis.call('ZCARD', ranking) <= most then return end
    local low, bound = nil, '+inf'
    repeat
      local last = redis.call('ZREVRANGEBYSCORE', ranking, bound, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
      if not last[2] then return end
      for _, name in ipairs(redis.call('ZRANGEBYSCORE', ranking, last[2], last[2], 'LIMIT', 0, 2)) do
        if name ~= member and not low then low = name end
      end
      bound = '(' .. last[2]
    until low
    redis.call('ZREM', ranking, low)
    redis.call('UNLINK', scope .. low)
  end
end

-- fields reads a number of fields: names and values in turns.
local function fields(a)
  local list = {}
  for i = 1, 2 * tonumber(a()) do list[i] = a() end
  return list
end

-- present answers the value of a counter, or false; nothing else may be there.
local function present(counters, name)
  local v = redis.call('HGET', counters, name)
  if v and not string.find(v, '^-?%d+$') then return nil end
  return v
end

local function add(counters, ranking, doc, a)
  local member, p, n, flags = a(), a(), tonumber(a()), a()
  local by, most, from, to = a(), tonumber(a()), a(), a()
  local deltas, low, high = fields(a), fields(a), fields(a)

  local conditional = string.find(flags, 'x', 1, true)
  local d, err = read(doc)
  if conditional and not d then return nil, err end
  local existed = flag(conditional and d.list)
  for _, reply in ipairs({ redis.pcall('HLEN', counters), redis.pcall('ZCARD', ranking) }) do
    local _, err2 = check(reply)
    if err2 then return nil, err2 end
  end
  if p ~= '' then
    local had = number_of(chains, p)
    if n >= TWO53 then return nil, FOREIGN end
    if n > had + 1 and not string.find(flags, 'r', 1, true) then return 'g' .. existed end
    if n <= had then return 'd' .. existed end
  end
  for i = 1, #deltas, 2 do
    local v = present(counters, deltas[i])
    -- The last numbers of 64 bits are out of reach: Lua sees them only roughly.
    if v == nil or math.abs((v or 0) + deltas[i + 1]) > 9.22337203685477e18 then return nil, FOREIGN end
  end
  for _, list in ipairs({ low, high }) do
    for i = 1, #list, 2 do
      if present(counters, list[i]) == nil then return nil, FOREIGN end
    end
  end
  if by ~= '' and present(counters, by) == nil then return nil, FOREIGN end

  if p ~= '' then
    begin()
    note(chains, p, n)
  end
  if conditional and not d.list then return 'n0' end
  begin()
  for i = 1, #deltas, 2 do redis.call('HINCRBY', counters, deltas[i], deltas[i + 1]) end
  for i = 1, #low, 2 do
    local v = redis.call('HGET', counters, low[i])
    if not v or less(low[i + 1], v) then redis.call('HSET', counters, low[i], low[i + 1]) end
  end
  for i = 1, #high, 2 do
    local v = redis.call('HGET', counters, high[i])
    if not v or less(v, high[i + 1]) then redis.call('HSET', counters, high[i], high[i + 1]) end
  end
  if to ~= '' then trim(counters, from, to) end
  local left = redis.call('EXISTS', counters) == 1
  if not left then redis.call('ZREM', ranking, member) end
  if by ~= '' then
    local value = tonumber(redis.call('HGET', counters, by) or 0)
    if left then redis.call('ZADD', ranking, str(-value), member) end
    if conditional then rerank(doc, d, member, value) end
    if most > 0 then cut(ranking, counters, member, most) end
  end
  return 'a' .. existed
end

sweep()
local answer = {}
local key, arg = 4, 1
local function a()
  arg = arg + 1
  return ARGV[arg]
end
while arg < #ARGV do
  local letter = a()
  local outcome, err
  -- All arguments are read before anything can fail, so the next operation begins
  -- where it should.
  if letter == 'A' then
    outcome, err = add(KEYS[key + 1], KEYS[key + 2], KEYS[key + 3], a)
    key = key + 3
  else
    outcome, err = (letter == 'P' and put or del)(KEYS[key + 1], KEYS[key + 2], a)
    key = key + 2
  end
  if not outcome and err ~= FOREIGN then return redis.error_reply(err) end
  answer[#answer + 1] = outcome or 'x0'
end
return answer
