-- Puts a set's tasks back into their group, and remembers why if it failed.
--
-- KEYS  set aggregation_sets groups, lunaq's groups
-- ARGV  prefix of groups, name of the group, ms until the next try (-1 =
--       nothing went wrong), error
-- Returns tasks; -1: the set is not there any more
-- Cost  O(tasks)
-- @allow-oom
-- @include _time
-- @include _type
-- @include _group_back
-- @include _group_fail
if not call('ZSCORE', KEYS[2], KEYS[1]) then return -1 end
local bad = misfit({KEYS[1], 'zset', ARGV[1] .. ARGV[2], 'zset', KEYS[3], 'set',
                    KEYS[4], 'hash'})
if bad then return bad end
local n = put_back(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
local wait = tonumber(ARGV[3])
if wait >= 0 then note_failure(KEYS[4], ARGV[2], wait, ARGV[4]) end
return n
