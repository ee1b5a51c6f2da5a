-- Somebody is still at a batch, or leaves it.
--
-- KEYS: the open batches by when somebody is to look at them, who is at each.
-- ARGV: the batch, who, milliseconds until others may take it; 0: at once.
-- Gives 0 where it is another's.

if redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
if ARGV[3] == '0' then redis.call('HDEL', KEYS[2], ARGV[1]) end
return 1
