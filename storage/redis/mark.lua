-- Stands behind every script that writes; common.lua has read the mark.
--
-- A mark that is behind what its driver knows of stays as it is: should this answer
-- be lost, the next one tells. Otherwise each write makes it higher, so that no
-- state of the partition without the write has the mark of one with it.
--
-- What has written nothing may be refused here, out of memory or read-only; there
-- is nothing to lose then.
if type(answer) == 'table' and answer.err then return answer end
local mark = had
if had >= expect then
  local higher = math.max(had + 1, number)
  local new = redis.pcall('HSET', marks, driver, str(higher) .. ' ' .. str(clock))
  if type(new) == 'number' then mark = higher end
  if new == 1 then prune(marks, 'd:', DRIVERS) end
end
return { had, mark, answer }
