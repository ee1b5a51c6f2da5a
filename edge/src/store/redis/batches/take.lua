-- Takes the open batch that has waited longest for somebody.
--
-- KEYS: the open batches by when somebody is to look at them, who is at each.
-- ARGV: who takes it, milliseconds until others may, tenants that are passed over.
-- Gives the batch, or nothing.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local passed = {}
for number = 3, #ARGV do passed[ARGV[number]] = true end
local from = 0
while true do
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', from, 256)
  for _, batch in ipairs(due) do
    if not passed[string.match(batch, '^[^ ]* (.*)$')] then
      redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), batch)
      redis.call('HSET', KEYS[2], batch, ARGV[1])
      return batch
    end
  end
  from = from + #due
  if #due < 256 then return false end
end
