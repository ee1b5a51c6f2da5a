-- Puts a document in the place of another, or of none, unless somebody else was faster.
--
-- KEYS: the documents by id, their ids in order, the ids by the hashes of keys.
-- ARGV: id, the document there was or nothing, the one to put or nothing, channel, message, how many hashes to forget,
--       these, those to remember.
-- Gives 0 when another document is there, or one of the hashes is another's.

local documents, order, hashes = KEYS[1], KEYS[2], KEYS[3]
local id, old, new = ARGV[1], ARGV[2], ARGV[3]

if (redis.call('HGET', documents, id) or '') ~= old then return 0 end
local first_new = 7 + tonumber(ARGV[6])
for i = first_new, #ARGV do
  local owner = redis.call('HGET', hashes, ARGV[i])
  if owner and owner ~= id then return 0 end
end
for i = 7, first_new - 1 do redis.call('HDEL', hashes, ARGV[i]) end
for i = first_new, #ARGV do redis.call('HSET', hashes, ARGV[i], id) end
if new == '' then
  redis.call('HDEL', documents, id)
  redis.call('ZREM', order, id)
else
  redis.call('HSET', documents, id, new)
  redis.call('ZADD', order, 0, id)
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
