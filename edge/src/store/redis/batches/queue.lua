-- A batch is open.
--
-- KEYS: the open batches by when somebody is to look at them.
-- ARGV: the batch, milliseconds until then.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
return 1
