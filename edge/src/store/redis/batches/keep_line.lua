-- Keeps what became of a line of a batch, once and for all.
--
-- ARGV: id, number, `completed` or `failed`, text, most bytes of all files, tokens: input, cached, output, reasoning.
-- Gives 0: the batch is over; 1: kept; 2: it was known; 3: there is no room.

local key, number, text = base .. 'batch:' .. ARGV[1], ARGV[2], ARGV[4]
local batch = redis.call('HMGET', key, 'over', 'output', 'errors', 'until')
if batch[1] or not batch[2] then return 0 end
for _, id in ipairs({ batch[2], batch[3] }) do
  if redis.call('HEXISTS', base .. 'file:' .. id, number) == 1 then return 2 end
end
local is_completed = ARGV[3] == 'completed'
if is_completed and total() + #text > tonumber(ARGV[5]) then
  forget_ended()
  if total() + #text > tonumber(ARGV[5]) then return 3 end
end
local id = is_completed and batch[2] or batch[3]
fill(id, number, text)
-- Until the batch is over it is kept as long as that.
if redis.call('HLEN', base .. 'file:' .. id) == 1 then hold(id, tonumber(batch[4])) end
redis.call('HINCRBY', key, ARGV[3], 1)
for field, name in ipairs({ 'input', 'cached', 'output_tokens', 'reasoning' }) do
  if ARGV[5 + field] ~= '0' then redis.call('HINCRBY', key, name, ARGV[5 + field]) end
end
return 1
