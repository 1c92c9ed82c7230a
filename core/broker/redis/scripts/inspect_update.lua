-- Gives a task that waits or is archived another payload.
--
-- KEYS  1 the task  2 aggregation_sets
-- ARGV  1 its id  2 the payload
-- Returns {1 done | 0 no such task | -1 its state does not allow it | -2 its
--       message cannot be read, its state}
-- Cost  O(message)
--
-- The payload is field 2 of the message: it is taken out and put behind the
-- rest, so that what we do not know of stays as it is.
-- @include _message
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {0, ''} end
local h = redis.call('HMGET', KEYS[1], 'state', 'msg')
local state, msg = h[1] or 'nowhere', h[2]
if not msg then return {0, state} end
local may = {pending = true, scheduled = true, retry = true, archived = true,
             aggregating = true}
if state == 'aggregating' then
  for _, set in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if redis.call('ZSCORE', set, ARGV[1]) then
      return {-1, 'being aggregated'}
    end
  end
end
if not may[state] then return {-1, state} end
if not field(msg, 1) then return {-2, state} end
local from, _, stop = field(msg, 2)
while from do
  msg = msg:sub(1, from - 1) .. msg:sub(stop)
  from, _, stop = field(msg, 2)
end
local n, len = #ARGV[2], ''
while n >= 128 do
  len = len .. string.char(n % 128 + 128)
  n = math.floor(n / 128)
end
if #ARGV[2] > 0 then
  msg = msg .. '\18' .. len .. string.char(n) .. ARGV[2]
end
redis.call('HSET', KEYS[1], 'msg', msg)
return {1, state}
