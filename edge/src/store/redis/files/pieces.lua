-- Some of a file's content.
--
-- ARGV: id, the number of the first piece, that of the last, bytes that are enough, numbers that are looked for at most.
-- Gives 0 where it is gone, else 1, the number behind the last piece, and the pieces.

local key = base .. 'file:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then return { 0, 0, '' } end
local number, last, pieces, bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), {}, 0
local beyond = number + tonumber(ARGV[5])
while number <= last and number < beyond and bytes < tonumber(ARGV[4]) do
  local piece = redis.call('HGET', key, number)
  if piece then
    pieces[#pieces + 1] = piece
    bytes = bytes + #piece
  end
  number = number + 1
end
return { 1, number, table.concat(pieces) }
