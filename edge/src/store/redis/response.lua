-- A response.
--
-- KEYS: what is known of it, what has happened.
-- ARGV: from where on that is wanted.
-- Gives 0: there is none; 1: it is over, or left by its edge; 2: an edge is at it; and the two.

local found = redis.call('HMGET', KEYS[1], 'record', 'alive')
if not found[1] then return { 0, '', '' } end
local log = redis.call('GETRANGE', KEYS[2], ARGV[1], -1)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if found[2] and tonumber(found[2]) > now then return { 2, found[1], log } end
return { 1, found[1], log }
