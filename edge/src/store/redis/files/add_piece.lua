-- Adds a piece to a file that is uploaded.
--
-- ARGV: id, number, piece, milliseconds that an upload may take, most files, most bytes of all.
-- Gives 0: the file was given up; 1: added; 2: there are too many; 3: they are too large.

local id, number, piece = ARGV[1], ARGV[2], ARGV[3]
if number == '0' then
  forget_ended()
  if redis.call('ZCARD', ends) >= tonumber(ARGV[5]) then return 2 end
elseif not redis.call('ZSCORE', ends, id) then
  return 0
end
if total() + #piece > tonumber(ARGV[6]) then
  drop(id)
  return 3
end
fill(id, number, piece)
if number == '0' then hold(id, now + tonumber(ARGV[4])) end
return 1
