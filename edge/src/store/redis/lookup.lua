-- The key that has a hash, and its tenant; before them the epoch, which begins anew where the store is wiped.
--
-- KEYS: keys by id, ids of keys by hash, tenants by id, the epoch.
-- ARGV: the hash, an epoch to begin.

local epoch = redis.call('GET', KEYS[4])
if not epoch then
  epoch = ARGV[2]
  redis.call('SET', KEYS[4], epoch)
end
local id = redis.call('HGET', KEYS[2], ARGV[1])
local key = id and redis.call('HGET', KEYS[1], id)
if not key then return { epoch } end
local tenant = redis.call('HGET', KEYS[3], cjson.decode(key).tenant)
return { epoch, key, tenant or '' }
