-- Reads a queue in numbers.
--
-- KEYS  1 pending  2 active  3 scheduled  4 retry  5 archived  6 completed
--       7 groups  8 paused  9 processed:today  10 failed:today  11 processed
--       12 failed  13 lunaq's dropped  14 lunaq's limits  15 aggregation_sets
-- ARGV  1 prefix of task keys  2 prefix of group keys
-- Returns {pending, active, scheduled, retry, archived, completed, groups,
--       aggregating, processed today, failed today, processed, failed,
--       latency in ms, dropped, archive max, archive age s, completed max
--       (as they were said), paused at or nil}
-- Cost  O(groups), of which at most 1000 are counted; beyond that the number
--       of aggregating tasks is an estimate, so that nobody has to wait.
local groups = redis.call('SCARD', KEYS[7])
local aggregating = 0
local names = redis.call('SRANDMEMBER', KEYS[7], 1000)
for _, name in ipairs(names) do
  aggregating = aggregating + redis.call('ZCARD', ARGV[2] .. name)
end
if groups > #names then
  aggregating = math.floor(aggregating * groups / #names)
end

-- Those that are being aggregated have not gone, either.
for _, set in ipairs(redis.call('ZRANGE', KEYS[15], 0, 999)) do
  local size = redis.pcall('ZCARD', set)
  if type(size) == 'number' then aggregating = aggregating + size end
end

local latency = 0
local next_id = redis.call('LINDEX', KEYS[1], -1)
local since = next_id and
  redis.pcall('HGET', ARGV[1] .. next_id, 'pending_since')
since = type(since) == 'string' and tonumber(since)
if since then
  local now = redis.call('TIME')
  latency = math.max(0, math.floor(now[1] * 1000 + now[2] / 1000 - since / 1e6))
end

local dropped = redis.pcall('GET', KEYS[13])
if type(dropped) ~= 'string' then dropped = '0' end
local limits = redis.pcall('HMGET', KEYS[14], 'archive_max', 'archive_s',
  'completed_max')

return {redis.call('LLEN', KEYS[1]), redis.call('LLEN', KEYS[2]),
  redis.call('ZCARD', KEYS[3]), redis.call('ZCARD', KEYS[4]),
  redis.call('ZCARD', KEYS[5]), redis.call('ZCARD', KEYS[6]), groups,
  aggregating, redis.call('GET', KEYS[9]) or '0',
  redis.call('GET', KEYS[10]) or '0', redis.call('GET', KEYS[11]) or '0',
  redis.call('GET', KEYS[12]) or '0', latency, dropped, limits[1] or '0',
  limits[2] or '0', limits[3] or '0', redis.call('GET', KEYS[8])}
