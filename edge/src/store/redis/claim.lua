-- Claims the place of a request with an idempotency key. See edge/src/idempotency/mod.rs.
--
-- KEYS: the place: its request's fingerprint, and its owner or its answer.
-- ARGV: the fingerprint, the owner, milliseconds for which the claim holds.
-- Gives 0: claimed; 1: another's, of the same request; 2: of another request; 3 and the answer.

local found = redis.call('HMGET', KEYS[1], 'fingerprint', 'answer', 'owner')
if not found[1] then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'owner', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return { 0, '' }
end
if found[1] ~= ARGV[1] then return { 2, '' } end
if found[2] then return { 3, found[2] } end
-- It is asked again where the answer to the first time was lost, as a client of a cluster does.
if found[3] == ARGV[2] then return { 0, '' } end
return { 1, '' }
