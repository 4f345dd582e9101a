-- Reads one page of a log and the log's state, of one instant. A transaction
-- would be refused while Redis is out of memory, a script is not.
--
-- KEYS: 1 stream, 2 metadata
-- ARGV: 1 and 2 the range as in XRANGE, 3 most entries,
--       4 'newest' to answer the newest of them, newest first
-- Answer: the metadata as fields and values, the id of the oldest entry or '',
--       the entries
local meta = redis.call('HGETALL', KEYS[2])
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local entries
if ARGV[4] == 'newest' then
  entries = redis.call('XREVRANGE', KEYS[1], ARGV[2], ARGV[1], 'COUNT', ARGV[3])
else
  entries = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
end
return { meta, first and first[1] or '', entries }
