-- Lets a set end later.
--
-- KEYS  aggregation_sets
-- ARGV  key of the set, ms from now
-- Returns 1; 0: the set is not there any more
-- Cost  O(log sets)
-- @include _time
if not call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
call('ZADD', KEYS[1], 'XX', ceil(now + tonumber(ARGV[2]) / 1000), ARGV[1])
return 1
