-- Stands behind every script that writes; marks.go says what it is for and which
-- calls leave a mark.
--
-- The mark of a driver is the field d:<driver> of the partition's hash: of its last
-- writes <number>/<tag> each, the newest first, and when. Each write adds one, with a
-- higher number; its tag makes it unlike any other.
--
-- A mark that lacks what its driver knows of stays as it is: should this answer be
-- lost, the next one tells. What has written nothing may be refused here, out of
-- memory or read-only; there is nothing to lose then.
if driver == '' or type(answer) == 'table' and answer.err then return answer end
local OTHERS = string.rep('%S+/%S+ ', WRITES - 1)
local known = expect == '' or string.find(' ' .. mark, ' ' .. expect .. ' ', 1, true)
if not known then -- it may be older than all of them
  local oldest = string.match(mark, '^' .. OTHERS .. '(%d+)/')
  known = oldest and tonumber(string.match(expect, '^%d+')) < tonumber(oldest)
end
local noted = known and 0 or -1
if known then
  local number = (tonumber(string.match(mark, '^(%d+)/')) or 0) + 1
  local write = (number > tonumber(tag) and str(number) or tag) .. '/' .. tag .. ' '
  local others = string.match(mark, '^' .. OTHERS) or string.match(mark, '^.* ') or ''
  local raised = write .. others .. str(clock)
  local new = redis.pcall('HSET', marks, driver, raised)
  if type(new) == 'number' then
    mark, noted = raised, 1
    if new == 1 then prune(marks, 'd:', DRIVERS) end
  end
end
return { mark, noted, answer }
