-- A request with an idempotency key is still in progress, or over.
--
-- KEYS: its place.
-- ARGV: the owner, milliseconds for which the claim holds, or 0: it is over.
-- Gives 0 where the claim is not its own.

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
-- 0 or less removes it.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
