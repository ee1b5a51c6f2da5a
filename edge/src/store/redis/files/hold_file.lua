-- A file is there at least until then.
--
-- ARGV: id, until when.
-- Gives 0 where there is none.

if redis.call('HEXISTS', records, ARGV[1]) == 0 then return 0 end
local until_when = tonumber(redis.call('ZSCORE', ends, ARGV[1]))
if until_when < tonumber(ARGV[2]) then hold(ARGV[1], tonumber(ARGV[2])) end
return 1
