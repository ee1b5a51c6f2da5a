-- A tenant; before it the epoch, which begins anew where the store is wiped, as with keys.
--
-- KEYS: tenants by id, the epoch.
-- ARGV: the id, an epoch to begin.

local epoch = redis.call('GET', KEYS[2])
if not epoch then
  epoch = ARGV[2]
  redis.call('SET', KEYS[2], epoch)
end
local tenant = redis.call('HGET', KEYS[1], ARGV[1])
if not tenant then return { epoch } end
return { epoch, tenant }
