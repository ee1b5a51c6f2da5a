-- Requests are still in progress. See `Ledger::renew` in edge/src/access/limits/ledger.rs.
--
-- KEYS: the tenant's leases by their ends, what they hold.
-- ARGV: milliseconds or 0, leases.

local ends = clock(ARGV[1]) + LEASE_MS
for i = 2, #ARGV do
  local text = redis.call('HGET', KEYS[2], ARGV[i])
  if text and text ~= '' then redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
end
return 0
