-- Reads the counters of the highest members of one scope, or of one member.
--
-- KEYS: 1 ranking, or counters of the one member
-- ARGV: 1 most members, or 0 for the one; 2 the common beginning of the keys of
--       the scope's counters
-- Answer: of each member its name and its fields, names and values in turns
if tonumber(ARGV[1]) == 0 then return { '', redis.call('HGETALL', KEYS[1]) } end
local answer = {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  answer[#answer + 1] = member
  answer[#answer + 1] = redis.call('HGETALL', ARGV[2] .. member)
end
return answer
