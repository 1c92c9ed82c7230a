-- Leaves an order for a server that lives, and says so to those who listen.
--
-- KEYS  its record, its orders
-- ARGV  the order, for how many seconds it is kept, channel, note
-- Returns 1; 0 = no such server
-- Cost  O(1)
-- @allow-oom
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
