-- Counts a request and holds what it needs; without a lease it is counted only. See `Ledger::reserve` and `Ledger::count`
-- in edge/src/access/limits/ledger.rs.
--
-- KEYS: the tenant's leases by their ends, what they hold, the tally of each scope.
-- ARGV: milliseconds or 0, day, month, lease or nothing, ask.
-- Gives the refusal (6 numbers, the first 0: none), then limit, what is left and milliseconds until it is full, of
-- requests and of tokens (limit 0: there is none); then of each scope the parts that are left of its four limits (nothing: not
-- limited), and what was spent today and this month.

local leases, held, lease = KEYS[1], KEYS[2], ARGV[4]
local now = { ms = clock(ARGV[1]), day = tonumber(ARGV[2]), month = tonumber(ARGV[3]) }
local ask = cjson.decode(ARGV[5])

local function check_budget(bound, spent, held_cost)
  if not bound then return nil end
  if spent + held_cost + ask.cost > bound or spent + held_cost >= bound then
    return { BUDGET, bound, ask.cost, 0, 0, 0 }
  end
end

local function check_request(tally)
  local scope = tally.scope
  if lease ~= '' then
    local refused = check_budget(scope.day_hard, tally.day_spent, tally.held)
      or check_budget(scope.month_hard, tally.month_spent, tally.held)
    if refused then return refused end
    if scope.open and tally.open >= scope.open then return { CONCURRENT, scope.open, 1, 1, tally.open, SOON_MS } end
  end
  return check(tally.rm, RPM, 1) or check(tally.rd, RPD, 1)
end

local function first(tallies, what)
  for _, tally in ipairs(tallies) do
    local refused = what(tally)
    if refused then return refused end
  end
end

-- Of the scopes that limit it, the one of which less is left.
local function tightest(tallies, name)
  local limit, left, reset = 0, 0, 0
  for _, tally in ipairs(tallies) do
    local bucket = tally[name]
    if bucket then
      local remaining = math.max(math.floor(bucket.level / PARTS), 0)
      if limit == 0 or remaining < left then
        limit, left, reset = bucket.limit, remaining, time_until_full(bucket)
      end
    end
  end
  return limit, left, reset
end

local function answer(tallies, refused)
  local told = refused or { 0, 0, 0, 0, 0, 0 }
  for _, name in ipairs({ 'rm', 'tm' }) do
    for _, value in ipairs({ tightest(tallies, name) }) do told[#told + 1] = value end
  end
  for _, tally in ipairs(tallies) do
    for _, name in ipairs({ 'rm', 'tm', 'rd', 'td' }) do
      told[#told + 1] = tally[name] and tally[name].level or false
    end
    told[#told + 1] = tally.day_spent
    told[#told + 1] = tally.month_spent
  end
  return told
end

if lease ~= '' then give_back_lapsed(leases, held, now) end
local tallies = load_tallies(ask, now)
-- It is asked again where the answer to the first time was lost, as a client of a cluster does.
if lease ~= '' and (redis.call('HGET', held, lease) or '') ~= '' then return answer(tallies, nil) end
local refused = first(tallies, check_request)
if refused then return answer(tallies, refused) end

for _, tally in ipairs(tallies) do
  settle(tally.rm, 1, 0)
  settle(tally.rd, 1, 0)
end
if lease ~= '' then
  refused = first(tallies, function(tally)
    return check(tally.tm, TPM, ask.tokens) or check(tally.td, TPD, ask.tokens)
  end)
  if not refused then
    for _, tally in ipairs(tallies) do
      settle(tally.tm, ask.tokens, 0)
      settle(tally.td, ask.tokens, 0)
      tally.open = tally.open + 1
      tally.held = tally.held + ask.cost
    end
    put_lease(leases, held, lease, now.ms + LEASE_MS, ARGV[5])
  end
end
for _, tally in ipairs(tallies) do save_tally(tally) end
return answer(tallies, refused)
