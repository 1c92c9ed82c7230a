-- Moves tasks by hand: makes them pending, archives or deletes them.
--
-- KEYS  1 pending  2 active  3 lease  4 scheduled  5 retry  6 archived
--       7 completed  8 groups  9 aggregation_sets  10 lunaq's dropped
--       11 lunaq's limits
-- ARGV  1 run | archive | delete
--       2 prefix of task keys  3 prefix of group keys  4 prefix of locks
--       5 task id, or "" for a batch of a whole state
--       6 that state  7 tasks a batch
--       of a batch: 8 of this group only, or ''  9 of this type only, or ''
--       10 how many to pass over
-- Returns {code, moved, left, state of the task, to be passed over next};
--       code 1 done, 0 no such task, -1 its state does not allow it, -2 its
--       key has a wrong type.
-- Cost  O(1) a task; a pending task addressed by id costs a walk of the list.
--
-- Nothing is written for a task before all that could refuse it is checked.
-- Group keys and task keys are made from prefixes: they share the queue's slot.
-- @include _time
-- @include _type
-- @include _message
-- @include _archive
-- @include _since
local pending, active, lease = KEYS[1], KEYS[2], KEYS[3]
local zset = {scheduled = KEYS[4], retry = KEYS[5], archived = KEYS[6],
  completed = KEYS[7]}
local archived, groups, sets = KEYS[6], KEYS[8], KEYS[9]
local move, task_prefix, group_prefix, lock_prefix =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local wanted, source, limit = ARGV[5], ARGV[6], tonumber(ARGV[7])

local function is_hash(t)
  return redis.call('TYPE', t).ok == 'hash'
end

local function delete(id)
  local t = task_prefix .. id
  if is_hash(t) then
    local lock = lock_of(t, lock_prefix)
    if lock and redis.pcall('GET', lock) == id then redis.call('DEL', lock) end
  end
  redis.call('DEL', t)
end

local function keep_to_limits()
  trim_archive(archived, task_prefix, KEYS[10], limits_of(KEYS[11]))
end

local function leave_group(id, name)
  local key = group_prefix .. name
  local removed = redis.pcall('ZREM', key, id)
  if type(removed) ~= 'number' then return 0 end -- a key of another type
  -- A name without tasks makes Asynq's inspector report nonsense.
  if redis.call('EXISTS', key) == 0 then redis.pcall('SREM', groups, name) end
  return removed
end

local function take_out(id, state, group)
  local removed = 0
  if zset[state] then
    removed = redis.pcall('ZREM', zset[state], id)
  elseif state == 'pending' then
    removed = redis.pcall('LREM', pending, -1, id)
  elseif state == 'aggregating' and group then
    removed = leave_group(id, group)
  end
  if type(removed) == 'number' and removed > 0 then return end
  -- It is not where it says it is: whatever broke it, mend it.
  redis.pcall('LREM', pending, 0, id)
  redis.pcall('LREM', active, 0, id)
  redis.pcall('ZREM', lease, id)
  for _, key in pairs(zset) do redis.pcall('ZREM', key, id) end
  if group then leave_group(id, group) end
end

local function put(id, state)
  local t = task_prefix .. id
  if move == 'delete' then
    delete(id)
  elseif move == 'archive' then
    redis.call('ZADD', archived, now_s, id)
    redis.call('HSET', t, 'state', 'archived')
    redis.call('HDEL', t, 'pending_since')
  else
    if state == 'archived' then
      -- A person wants it tried again: with all its retries, else the first
      -- failure archives it at once.  Field 6 counts its failures.
      local msg = redis.call('HGET', t, 'msg')
      local from, _, stop = field(msg or '', 6)
      if from then
        redis.call('HSET', t, 'msg', msg:sub(1, from - 1) .. msg:sub(stop))
      end
    end
    redis.call('HSET', t, 'state', 'pending', 'pending_since', now_ns())
    redis.call('HDEL', t, 'lunaq_crashes', 'lunaq_cancel')
    redis.call('LPUSH', pending, id)
  end
end

local function held(id)
  return redis.call('ZSCORE', lease, id) or redis.call('LPOS', active, id)
end

-- A task that an aggregator holds is in a set, and no longer in its group.
local function being_aggregated(id, group)
  if group and redis.call('ZSCORE', group_prefix .. group, id) then
    return false
  end
  for _, set in ipairs(redis.call('ZRANGE', sets, 0, -1)) do
    if redis.call('ZSCORE', set, id) then return true end
  end
  return false
end

local function move_one(id)
  local t = task_prefix .. id
  if redis.call('EXISTS', t) == 0 then return {0, 0, 0, ''} end
  if not is_hash(t) then return {-2, 0, 0, ''} end
  local state = redis.call('HGET', t, 'state') or ''
  local group = redis.call('HGET', t, 'group')
  if (state == 'active' and held(id)) or
     (state == 'pending' and move == 'run') or
     (state == 'archived' and move == 'archive') or
     (state == 'aggregating' and being_aggregated(id, group)) then
    return {-1, 0, 0, state}
  end
  take_out(id, state, group)
  put(id, state)
  if move == 'archive' then keep_to_limits() end
  return {1, 1, 0, state}
end

local only_group, only_type, skip = ARGV[8], ARGV[9], tonumber(ARGV[10])

-- The groups of a batch, always in the same order.
local function names()
  if only_group ~= '' then return {only_group} end
  local all = redis.call('SMEMBERS', groups)
  table.sort(all)
  return all
end

local function count()
  if zset[source] then return redis.call('ZCARD', zset[source]) end
  if source == 'pending' then return redis.call('LLEN', pending) end
  local n = 0
  for _, name in ipairs(names()) do
    n = n + redis.call('ZCARD', group_prefix .. name)
  end
  return n
end

local function group_batch(ids)
  local pass = skip
  for _, name in ipairs(names()) do
    local room = limit - #ids
    if room <= 0 then break end
    local key = group_prefix .. name
    local size = redis.call('ZCARD', key)
    if size == 0 then redis.call('SREM', groups, name) end
    if pass < size then
      local some = redis.call('ZRANGE', key, pass, pass + room - 1)
      for _, id in ipairs(some) do ids[#ids + 1] = {id, name} end
      pass = 0
    else
      pass = pass - size
    end
  end
  return ids
end

-- The next batch as {id, group} pairs.
local function batch()
  local ids = {}
  if zset[source] then
    local page = redis.call('ZRANGE', zset[source], skip, skip + limit - 1)
    for _, id in ipairs(page) do ids[#ids + 1] = {id} end
  elseif source == 'pending' then
    local tail = redis.call('LRANGE', pending, -skip - limit, -skip - 1)
    for i = #tail, 1, -1 do ids[#ids + 1] = {tail[i]} end
  else
    group_batch(ids)
  end
  return ids
end

local function is_wanted(t)
  if only_type == '' then return true end
  local msg = redis.call('HGET', t, 'msg') or ''
  local _, from, stop = field(msg, 1)
  return from and msg:sub(from, stop - 1) == only_type
end

local function move_batch()
  local moved = 0
  for _, item in ipairs(batch()) do
    local id, group = item[1], item[2]
    local t = task_prefix .. id
    local usable = is_hash(t)
    local state = usable and redis.call('HGET', t, 'state')
    if usable and not is_wanted(t) then
      skip = skip + 1
    elseif usable and not (state == 'active' and held(id)) then
      take_out(id, source, group)
      put(id, source)
      moved = moved + 1
    elseif source == 'pending' then -- an id without a task, or held elsewhere
      redis.call('LREM', pending, -1, id)
    elseif group then
      leave_group(id, group)
    else
      redis.call('ZREM', zset[source], id)
    end
  end
  if move == 'archive' then keep_to_limits() end
  return {1, moved, count(), source, skip}
end

local bad = misfit(move == 'run' and {pending, 'list'} or
                   move == 'archive' and {archived, 'zset'} or {})
if bad then return bad end
if wanted ~= '' then return move_one(wanted) end
return move_batch()
