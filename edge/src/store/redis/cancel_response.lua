-- Somebody wants a response ended.
--
-- KEYS: what is known of it.

if redis.call('HEXISTS', KEYS[1], 'alive') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'cancelled', 1)
return 1
