-- A write in one partition that fails whenever any other would: on a read-only
-- replica, out of memory, when saving fails, without permission. What it is for
-- is the mark that every write leaves.
redis.call('HSET', marks, 'us', str(clock))
return 'OK'
