-- Keeps a batch of usage records, unless the segment of the spool was given that far already. See edge/src/usage/batch.rs.
--
-- KEYS: up to where the segment was given, the records, then a hash for each hour and day.
-- ARGV: where the batch begins and ends, milliseconds for which that is remembered, most records, milliseconds for which a
--       record is kept, how many records, these; then for each hour and day: milliseconds for which it is kept, how many
--       cells, and of each cell its name and its sums.
-- Gives up to where the segment is given now.

local from, to = tonumber(ARGV[1]), tonumber(ARGV[2])
local given = tonumber(redis.call('GET', KEYS[1]))
if given and given > from then return given end

local at = 6
local function following()
  at = at + 1
  return ARGV[at]
end

local function numbers(text)
  local list = {}
  for number in string.gmatch(text, '%d+') do list[#list + 1] = tonumber(number) end
  return list
end

local function added(text, more)
  local sums = numbers(more)
  for i, number in ipairs(numbers(text or '')) do sums[i] = sums[i] + number end
  -- Lua's own conversion would round large numbers.
  for i, number in ipairs(sums) do sums[i] = string.format('%.0f', number) end
  return table.concat(sums, ',')
end

for _ = 1, tonumber(ARGV[6]) do
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], '*', 'record', following())
end
local time = redis.call('TIME')
local oldest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[5])
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', math.max(oldest, 0)))

for i = 3, #KEYS do
  local kept = following()
  for _ = 1, tonumber(following()) do
    local cell, sums = following(), following()
    redis.call('HSET', KEYS[i], cell, added(redis.call('HGET', KEYS[i], cell), sums))
  end
  redis.call('PEXPIRE', KEYS[i], kept)
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return to
