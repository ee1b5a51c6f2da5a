-- Puts what is known of a batch in the place of what was, unless somebody else was faster.
--
-- ARGV: id, what was known, what is; where it is over: until when it is known, and of each file its id, what is known of it, and
--       until when it is kept.
-- Gives 0 where another was faster.

local key = base .. 'batch:' .. ARGV[1]
if redis.call('HGET', key, 'record') ~= ARGV[2] then return 0 end
redis.call('HSET', key, 'record', ARGV[3])
if not ARGV[4] then return 1 end
redis.call('HSET', key, 'over', 1)
redis.call('SREM', base .. 'batches:open', ARGV[1])
redis.call('PEXPIREAT', key, ARGV[4])
for number = 5, #ARGV, 3 do
  if redis.call('EXISTS', base .. 'file:' .. ARGV[number]) == 1 then
    keep(ARGV[number], ARGV[number + 1], tonumber(ARGV[number + 2]))
  end
end
return 1
