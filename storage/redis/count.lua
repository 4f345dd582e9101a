-- Counts the logs of one kind in one partition.
--
-- KEYS: 1 their index: name → when its stream expires, in ms
-- Answer: how many have not expired
local now = redis.call('TIME')
local clock_ms = now[1] * 1000 + math.floor(now[2] / 1000)
return redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', clock_ms), '+inf')
