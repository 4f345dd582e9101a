-- Stands behind every script that writes; marks.go says what it is for.
--
-- The mark of a driver is the field d:<driver> of the partition's hash: of its last
-- writes, in their order, <number>/<tag>, and when. Each write adds one, with a
-- higher number; its tag makes it unlike any other.
--
-- A mark that lacks what its driver knows of stays as it is: should this answer be
-- lost, the next one tells. What has written nothing may be refused here, out of
-- memory or read-only; there is nothing to lose then.
if type(answer) == 'table' and answer.err then return answer end
local writes, number, known = {}, 0, expect == ''
for write, n in string.gmatch(mark, '((%d+)/%d+)') do
  writes[#writes + 1], number = write, tonumber(n)
  known = known or write == expect
end
if #writes == WRITES and not known then -- it may be older than all of them
  known = tonumber(string.match(expect, '^%d+')) < tonumber(string.match(writes[1], '^%d+'))
end
local noted = known and 0 or -1
if known then
  local write = str(math.max(number + 1, tag)) .. '/' .. str(tag)
  local last = #writes == WRITES and table.concat(writes, ' ', 2) or table.concat(writes, ' ')
  local new = redis.pcall('HSET', marks, driver, last .. ' ' .. write .. ' ' .. str(clock))
  if type(new) == 'number' then
    mark, noted = last .. ' ' .. write, 1
    if new == 1 then prune(marks, 'd:', DRIVERS) end
  end
end
return { mark, noted, answer }
