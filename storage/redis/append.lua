-- Appends one batch to one log, entirely or not at all.
--
-- KEYS: 1 stream, 2 metadata, 3 and 4 the two generations of ids, 5 the index of
--       the logs of its kind: name → when its stream expires, in ms
-- ARGV: 1 epoch to begin if one is needed, 2 most entries (0: unbounded),
--       3 most age in µs (0: unbounded), 4 least number of ids to remember,
--       5 channel, 6 notice, 7 name, then for each entry:
--       id, data, floor, expected epoch or '', producer or '', number, flags
--       (r: rebase, x: only if the log exists)
-- Answer: 'GAP', or an array: epoch, error of the notice or '', then for each
--       entry <outcome><existed> <µs>-<seq>; outcomes are a appended, d duplicate,
--       n not there, o of a dropped epoch; existed is 0 or 1; an unknown place is
--       0-0.
--
-- Redis does not roll back. Every key is therefore read, and its type checked by
-- that, before the first write; the first write is one that Redis refuses when
-- it is out of memory or read-only.
local stream, meta = KEYS[1], KEYS[2]
local PER_ENTRY, FIRST = 7, 8
local MAX = TWO53 - 1 -- one more can still be told from it

local maxlen, maxage, window = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])

local length = redis.call('XLEN', stream)
local m = redis.call('HMGET', meta, 'epoch', 'seq', 'us', 'gen', 'exp', 'dead')
local epoch, seq, us = m[1], tonumber(m[2] or 0), tonumber(m[3] or 0)
local gen = tonumber(m[4] or 0)
-- Drop has left a gravestone, and no append came since: nothing was lost.
local dropped = length == 0 and not epoch and m[6]
local known = {} -- ids that are not looked up: of this batch, or rebuilt
local last = {}  -- producer -> last number, as far as this batch needs it
local rebuilt = nil

-- Metadata that is missing, or behind the stream, was lost: a new epoch begins,
-- and what the stream still holds tells positions, ids and producers.
local function rebuild()
  rebuilt = {}
  local producers = 0
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local u, s = string.match(info[i + 1], '^(%d+)-(%d+)$')
      us, seq = tonumber(u), tonumber(s)
    end
  end
  for _, e in ipairs(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', math.max(window, 1))) do
    local f = {}
    for i = 1, #e[2], 2 do f[e[2][i]] = e[2][i + 1] end
    if f.i and not rebuilt[f.i] then rebuilt[f.i] = e[1] end
    if f.p and not last[f.p] and producers < PRODUCERS then
      last[f.p], producers = tonumber(f.n), producers + 1
    end
  end
end

-- The planned place of a first entry must lie behind the stream's last one.
local behind = length > 0 and epoch
  and #redis.call('XRANGE', stream, str(us + 1), '+', 'COUNT', 1) > 0
if not epoch or behind then
  redis.call('HLEN', KEYS[3])
  redis.call('HLEN', KEYS[4])
  if not dropped then
    epoch, seq, us = false, 0, 0
    if redis.call('EXISTS', stream) == 1 then rebuild() end
  end
end

local function find(id)
  if known[id] then return known[id] end
  if rebuilt then return rebuilt[id] end
  if not epoch then return false end -- ids of an epoch that was lost or dropped
  return redis.call('HGET', KEYS[3 + gen], id) or redis.call('HGET', KEYS[4 - gen], id)
end

local function last_of(p)
  if not last[p] then last[p] = (epoch or dropped) and not rebuilt and number_of(meta, p) or 0 end
  return last[p]
end

local dead = {}
for e in string.gmatch(m[6] or '', '%x+') do dead[e] = true end

-- First pass: decide, write nothing.
local had_epoch, exists = epoch, epoch and true or (rebuilt ~= nil)
local entries, moved, changed, fresh = {}, {}, false, false
local answer = { '0', '' }
for i = FIRST, #ARGV, PER_ENTRY do
  local id, floor, want = ARGV[i], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local p, n, flags = ARGV[i + 4], tonumber(ARGV[i + 5]), ARGV[i + 6]
  local rebase = string.find(flags, 'r', 1, true) and p ~= ''
  local existed = exists and '1' or '0'
  local place = find(id)
  local taken = place and 'd'
  local gone = not taken and dead[want]
  local advance, skips = false, false
  if not exists and not gone and string.find(flags, 'x', 1, true) then
    taken, place = 'n', nil
  end
  if p ~= '' and (taken ~= 'n' or dropped) then
    if n > MAX then return redis.error_reply('ERR number exceeds 2^53') end
    if n < 1 then return redis.error_reply('ERR number 0 is in no chain') end
    local had = last_of(p)
    if n > had + 1 and not rebase then return 'GAP' end
    if n > had or (rebase and not taken and not gone) then
      advance, skips = true, n > had + 1
    elseif not taken then
      taken = 'd' -- by its number; its id, and so its place, is forgotten
    end
  end
  if gone then taken, place = 'o', nil end
  if advance then
    if rebase and exists and (skips or not taken) then fresh = true end
    last[p], moved[p], changed = n, true, true
  end
  if not taken then
    us, seq = math.max(clock, us + 1, floor + 1), seq + 1
    if us > MAX then return redis.error_reply('ERR position exceeds 2^53 microseconds') end
    place = str(us) .. '-' .. str(seq)
    known[id], taken, changed, exists = place, 'a', true, true
    entries[#entries + 1] = { place, i }
  end
  answer[#answer + 1] = taken .. existed .. ' ' .. (place or '0-0')
end

-- What was only noted in the chains begins no epoch after a Drop.
local begins = fresh or not epoch and (#entries > 0 or rebuilt)
if begins and changed then epoch = ARGV[1] end
answer[1] = epoch or '0'
if not changed then return answer end

local function note_all(set)
  if redis.call('HSET', meta, unpack(set)) > 0 then prune(meta, 'p:', PRODUCERS) end
end

-- Second pass: write. Metadata first.
local lost = not had_epoch -- or dropped
local stamp = ' ' .. str(math.max(us, clock))
local set = { 'seq', str(seq), 'us', str(us) }
for p in pairs(rebuilt and last or moved) do
  if last[p] > 0 then
    set[#set + 1] = 'p:' .. p
    set[#set + 1] = str(last[p]) .. stamp
  end
end
if not epoch then
  note_all(set)
  return answer
end
set[#set + 1] = 'epoch'
set[#set + 1] = epoch
local ids = redis.call('HLEN', KEYS[3 + gen])
local turn = not lost and ids > 0 and ids + #entries > window
if turn then gen = 1 - gen end
set[#set + 1] = 'gen'
set[#set + 1] = tostring(gen)
-- Lifetimes are renewed when a fraction of them has passed, not at each write.
local age_ms = math.ceil(maxage / 1000)
local slack = math.min(60000, math.max(1, math.floor(age_ms / 16)))
if maxage == 0 then slack = 60000 end
local renewed, age = string.match(m[5] or '', '^(%d+) (%d+)$')
local renew = lost or turn or length == 0 or age ~= ARGV[3]
  or clock - tonumber(renewed) > slack * 1000 or clock < tonumber(renewed)
if renew then
  set[#set + 1] = 'exp'
  set[#set + 1] = str(clock) .. ' ' .. ARGV[3]
end
note_all(set)

if lost then
  redis.call('UNLINK', KEYS[3], KEYS[4])
  for id, place in pairs(rebuilt or {}) do redis.call('HSET', KEYS[3 + gen], id, place) end
elseif turn then
  redis.call('UNLINK', KEYS[3 + gen])
end

for _, e in ipairs(entries) do
  local place, i = e[1], e[2]
  redis.call('HSET', KEYS[3 + gen], ARGV[i], place)
  if ARGV[i + 4] ~= '' then
    redis.call('XADD', stream, place, 'i', ARGV[i], 'd', ARGV[i + 1], 'p', ARGV[i + 4], 'n', ARGV[i + 5])
  else
    redis.call('XADD', stream, place, 'i', ARGV[i], 'd', ARGV[i + 1])
  end
end

-- Whole nodes of the stream go cheaply; what remains above the bound goes
-- exactly.
local most = math.floor(maxlen * 1.25)
if maxlen > 0 and length + #entries > most then
  redis.call('XTRIM', stream, 'MAXLEN', '~', maxlen)
  if redis.call('XLEN', stream) > most then redis.call('XTRIM', stream, 'MAXLEN', maxlen) end
end
if maxage > 0 and #entries > 0 then
  redis.call('XTRIM', stream, 'MINID', str(math.max(clock - maxage, 0)))
end

if renew then
  if maxage > 0 then
    redis.call('PEXPIRE', stream, str(age_ms + slack))
    redis.call('PEXPIRE', meta, str(age_ms + slack + 7 * DAY_MS))
  else
    redis.call('PERSIST', stream)
    redis.call('PERSIST', meta)
  end
  redis.call('PEXPIRE', KEYS[3], str(DAY_MS + slack))
  redis.call('PEXPIRE', KEYS[4], str(DAY_MS + slack))
  -- The index only serves to count: whatever is wrong with it, events go on.
  if length + #entries > 0 then
    redis.pcall('ZADD', KEYS[5], maxage > 0 and str(clock_ms + age_ms + slack) or '+inf', ARGV[7])
    redis.pcall('ZREMRANGEBYSCORE', KEYS[5], '-inf', str(clock_ms))
  end
end

-- A notice is best effort: what was stored stays stored.
if #entries > 0 then
  local ok = redis.pcall('PUBLISH', ARGV[5], ARGV[6])
  if type(ok) == 'table' and ok.err then answer[2] = ok.err end
end
return answer
