-- Removes a queue, a part at a time.
--
-- KEYS  1 pending  2 active  3 lease  4 scheduled  5 retry  6 archived
--       7 completed  8 groups  9 aggregation_sets  10 paused
-- ARGV  1 Asynq's prefix of the queue's keys  2 lunaq's
--       3 force: 2 also active tasks | 1 if nobody holds them | 0  4 cursor: "tasks", or "scan:<n>"  5 tasks a part
-- Returns the next cursor, "done" at the end, "active" or "tasks?" when it
--       holds such and may not be removed.
-- Cost  O(tasks a part); the scan walks all keys of the server once.
--
-- First the tasks go, then, by scanning, what belongs to none of them: locks,
-- counters, orphans, lunaq's own keys.  Meanwhile the queue is paused, so that
-- no server takes from it.
local asynq, lunaq = ARGV[1], ARGV[2]
local force, cursor, part = ARGV[3] ~= '0', ARGV[4], tonumber(ARGV[5])
local lists = {[KEYS[1]] = true, [KEYS[2]] = true}
local tasks = {KEYS[4], KEYS[5], KEYS[6], KEYS[7]}
local collections = {}
for i = 1, 10 do collections[KEYS[i]] = true end

local function group_keys()
  local keys = {}
  for _, name in ipairs(redis.call('SMEMBERS', KEYS[8])) do
    keys[#keys + 1] = asynq .. 'g:' .. name
  end
  for _, set in ipairs(redis.call('ZRANGE', KEYS[9], 0, -1)) do
    if set:sub(1, #asynq) == asynq then keys[#keys + 1] = set end
  end
  return keys
end

local function waiting()
  if redis.call('EXISTS', KEYS[1], unpack(tasks)) > 0 then return true end
  for _, key in ipairs(group_keys()) do
    if redis.call('EXISTS', key) == 1 then return true end
  end
  return false
end

-- Deletes tasks from one collection; how many of `room` are left.
local function drain(key, room)
  if room <= 0 then return 0 end
  local is_list = lists[key]
  local ids
  if is_list then
    ids = redis.call('LRANGE', key, 0, room - 1)
  else
    ids = redis.call('ZRANGE', key, 0, room - 1)
  end
  for _, id in ipairs(ids) do
    redis.call('DEL', asynq .. 't:' .. id)
    if not is_list then redis.call('ZREM', key, id) end
  end
  if is_list then redis.call('LTRIM', key, #ids, -1) end
  return room - #ids
end

-- By force active tasks go, too, when all their leases ended long enough ago
-- for any server to have seen it: nobody holds them.
if ARGV[3] ~= '2' and redis.call('EXISTS', KEYS[2]) == 1 and (not force or
   redis.call('ZCOUNT', KEYS[3], redis.call('TIME')[1] - 30, '+inf') > 0) then
  return 'active'
end
if not force and waiting() then return 'tasks?' end
redis.call('SETNX', KEYS[10], redis.call('TIME')[1])

if cursor == 'tasks' then
  local room = drain(KEYS[2], drain(KEYS[1], part))
  for _, key in ipairs(tasks) do room = drain(key, room) end
  for _, key in ipairs(group_keys()) do room = drain(key, room) end
  return room > 0 and 'scan:0' or 'tasks'
end

-- '*', '?', '[' and '\' mean something in a pattern; what they match too much
-- is sorted out by comparing the prefixes.
local tag = asynq:match('{.*}'):gsub('[%*%?%[%]\\]', '?')
local page = redis.call('SCAN', cursor:match('%d+$'), 'MATCH',
  '*:' .. tag .. ':*', 'COUNT', 1000)
for _, key in ipairs(page[2]) do
  local ours = key:sub(1, #lunaq) == lunaq
  local theirs = key:sub(1, #asynq) == asynq
  local group = key:sub(1, #asynq + 2) == asynq .. 'g:'
  if ours or (theirs and not group and not collections[key]) then
    redis.call('DEL', key)
  end
end
if page[1] ~= '0' then return 'scan:' .. page[1] end
if waiting() then return 'tasks' end -- a producer was faster
for i = 1, 10 do redis.call('DEL', KEYS[i]) end
return 'done'
