-- Reads documents by the members that begin alike, in the byte order of their ids.
--
-- KEYS: 1 members
-- ARGV: 1 the common beginning of the collection's keys, 2 that of the members,
--       with a colon at its end, 3 only ids above this, 4 most documents
-- Answer: '' when there are no further members, or the id up to which they were
--       looked at; then id, µs, producer and body of each document
--
-- A member whose document has expired is skipped, and removed if that is possible:
-- a read must also work where nothing can be written. What else there is of the
-- document goes with the next write to the collection.
local members = KEYS[1]
local base, prefix, after, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local STALE = 10000 -- members without a document that one call looks at

local function lists(doc, member)
  local ok, list = pcall(cmsgpack.unpack, doc)
  if not ok or type(list) ~= 'table' then return false end
  for _, m in ipairs(list) do
    if m == member then return true end
  end
  return false
end

local from = after == '' and '[' .. prefix or '(' .. prefix .. after
local to = '(' .. string.sub(prefix, 1, -2) .. ';'
local answer, found, stale = { '' }, 0, 0
repeat
  local want = most - found
  local page = redis.call('ZRANGEBYLEX', members, from, to, 'LIMIT', 0, want)
  for _, m in ipairs(page) do
    local id = string.sub(m, #prefix + 1)
    local v = redis.call('HMGET', base .. 'd:' .. id, 'us', 'by', 'b', 'x')
    if v[4] and lists(v[4], m) then
      found = found + 1
      for _, x in ipairs({ id, v[1] or '', v[2] or '', v[3] or '' }) do answer[#answer + 1] = x end
    else
      stale = stale + 1
      redis.pcall('ZREM', members, m)
    end
    from = '(' .. m
    answer[1] = id
  end
  if #page < want then
    answer[1] = ''
    break
  end
until found == most or stale >= STALE
return answer
