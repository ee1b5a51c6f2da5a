-- What all scripts of files and batches begin with. See edge/src/store/files.rs.
--
-- KEYS: the beginning of all names of a tenant, whose keys lie in one slot.

local base = KEYS[1]
local records, order = base .. 'files', base .. 'files:order'
local ends, sizes = base .. 'files:ends', base .. 'files:sizes'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A file is forgotten. Gives 1 where it was kept.
local function drop(id)
  local size = tonumber(redis.call('HGET', sizes, id) or '0')
  local was_kept = redis.call('HDEL', records, id)
  redis.call('HDEL', sizes, id)
  if size > 0 then redis.call('HINCRBY', sizes, 'total', -size) end
  redis.call('ZREM', order, id)
  redis.call('ZREM', ends, id)
  redis.call('UNLINK', base .. 'file:' .. id)
  return was_kept
end

-- Files whose time is over, a few for each call.
local function forget_ended()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 64)) do drop(id) end
end

-- A file is there until then, and what is known of all files as long as the last of them. A minute more, so that it is
-- forgotten in step.
local function hold(id, until_when)
  redis.call('ZADD', ends, until_when, id)
  redis.call('PEXPIREAT', base .. 'file:' .. id, until_when + 60000)
  local last = tonumber(redis.call('ZRANGE', ends, -1, -1, 'WITHSCORES')[2])
  for _, key in ipairs({ records, order, ends, sizes }) do redis.call('PEXPIREAT', key, last + 60000) end
end

-- Content is added to a file, which takes its room. A client of a cluster asks again where the first answer was lost.
local function fill(id, number, text)
  if redis.call('HSET', base .. 'file:' .. id, number, text) == 0 then return end
  redis.call('HINCRBY', sizes, id, #text)
  redis.call('HINCRBY', sizes, 'total', #text)
end

local function total() return tonumber(redis.call('HGET', sizes, 'total') or '0') end

local function keep(id, record, until_when)
  redis.call('HSET', records, id, record)
  redis.call('ZADD', order, 0, id)
  hold(id, until_when)
end

