-- The key that has a hash, and its tenant.
--
-- KEYS: keys by id, ids of keys by hash, tenants by id.
-- ARGV: the hash.

local id = redis.call('HGET', KEYS[2], ARGV[1])
local key = id and redis.call('HGET', KEYS[1], id)
if not key then return {} end
local tenant = redis.call('HGET', KEYS[3], cjson.decode(key).tenant)
return { key, tenant or '' }
