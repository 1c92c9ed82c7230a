-- Deletes completed tasks that outlived their retention.
--
-- KEYS  completed
-- ARGV  prefix of task keys, limit
-- Returns how many
-- Cost  O(log n + deleted)
-- @allow-oom
-- @include _time
local ids = call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0,
                 tonumber(ARGV[2]))
if #ids == 0 then return 0 end
local keys = {}
for i = 1, #ids do keys[i] = ARGV[1] .. ids[i] end
call('UNLINK', unpack(keys))
call('ZREM', KEYS[1], unpack(ids))
return #ids
