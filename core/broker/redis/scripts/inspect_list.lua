-- Reads a page of the tasks of one state.
--
-- KEYS  1 the state's list, zset or one group's; or `groups` for all groups
--       2 lease
-- ARGV  1 list | active | zset | groups  2 first  3 count
--       4 prefix of task keys  5 prefix of group keys
-- Returns {id, msg, result, crashes, score, cancel request, pending since in
--       ns} a task, next to run first for
--       lists, by score for zsets; msg nil: an id without a task.
-- Cost  O(first + count) for lists, O(log n + count) for zsets.
local kind, first, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local rows = {}

local function add(id, score)
  local t = redis.pcall('HMGET', ARGV[4] .. id, 'msg', 'result',
    'lunaq_crashes', 'lunaq_cancel', 'pending_since')
  if t.err then t = {false, false, false, false, false} end -- a key of another type
  rows[#rows + 1] = {id, t[1], t[2], t[3], score or false, t[4], t[5]}
end

local function add_zset(key, from, n)
  local page = redis.call('ZRANGE', key, from, from + n - 1, 'WITHSCORES')
  for i = 1, #page, 2 do add(page[i], page[i + 1]) end
  return #page / 2
end

if kind == 'zset' then
  add_zset(KEYS[1], first, count)
elseif kind == 'groups' then
  local names = redis.call('SMEMBERS', KEYS[1])
  table.sort(names)
  for _, name in ipairs(names) do
    if count <= 0 then break end
    local key = ARGV[5] .. name
    local size = redis.call('ZCARD', key)
    if first < size then
      count = count - add_zset(key, first, count)
      first = 0
    else
      first = first - size
    end
  end
else
  local page = redis.call('LRANGE', KEYS[1], -first - count, -first - 1)
  for i = #page, 1, -1 do
    add(page[i], kind == 'active' and redis.call('ZSCORE', KEYS[2], page[i]))
  end
end
return rows
