-- Removes a queue, a part at a time.
--
-- KEYS  1 pending  2 active  3 lease  4 scheduled  5 retry  6 archived
--       7 completed  8 groups  9 aggregation_sets  10 paused
-- ARGV  1 Asynq's prefix of the queue's keys  2 lunaq's
--       3 force: 2 also active tasks | 1 if nobody holds them | 0
--       4 cursor: "tasks", "look:<n>" or "scan:<n>"  5 tasks a part
-- Returns the next cursor, "done" at the end, "active" or "tasks?" when it
--       holds such and may not be removed.
-- Cost  O(tasks a part); looking and scanning walk all keys of the server once
--       each.
--
-- First, unless by force, all keys are looked at for tasks.  Then the tasks go,
-- then, by scanning, what belongs to none of them: locks,
-- counters, orphans, lunaq's own keys.  Meanwhile the queue is paused, so that
-- no server takes from it.  A key of a wrong type goes as it is.
local asynq, lunaq = ARGV[1], ARGV[2]
local force, cursor, part = ARGV[3] ~= '0', ARGV[4], tonumber(ARGV[5])
local lists = {[KEYS[1]] = true, [KEYS[2]] = true}
local tasks = {KEYS[4], KEYS[5], KEYS[6], KEYS[7]}
local collections = {}
for i = 1, 10 do collections[KEYS[i]] = true end

local function group_keys()
  local keys = {}
  for _, name in ipairs(redis.pcall('SMEMBERS', KEYS[8])) do
    keys[#keys + 1] = asynq .. 'g:' .. name
  end
  for _, set in ipairs(redis.pcall('ZRANGE', KEYS[9], 0, -1)) do
    if set:sub(1, #asynq) == asynq then keys[#keys + 1] = set end
  end
  return keys
end

-- A group or set that is not listed is in nobody's way, and has no way out.
local function is_listed(key, name)
  return redis.pcall('SISMEMBER', KEYS[8], name) == 1 or
         type(redis.pcall('ZSCORE', KEYS[9], key)) == 'string'
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
    ids = redis.pcall('LRANGE', key, 0, room - 1)
  else
    ids = redis.pcall('ZRANGE', key, 0, room - 1)
  end
  if ids.err then
    redis.call('DEL', key)
    return room
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
local held = redis.pcall('ZCOUNT', KEYS[3], redis.call('TIME')[1] - 30, '+inf')
if ARGV[3] ~= '2' and redis.call('EXISTS', KEYS[2]) == 1 and
   (not force or held ~= 0 and type(held) == 'number') then
  return 'active'
end
if not force and waiting() then return 'tasks?' end

-- '*', '?', '[' and '\' mean something in a pattern; what they match too much
-- is sorted out by comparing the prefixes.
local tag = asynq:match('{.*}'):gsub('[%*%?%[%]\\]', '?')
local function scan()
  return redis.call('SCAN', cursor:match('%d+$'), 'MATCH', '*:' .. tag .. ':*',
    'COUNT', 1000)
end

-- No list knows of a task any more: nor may there be one that is in none, as
-- those of a group that nobody announced.
if not force and cursor == 'tasks' then return 'look:0' end
if cursor:sub(1, 5) == 'look:' then
  local page = scan()
  for _, key in ipairs(page[2]) do
    if key:sub(1, #asynq + 2) == asynq .. 't:' then return 'tasks?' end
  end
  return page[1] == '0' and 'scan:0' or 'look:' .. page[1]
end

redis.call('SETNX', KEYS[10], redis.call('TIME')[1])
if cursor == 'tasks' then
  local room = drain(KEYS[2], drain(KEYS[1], part))
  for _, key in ipairs(tasks) do room = drain(key, room) end
  for _, key in ipairs(group_keys()) do room = drain(key, room) end
  return room > 0 and 'scan:0' or 'tasks'
end
local page = scan()
for _, key in ipairs(page[2]) do
  local ours = key:sub(1, #lunaq) == lunaq
  local theirs = key:sub(1, #asynq) == asynq
  local group = key:sub(1, #asynq + 2) == asynq .. 'g:' and
                is_listed(key, key:sub(#asynq + 3))
  if ours or (theirs and not group and not collections[key]) then
    redis.call('DEL', key)
  end
end
if page[1] ~= '0' then return 'scan:' .. page[1] end
if waiting() then return 'tasks' end -- a producer was faster
for i = 1, 10 do redis.call('DEL', KEYS[i]) end
return 'done'
