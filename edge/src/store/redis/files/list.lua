-- A page of a tenant's files.
--
-- ARGV: the id before it or nothing, how many, 1 where the newest come first.
-- Gives what is known of each, and its size.

forget_ended()
local after = ARGV[1] ~= '' and '(' .. ARGV[1]
local ids
if ARGV[3] == '1' then
  ids = redis.call('ZREVRANGEBYLEX', order, after or '+', '-', 'LIMIT', 0, ARGV[2])
else
  ids = redis.call('ZRANGEBYLEX', order, after or '-', '+', 'LIMIT', 0, ARGV[2])
end
local found = {}
for _, id in ipairs(ids) do
  found[#found + 1] = redis.call('HGET', records, id)
  found[#found + 1] = redis.call('HGET', sizes, id) or '0'
end
return found
