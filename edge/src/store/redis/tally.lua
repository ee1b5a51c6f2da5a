-- What a scope has used, as edge/src/access/limits/tally.rs and bucket.rs count it: the same sums, held against them by
-- tests. Put before the other scripts of this folder. Every number is an integer that a double holds exactly.

local PARTS, MOST_TICKS, DAY_TICK_MS = 60000, 120000, 1440
local LEASE_MS, SETTLED_MS, MOST_LAPSED, SOON_MS = 30000, 120000, 16, 1000
-- Longer than a month: a budget's month is not forgotten, and what nobody uses any more is.
local KEPT_MS = 32 * 86400 * 1000
local RPM, TPM, RPD, TPD, CONCURRENT, BUDGET = 1, 2, 3, 4, 5, 6
local FIELDS = {
  'rm', 'rm_at', 'tm', 'tm_at', 'rd', 'rd_at', 'td', 'td_at', 'open', 'held', 'day', 'day_spent', 'month', 'month_spent'
}

-- This server's clock, so that edges need not agree on the time. Tests bring their own.
local function clock(given)
  if tonumber(given) > 0 then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function refilled(limit, level, at, tick_ms, now)
  if not limit then return nil end
  local tick, full = math.floor(now / tick_ms), limit * PARTS
  level, at = tonumber(level), tonumber(at)
  if not level then return { limit = limit, level = full, at = tick, tick_ms = tick_ms } end
  local passed = math.min(math.max(tick - at, 0), MOST_TICKS)
  level = math.min(math.max(level, -full) + passed * limit, full)
  return { limit = limit, level = level, at = math.max(at, tick), tick_ms = tick_ms }
end

local function settle(bucket, taken, given)
  if not bucket then return end
  local full = bucket.limit * PARTS
  bucket.level = math.min(math.max(bucket.level + given * PARTS - taken * PARTS, -full), full)
end

local function time_for(bucket, parts)
  return math.floor((parts + bucket.limit - 1) / bucket.limit) * bucket.tick_ms
end

-- Rounded down, as OpenAI does.
local function time_until_full(bucket)
  return math.floor((bucket.limit * PARTS - bucket.level) / bucket.limit) * bucket.tick_ms
end

-- Nothing, or the refusal: measure, limit, requested, whether there is something to wait for, used, milliseconds.
local function check(bucket, measure, amount)
  if not bucket then return nil end
  if amount > bucket.limit then return { measure, bucket.limit, amount, 0, 0, 0 } end
  local short = amount * PARTS - bucket.level
  if short <= 0 then return nil end
  local used = bucket.limit - math.floor(bucket.level / PARTS)
  return { measure, bucket.limit, amount, 1, used, time_for(bucket, short) }
end

local function number(text)
  return tonumber(text) or 0
end

local function load_tally(scope, now)
  local f = redis.call('HMGET', scope.key, unpack(FIELDS))
  local day, month = number(f[11]), number(f[13])
  return {
    scope = scope,
    rm = refilled(scope.rm, f[1], f[2], 1, now.ms),
    tm = refilled(scope.tm, f[3], f[4], 1, now.ms),
    rd = refilled(scope.rd, f[5], f[6], DAY_TICK_MS, now.ms),
    td = refilled(scope.td, f[7], f[8], DAY_TICK_MS, now.ms),
    open = number(f[9]),
    held = number(f[10]),
    day = math.max(day, now.day),
    day_spent = now.day > day and 0 or number(f[12]),
    month = math.max(month, now.month),
    month_spent = now.month > month and 0 or number(f[14]),
  }
end

local function save_tally(tally)
  local values = {}
  local function put(name, value)
    values[#values + 1] = name
    -- Lua's own conversion would round large numbers.
    values[#values + 1] = string.format('%.0f', value)
  end
  for _, name in ipairs({ 'rm', 'tm', 'rd', 'td' }) do
    local bucket = tally[name]
    if bucket then
      put(name, bucket.level)
      put(name .. '_at', bucket.at)
    end
  end
  for _, name in ipairs({ 'open', 'held', 'day', 'day_spent', 'month', 'month_spent' }) do
    put(name, tally[name])
  end
  redis.call('HSET', tally.scope.key, unpack(values))
  redis.call('PEXPIRE', tally.scope.key, KEPT_MS)
end

local function load_tallies(ask, now)
  local tallies = {}
  for i, scope in ipairs(ask.scopes) do tallies[i] = load_tally(scope, now) end
  return tallies
end

local function release(tally, ask)
  settle(tally.tm, 0, ask.tokens)
  settle(tally.td, 0, ask.tokens)
  tally.open = math.max(tally.open - 1, 0)
  tally.held = math.max(tally.held - ask.cost, 0)
end

local function put_lease(leases, held, lease, ends, text)
  redis.call('ZADD', leases, ends, lease)
  redis.call('HSET', held, lease, text)
  redis.call('PEXPIRE', leases, KEPT_MS)
  redis.call('PEXPIRE', held, KEPT_MS)
end

-- Their keys are not among KEYS: they are known only here. They lie in the slot of the same tenant.
local function give_back_lapsed(leases, held, now)
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now.ms, 'LIMIT', 0, MOST_LAPSED)) do
    local text = redis.call('HGET', held, lease)
    redis.call('ZREM', leases, lease)
    redis.call('HDEL', held, lease)
    if text and text ~= '' then
      local ask = cjson.decode(text)
      for _, scope in ipairs(ask.scopes) do
        local tally = load_tally(scope, now)
        release(tally, ask)
        save_tally(tally)
      end
    end
  end
end

