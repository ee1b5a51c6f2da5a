-- Forgets a file.
--
-- ARGV: id.
-- Gives 1 where it was kept.

return drop(ARGV[1])
