-- Reads a batch of a queue's tasks with all that is known of them.
--
-- KEYS  1 pending  2 active  3 lease  4 scheduled  5 retry  6 archived
--       7 completed  8 groups  9 aggregation_sets
-- ARGV  1 cursor: "place:rank", or "" to begin  2 tasks a batch  3 bytes
--       4 prefix of task keys  5 prefix of group keys  6 prefix of locks
-- Returns {cursor, ids without a task, {id, state, at ms, msg, group, unique
--       key, cancel, result, crashes, ms of its lock}, …}; cursor "0" at the
--       end.  Pending ones come in the order in which they run.
-- Cost  O(rank + tasks a batch) for lists, O(log n + tasks a batch) else.
-- @include _message
local place, rank = ARGV[1]:match('^(%d+):(%d+)$')
place, rank = tonumber(place) or 1, tonumber(rank) or 0
local room, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])
local names = {'pending', 'active', 'scheduled', 'retry', 'archived',
  'completed', 'aggregating', 'aggregating'}
local rows, dangling = {'0', 0}, 0

-- {id, score, …}
local function list_page(key, first, count)
  local page = redis.call('LRANGE', key, -first - count, -first - 1)
  local flat = {}
  for i = #page, 1, -1 do
    flat[#flat + 1] = page[i]
    flat[#flat + 1] = place == 2 and redis.call('ZSCORE', KEYS[3], page[i]) or
      '0'
  end
  return flat
end

-- From several sorted sets as if they were one.
local function sets_page(keys, first, count)
  local flat = {}
  for _, key in ipairs(keys) do
    local size = redis.call('ZCARD', key)
    if first < size and #flat / 2 < count then
      local some = redis.call('ZRANGE', key, first,
        first + count - #flat / 2 - 1, 'WITHSCORES')
      for i = 1, #some do flat[#flat + 1] = some[i] end
      first = 0
    else
      first = first - size
    end
  end
  return flat
end

local function page_of(first, count)
  if place <= 2 then return list_page(KEYS[place], first, count) end
  if place <= 6 then
    return redis.call('ZRANGE', KEYS[place + 1], first, first + count - 1,
      'WITHSCORES')
  end
  local keys = {}
  if place == 7 then
    local groups = redis.call('SMEMBERS', KEYS[8])
    table.sort(groups)
    for i = 1, #groups do keys[i] = ARGV[5] .. groups[i] end
  else
    local sets = redis.call('ZRANGE', KEYS[9], 0, -1)
    for i = 1, #sets do
      if sets[i]:sub(1, #ARGV[5]) == ARGV[5] then keys[#keys + 1] = sets[i] end
    end
  end
  return sets_page(keys, first, count)
end

local function add(id, score)
  local t = ARGV[4] .. id
  local h = redis.pcall('HMGET', t, 'msg', 'group', 'lunaq_group',
    'unique_key', 'lunaq_cancel', 'result', 'lunaq_crashes', 'pending_since',
    'lunaq_alone')
  if h.err or not h[1] then
    dangling = dangling + 1
    return
  end
  local at = math.floor(tonumber(score) or 0) * 1000
  if place == 1 then at = math.floor((tonumber(h[8]) or 0) / 1e6) end
  local group = h[2] or h[3]
  if names[place] == 'scheduled' and not group and not h[9] then
    -- As our forwarder finds the group of what Asynq's client scheduled.
    local _, from, stop = field(h[1], 14)
    group = from and stop > from and h[1]:sub(from, stop - 1) or false
  end
  local lock, left = lock_of(t, ARGV[6]), 0
  if lock and redis.pcall('GET', lock) == id then
    left = math.max(0, redis.call('PTTL', lock))
  end
  rows[#rows + 1] = {id, names[place], string.format('%.0f', at), h[1],
    group, lock or h[4], h[5], h[6], h[7] or '0', left}
  bytes = bytes - #h[1] - (h[6] and #h[6] or 0)
end

while place <= 8 and room > 0 and bytes > 0 do
  local page = page_of(rank, room)
  for i = 1, #page, 2 do
    if bytes <= 0 then break end
    add(page[i], page[i + 1])
    rank, room = rank + 1, room - 1
  end
  if bytes > 0 and room > 0 then place, rank = place + 1, 0 end
end
if place <= 8 then rows[1] = place .. ':' .. rank end
rows[2] = dangling
return rows
