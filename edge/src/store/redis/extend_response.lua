-- What has happened to a response since it was last said, or only that an edge is still at it. May be said twice.
--
-- KEYS: what is known of it, what has happened.
-- ARGV: up to where it is known, what follows, milliseconds for which an edge is at it.
-- Gives 0: it is gone; 1: done; 2: done, and somebody wants it ended.

local found = redis.call('HMGET', KEYS[1], 'alive', 'cancelled')
if not found[1] then return 0 end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'alive', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[3]))
if ARGV[2] ~= '' then
  redis.call('SETRANGE', KEYS[2], ARGV[1], ARGV[2])
end
if found[2] then return 2 end
return 1
