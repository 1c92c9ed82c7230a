-- Enqueues one task; its ids go to `ready`, to be pushed at the end.
-- Needs _time, _type.  queue: {pending, scheduled, groups, prefix,
-- group_prefix}; item: {id, msg, at_ms, unique, ttl, group}.
-- Returns P pending, S scheduled, G in its group, E the id exists, D the
-- unique key is taken, W a key has a wrong type.
local since = clock[1] .. string.format('%06d', tonumber(clock[2])) .. '000'
local now_ms = now * 1000
local types = {}
local function fits(key, kind)
  if types[key] == nil then types[key] = may_hold(key, kind) end
  return types[key]
end

local function enqueue(queue, item, ready)
  local key = queue.prefix .. item.id
  local delayed = item.at_ms > now_ms
  local group = item.group
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
  if call('EXISTS', key) == 1 then return 'E' end
  local at = ceil(item.at_ms / 1000)
  if item.unique then
    if not call('SET', item.unique, item.id, 'NX', 'EX', item.ttl) then
      return 'D'
    end
  end
  if delayed then
    call('HSET', key, 'msg', item.msg, 'state', 'scheduled')
    if item.unique then call('HSET', key, 'unique_key', item.unique) end
    -- Asynq forgets the group of a scheduled task; with the field the
    -- forwarder puts it there when it is due.
    if group then call('HSET', key, 'group', group) end
    call('ZADD', queue.scheduled, at, item.id)
    return 'S'
  end
  if group then
    call('HSET', key, 'msg', item.msg, 'state', 'aggregating', 'group', group)
    call('ZADD', queue.group_prefix .. group, now_s, item.id)
    call('SADD', queue.groups, group)
    return 'G'
  end
  if item.unique then
    call('HSET', key, 'msg', item.msg, 'state', 'pending', 'pending_since',
         since, 'unique_key', item.unique)
  else
    call('HSET', key, 'msg', item.msg, 'state', 'pending', 'pending_since',
         since)
  end
  ready[#ready + 1] = item.id
  return 'P'
end
