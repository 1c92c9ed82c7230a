-- Adds tasks of another broker as they were, or looks whether they are there.
--
-- KEYS  1 pending  2 active  3 lease  4 scheduled  5 retry  6 archived
--       7 completed  8 groups
-- ARGV  1 prefix of task keys  2 prefix of group keys  3 check: 1 | 0
--       per task: id, state, at ms, msg, crashes, ms of its lock, and as "0"
--       or "1" followed by the text: group, unique key, cancel, result
-- Returns a character a task: 0 added, E it is there already, X another of
--       this id is, N it is not (check), W a key has a wrong type
-- Cost  O(log n) a task
-- @include _time
-- @include _type
-- @include _message
local places = {pending = {KEYS[1], 'list'}, active = {KEYS[2], 'list'},
  scheduled = {KEYS[4], 'zset'}, retry = {KEYS[5], 'zset'},
  archived = {KEYS[6], 'zset'}, completed = {KEYS[7], 'zset'},
  aggregating = {KEYS[8], 'set'}}
local check = ARGV[3] == '1'
local at = 4

local function optional()
  local flag, text = ARGV[at]:sub(1, 1), ARGV[at]:sub(2)
  at = at + 1
  return flag == '1' and text or nil
end

local function read()
  local t = {id = ARGV[at], state = ARGV[at + 1], ms = tonumber(ARGV[at + 2]),
    msg = ARGV[at + 3], crashes = ARGV[at + 4], lock = tonumber(ARGV[at + 5])}
  at = at + 6
  t.group, t.unique, t.cancel, t.result =
    optional(), optional(), optional(), optional()
  return t
end

local function look(t, key)
  local h = pcall('HMGET', key, 'state', 'msg')
  if h.err then return 'W' end
  return h[1] == t.state and h[2] == t.msg and 'E' or 'X'
end

local function put(t)
  local key, seconds = ARGV[1] .. t.id, ceil(t.ms / 1000)
  if call('EXISTS', key) == 1 then return look(t, key) end
  if check then return 'N' end
  local place = places[t.state]
  if not may_hold(place[1], place[2]) or not may_hold(KEYS[3], 'zset') or
     t.state == 'aggregating' and not t.group or
     t.group and not may_hold(ARGV[2] .. t.group, 'zset') then
    return 'W'
  end
  local fields = {'msg', t.msg, 'state', t.state}
  local function give(name, value)
    if not value then return end
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  -- Asynq puts what has this field into a group that nobody announced.
  give(t.state == 'scheduled' and 'lunaq_group' or 'group', t.group)
  -- Its message may name a group that it has left: it does not go back.
  if not t.group and field(t.msg, 14) then give('lunaq_alone', '1') end
  -- Asynq's tasks of a group name their lock in the message only.
  if t.state ~= 'aggregating' then give('unique_key', t.unique) end
  give('lunaq_cancel', t.cancel)
  give('result', t.result)
  if t.crashes ~= '0' then give('lunaq_crashes', t.crashes) end
  if t.state == 'pending' then
    give('pending_since', string.format('%.0f000000', t.ms))
    call('LPUSH', KEYS[1], t.id)
  elseif t.state == 'active' then
    call('LPUSH', KEYS[2], t.id)
    call('ZADD', KEYS[3], seconds, t.id)
  elseif t.state == 'aggregating' then
    call('ZADD', ARGV[2] .. t.group, seconds, t.id)
    call('SADD', KEYS[8], t.group)
  else
    call('ZADD', place[1], seconds, t.id)
  end
  call('HSET', key, unpack(fields))
  if t.unique and t.lock > 0 then
    call('SET', t.unique, t.id, 'NX', 'PX', t.lock)
  end
  return '0'
end

local codes = {}
while at <= #ARGV do codes[#codes + 1] = put(read()) end
return table.concat(codes)
