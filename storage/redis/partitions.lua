-- Notes how many partitions the logs under this prefix are spread over, unless
-- somebody did before, and answers the number that is noted. What is there is
-- read first, so that reading goes on where nothing can be written.
--
-- KEYS: 1 the number's key
-- ARGV: 1 the number
local noted = redis.call('GET', KEYS[1])
if noted then return noted end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
