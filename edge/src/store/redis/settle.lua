-- A request is over. See `Ledger::settle` in edge/src/access/limits/ledger.rs.
--
-- KEYS: the tenant's leases by their ends, what they hold, the tally of each scope.
-- ARGV: milliseconds or 0, day, month, lease, ask, tokens used, cost used, 1 when late.
-- Gives 1 when a soft bound of a budget was passed by this.

local leases, held, lease = KEYS[1], KEYS[2], ARGV[4]
local now = { ms = clock(ARGV[1]), day = tonumber(ARGV[2]), month = tonumber(ARGV[3]) }
local tokens, cost, late = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'

give_back_lapsed(leases, held, now)
local state = redis.call('HGET', held, lease)
if state == '' then return 0 end

local ask, passed = cjson.decode(ARGV[5]), 0
local function spend(before, soft)
  if soft and before < soft and soft <= before + cost then passed = 1 end
  return before + cost
end

for _, tally in ipairs(load_tallies(ask, now)) do
  if state then release(tally, ask) end
  if state or not late then settle(tally.tm, tokens, 0) end
  settle(tally.td, tokens, 0)
  tally.day_spent = spend(tally.day_spent, tally.scope.day_soft)
  tally.month_spent = spend(tally.month_spent, tally.scope.month_soft)
  save_tally(tally)
end
put_lease(leases, held, lease, now.ms + SETTLED_MS, '')
return passed
