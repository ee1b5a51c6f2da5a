-- Keeps a response: what is known of it when it begins, and all of it when it is over. See edge/src/responses/mod.rs.
--
-- KEYS: what is known of it, what has happened, the tenant's responses by their ends.
-- ARGV: the two, whether it is `begun`, `ended` or `whole`, milliseconds for which an edge is at it, milliseconds for which it is
-- kept, most responses of a tenant, the places of those that it goes on from.
-- Gives 0 where somebody has removed what has ended.

if ARGV[3] == 'ended' and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_when = now + tonumber(ARGV[5])

redis.call('HSET', KEYS[1], 'record', ARGV[1])
if ARGV[3] == 'begun' then
  redis.call('HSET', KEYS[1], 'alive', now + tonumber(ARGV[4]))
else
  redis.call('HDEL', KEYS[1], 'alive', 'cancelled')
end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZADD', KEYS[3], until_when, KEYS[1])
-- Keys that are known only here lie in the slot of the same tenant.
for number = 7, #ARGV do
  if redis.call('PEXPIRE', ARGV[number], ARGV[5]) == 1 then
    redis.call('PEXPIRE', ARGV[number] .. ':log', ARGV[5])
    redis.call('ZADD', KEYS[3], until_when, ARGV[number])
  end
end
redis.call('PEXPIRE', KEYS[3], ARGV[5])
-- A few for each that comes, so that a bound that was lowered does not hold up everybody.
local beyond = math.min(redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[6]), 16)
if beyond > 0 then
  for _, oldest in ipairs(redis.call('ZRANGE', KEYS[3], 0, beyond - 1)) do
    redis.call('ZREM', KEYS[3], oldest)
    redis.call('DEL', oldest, oldest .. ':log')
  end
end
return 1
