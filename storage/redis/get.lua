-- Reads one document.
--
-- KEYS: 1 document
-- Answer: stamp, its producer, body and members; no members: not there
return redis.call('HMGET', KEYS[1], 'us', 'by', 'b', 'x')
