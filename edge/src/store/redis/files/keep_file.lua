-- A file is there from now on.
--
-- ARGV: id, what is known of it, until when it is kept.
-- Gives 0 where it was given up.

if not redis.call('ZSCORE', ends, ARGV[1]) then return 0 end
keep(ARGV[1], ARGV[2], tonumber(ARGV[3]))
return 1
