-- Enqueues one task; its id goes to `ready`, to be pushed at the end.
-- Needs _time, _type, _since.  queue: {pending, scheduled, groups, prefix,
-- group_prefix, fresh}; fresh: none of the tasks to come exists (so no need to
-- ask for each).
-- Returns P pending, S scheduled, G in its group, E the id exists, D the
-- unique key is taken, W a key has a wrong type.
local since = now_ns()
local now_ms = now * 1000
local types, made = {}, {}
local function fits(key, kind)
  if types[key] == nil then types[key] = may_hold(key, kind) end
  return types[key]
end

local function enqueue(queue, ready, id, msg, at_ms, unique, ttl, group)
  local key = queue.prefix .. id
  local delayed = at_ms > now_ms
  if delayed then
    if not fits(queue.scheduled, 'zset') then return 'W' end
  elseif group then
    if not fits(queue.groups, 'set') or
       not fits(queue.group_prefix .. group, 'zset') then return 'W' end
  elseif not fits(queue.pending, 'list') then
    return 'W'
  end
  -- The id first: a lock taken for a task that is refused would have to be
  -- undone, and who repeats an enqueue shall hear that the task is there.
  if made[id] or not queue.fresh and call('EXISTS', key) == 1 then
    return 'E'
  end
  if unique and not call('SET', unique, id, 'NX', 'EX', ttl) then
    return 'D'
  end
  made[id] = true
  if delayed then
    call('HSET', key, 'msg', msg, 'state', 'scheduled')
    if unique then call('HSET', key, 'unique_key', unique) end
    -- Asynq forgets the group of a scheduled task; with the field our
    -- forwarder puts it there when it is due.  It is not Asynq's field: Go's
    -- forwarder would put it into a group that is not announced.
    if group then call('HSET', key, 'lunaq_group', group) end
    call('ZADD', queue.scheduled, ceil(at_ms / 1000), id)
    return 'S'
  end
  if group then
    call('HSET', key, 'msg', msg, 'state', 'aggregating', 'group', group)
    call('ZADD', queue.group_prefix .. group, now_s, id)
    call('SADD', queue.groups, group)
    return 'G'
  end
  if unique then
    call('HSET', key, 'msg', msg, 'state', 'pending', 'pending_since', since,
         'unique_key', unique)
  else
    call('HSET', key, 'msg', msg, 'state', 'pending', 'pending_since', since)
  end
  ready[#ready + 1] = id
  return 'P'
end
