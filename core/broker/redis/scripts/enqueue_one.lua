-- Enqueues one task that is neither delayed nor unique nor grouped: the usual
-- call of a producer, at half the cost of the script for all of them.
--
-- KEYS  task, pending
-- ARGV  id, msg
-- Returns P pending, E the id exists, W pending is of a wrong type
-- Cost  O(1)
if redis.call('EXISTS', KEYS[1]) == 1 then return 'E' end
local r = redis.pcall('LPUSH', KEYS[2], ARGV[1])
if type(r) == 'table' then
  return string.find(r.err, 'WRONGTYPE', 1, true) and 'W' or r
end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], 'msg', ARGV[2], 'state', 'pending',
           'pending_since',
           clock[1] .. string.format('%06d', clock[2]) .. '000')
return 'P'
