-- Takes a set out of a group when it is due, by Asynq's rules.
--
-- KEYS  group set aggregation_sets groups, lunaq's groups
-- ARGV  prefix of task keys, name of the group, max size (0 = none), max delay
--       s (0 = none), grace s, ms until the set ends, tasks at most, bytes of
--       messages at most
-- Returns {tasks left in the group, id, msg, …}, the oldest first; no ids: it
--       is not due
-- Cost  O(tasks)
-- @allow-oom
-- @include _time
-- @include _type
local group, set, sets, groups = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local max, delay, grace = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local bad = misfit({group, 'zset', set, 'zset', sets, 'zset', groups, 'set'})
if bad then return bad end
local size = call('ZCARD', group)
if size == 0 then
  call('SREM', groups, ARGV[2])
  return {0}
end
local failed = call('HGET', KEYS[5], ARGV[2])
if failed then
  local _, until_ms = failed:match('^(%d+) (%d+) ')
  if until_ms and tonumber(until_ms) > now * 1000 then return {size} end
end
local due = max > 0 and size >= max
if not due then
  local oldest = tonumber(call('ZRANGE', group, 0, 0, 'WITHSCORES')[2])
  local newest = tonumber(call('ZRANGE', group, -1, -1, 'WITHSCORES')[2])
  due = delay > 0 and oldest <= now_s - delay or newest <= now_s - grace
end
if not due then return {size} end
local want = tonumber(ARGV[7])
if max > 0 and max < want then want = max end
local room, out, n, full = tonumber(ARGV[8]), {0}, 0, false
while n < want and not full do
  local page = call('ZRANGE', group, 0, math.min(want - n, 100) - 1,
                    'WITHSCORES')
  if #page == 0 then break end
  local gone, put = {}, {}
  for i = 1, #page, 2 do
    local id = page[i]
    local msg = pcall('HGET', ARGV[1] .. id, 'msg')
    if type(msg) == 'string' then
      if n > 0 and #msg > room then
        full = true
        break
      end
      room = room - #msg
      n = n + 1
      out[2 * n], out[2 * n + 1] = id, msg
      put[#put + 1], put[#put + 2] = page[i + 1], id
    end
    -- An id without a task: dropped.
    gone[#gone + 1] = id
  end
  if #put > 0 then call('ZADD', set, unpack(put)) end
  if #gone > 0 then call('ZREM', group, unpack(gone)) end
end
if n > 0 then
  call('ZADD', sets, ceil(now + tonumber(ARGV[6]) / 1000), set)
end
out[1] = call('ZCARD', group)
if out[1] == 0 then call('SREM', groups, ARGV[2]) end
return out
