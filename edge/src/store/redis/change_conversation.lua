-- Changes a conversation, or makes it. See edge/src/conversations/kept.rs.
--
-- KEYS: what is known of it, its items, the tenant's conversations by their ends.
-- ARGV: 1 where it is made, what is known of it from now on (empty: as before), an item that is taken out (empty: none),
-- milliseconds for which it is kept, most conversations of a tenant, most items, most bytes of items, the items that are added.
-- Gives 0: there is none, or not that item; 1: done; 2: the items are too many or too large.

local is_there = redis.call('EXISTS', KEYS[1]) == 1
if ARGV[1] == '1' then
  redis.call('DEL', KEYS[1], KEYS[2])
elseif not is_there then
  return 0
end

if #ARGV > 7 then
  local bytes = tonumber(redis.call('HGET', KEYS[1], 'bytes') or '0')
  local added = 0
  for number = 8, #ARGV do added = added + #ARGV[number] end
  local count = redis.call('LLEN', KEYS[2]) + #ARGV - 7
  if count > tonumber(ARGV[6]) or bytes + added > tonumber(ARGV[7]) then return 2 end
  for number = 8, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[number]) end
  redis.call('HSET', KEYS[1], 'bytes', bytes + added)
end
if ARGV[3] ~= '' then
  if redis.call('LREM', KEYS[2], 1, ARGV[3]) == 0 then return 0 end
  redis.call('HINCRBY', KEYS[1], 'bytes', -#ARGV[3])
end
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'record', ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[4]), KEYS[1])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
-- A few for each that comes, so that a bound that was lowered does not hold up everybody.
local beyond = math.min(redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[5]), 16)
if beyond > 0 then
  -- Keys that are known only here lie in the slot of the same tenant.
  for _, oldest in ipairs(redis.call('ZRANGE', KEYS[3], 0, beyond - 1)) do
    redis.call('ZREM', KEYS[3], oldest)
    redis.call('DEL', oldest, oldest .. ':items')
  end
end
return 1
