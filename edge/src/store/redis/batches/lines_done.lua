-- Of which lines of a batch is known what became of them.
--
-- ARGV: id, the first number, how many.
-- Gives their numbers.

local files = redis.call('HMGET', base .. 'batch:' .. ARGV[1], 'output', 'errors')
local done = {}
if not files[1] then return done end
local output, errors = base .. 'file:' .. files[1], base .. 'file:' .. files[2]
for number = tonumber(ARGV[2]), tonumber(ARGV[2]) + tonumber(ARGV[3]) - 1 do
  if redis.call('HEXISTS', output, number) == 1 or redis.call('HEXISTS', errors, number) == 1 then
    done[#done + 1] = number
  end
end
return done
