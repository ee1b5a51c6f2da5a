-- A page of a tenant's batches, the newest first.
--
-- ARGV: the id before it or nothing, how many.
-- Gives of each what is known of it and six numbers.

local all = base .. 'batches'
local from, found = ARGV[1] ~= '' and '(' .. ARGV[1] or '+', {}
local left = tonumber(ARGV[2])
while left > 0 do
  local ids = redis.call('ZREVRANGEBYLEX', all, from, '-', 'LIMIT', 0, left)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local batch = redis.call('HMGET', base .. 'batch:' .. id, 'record', 'completed', 'failed', 'input', 'cached', 'output_tokens', 'reasoning')
    if batch[1] then
      for field = 1, 7 do found[#found + 1] = batch[field] or '0' end
      left = left - 1
    else
      redis.call('ZREM', all, id)
    end
  end
  from = '(' .. ids[#ids]
end
return found
