-- Keeps the answer of a request with an idempotency key in the place of its claim.
--
-- KEYS: its place, the tenant's places with answers by their ends.
-- ARGV: the owner, the answer, milliseconds for which it is kept, most answers of a tenant.
-- Gives 0 where the claim is not its own.

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'owner')
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
-- Their keys are not among KEYS: they are known only here. They lie in the slot of the same tenant. A few for each that comes,
-- so that a bound that was lowered does not hold up everybody.
local beyond = math.min(redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[4]), 16)
if beyond > 0 then
  for _, oldest in ipairs(redis.call('ZRANGE', KEYS[2], 0, beyond - 1)) do
    redis.call('ZREM', KEYS[2], oldest)
    redis.call('DEL', oldest)
  end
end
return 1
