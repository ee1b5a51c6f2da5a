-- Makes a batch.
--
-- ARGV: id, what is known of it, its output's id, its errors' id, until when it is known, most that are open, most of all.
-- Gives 0 where too many are open.

local all, open = base .. 'batches', base .. 'batches:open'
local until_when, most_open, most = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
-- Among so many are some that are over, if there are too many.
local oldest = redis.call('ZRANGEBYLEX', all, '-', '+', 'LIMIT', 0, most_open + 64)
for _, id in ipairs(oldest) do
  if redis.call('EXISTS', base .. 'batch:' .. id) == 0 then
    redis.call('ZREM', all, id)
    redis.call('SREM', open, id)
  end
end
if redis.call('SCARD', open) >= most_open then return 0 end
for _, id in ipairs(oldest) do
  if redis.call('ZCARD', all) < most then break end
  if redis.call('SISMEMBER', open, id) == 0 then
    redis.call('ZREM', all, id)
    redis.call('UNLINK', base .. 'batch:' .. id)
  end
end
local key = base .. 'batch:' .. ARGV[1]
redis.call('HSET', key, 'record', ARGV[2], 'output', ARGV[3], 'errors', ARGV[4], 'until', ARGV[5])
redis.call('ZADD', all, 0, ARGV[1])
redis.call('SADD', open, ARGV[1])
redis.call('PEXPIREAT', key, until_when)
for _, index in ipairs({ all, open }) do
  if redis.call('PTTL', index) < until_when - now then redis.call('PEXPIREAT', index, until_when) end
end
return 1
