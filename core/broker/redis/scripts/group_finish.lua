-- Turns a set into other tasks: enqueues them, and deletes the set with its
-- tasks and their locks.  What a handler failed to aggregate goes back into the
-- group.  All of it or nothing.
--
-- KEYS  set aggregation_sets groups pending scheduled, processed of the day,
--       processed, lunaq's groups
-- ARGV  prefix of task keys, prefix of groups, prefix of locks, name of the
--       group, number of tasks that become pending by themselves, number of
--       those that go back, ms until the next try of these, error, the former,
--       the latter, the tasks to enqueue as in enqueue
-- Returns a character per task to enqueue, see _enqueue ('-' = not refused,
--       but another was); "gone": the set is not there any more
-- Cost  O(tasks of the set)
-- @allow-oom
-- @include _time
-- @include _type
-- @include _count
-- @include _message
-- @include _item
-- @include _since
-- @include _enqueue
-- @include _group_fail
local set, sets, groups, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, lock_prefix = ARGV[1], ARGV[3]
if not call('ZSCORE', sets, set) then return 'gone' end
local bad = misfit({set, 'zset', groups, 'set', pending, 'list', KEYS[5], 'zset',
                    KEYS[8], 'hash'})
if bad then return bad end
local group, fails = ARGV[2] .. ARGV[4], tonumber(ARGV[6])
if fails > 0 and not may_hold(group, 'zset') then
  return redis.error_reply('WRONGTYPE ' .. group .. ' is not a zset')
end
local alone, back, items = {}, {}, {}
local at = 9 + tonumber(ARGV[5])
for i = 9, at - 1 do alone[ARGV[i]] = true end
for i = at, at + fails - 1 do back[ARGV[i]] = true end
at = at + fails
while at <= #ARGV do
  items[#items + 1], at = read_item(at)
end

-- Is it about to be deleted with the set?
local function goes(id)
  return not alone[id] and not back[id] and call('ZSCORE', set, id)
end
local codes, refused = {}, false
local ids, locks = {}, {} -- of the items before: they may be of many handlers
for i = 1, #items do
  local item = items[i]
  codes[i] = '-'
  if item.group and not may_hold(ARGV[2] .. item.group, 'zset') then
    codes[i] = 'W'
  elseif ids[item.id] or
         call('EXISTS', prefix .. item.id) == 1 and not goes(item.id) then
    codes[i] = 'E'
  elseif item.unique then
    local owner = pcall('GET', item.unique)
    if locks[item.unique] or
       owner and not (type(owner) == 'string' and goes(owner)) then
      codes[i] = 'D'
    end
    locks[item.unique] = true
  end
  ids[item.id] = true
  refused = refused or codes[i] ~= '-'
end
if refused then return table.concat(codes) end

-- The lock that a task of the set holds: mostly none, which a search in the
-- message tells sooner than reading it (field 10).
local function lock_in(h)
  local key, msg = h[1], h[2]
  if not key and msg and msg:find(lock_prefix, 1, true) then
    local _, from, stop = field(msg, 10)
    key = from and msg:sub(from, stop - 1)
  end
  if key and key:sub(1, #lock_prefix) == lock_prefix then return key end
  return nil
end

local ready, deleted = {}, 0
while true do
  local ids = call('ZRANGE', set, 0, 499)
  if #ids == 0 then break end
  local keys = {}
  for i = 1, #ids do
    local id = ids[i]
    local key = prefix .. id
    local h = pcall('HMGET', key, 'unique_key', 'msg')
    local lock = not h.err and lock_in(h)
    if back[id] then
      call('ZADD', group, call('ZSCORE', set, id), id)
    elseif not h.err and alone[id] then
      -- The lock is the message's alone while it has a group.
      if lock then call('HSET', key, 'unique_key', lock) end
      call('HSET', key, 'state', 'pending', 'pending_since', since)
      -- Should it be scheduled again, it does not go back into its group.
      call('HSET', key, 'lunaq_alone', '1')
      call('HDEL', key, 'group')
      ready[#ready + 1] = id
    else
      if lock and pcall('GET', lock) == id then call('DEL', lock) end
      keys[#keys + 1] = key
    end
  end
  if #keys > 0 then deleted = deleted + call('UNLINK', unpack(keys)) end
  call('ZREM', set, unpack(ids))
end
call('ZREM', sets, set)
if fails > 0 then
  call('SADD', groups, ARGV[4])
  note_failure(KEYS[8], ARGV[4], tonumber(ARGV[7]), ARGV[8])
else
  call('HDEL', KEYS[8], ARGV[4])
end
count(KEYS[6], KEYS[7], deleted)
local queue = {
  pending = pending, scheduled = KEYS[5], groups = groups, prefix = prefix,
  group_prefix = ARGV[2]
}
for i = 1, #items do
  local item = items[i]
  codes[i] = enqueue(queue, ready, item.id, item.msg, item.due, item.unique,
                     item.ttl, item.group)
end
for i = 1, #ready, 1000 do
  call('LPUSH', pending, unpack(ready, i, math.min(i + 999, #ready)))
end
return table.concat(codes)
