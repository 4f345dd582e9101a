-- A write that fails whenever appends would: on a read-only replica, out of
-- memory, when saving fails, without permission.
--
-- KEYS: 1 hash of the partition
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000000 + t[2])
redis.call('HSET', KEYS[1], 'heartbeat', now)
return now
