-- Reads a page of what is in one of a queue's keys, and mends what can be seen
-- from there.
--
-- KEYS  1 the key  2 groups
-- ARGV  1 what it is: list | zset | lease | groups | sets | hash | counter
--       2 cursor  3 how many  4 repair: 1 | 0  5 prefix of groups
--       6 prefix of task keys  7 the last id of the page before, of a list
-- Returns {cursor ("0" = the end), items, faults}; items of groups and sets are
--       the keys to walk.  faults: kind, id, detail, 1 = repaired, …
-- Cost  O(a page)
-- @include _time
-- @include _type
local repair = ARGV[4] == '1'
-- @include _fault
local what, cursor, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local group_prefix, items = ARGV[5], {}
local types = {list = 'list', zset = 'zset', lease = 'zset', groups = 'set',
               sets = 'zset', hash = 'hash', counter = 'string'}
local kind = call('TYPE', KEYS[1]).ok
if kind == 'none' then return {'0', items, faults} end
if kind ~= types[what] then
  fault('key-type', KEYS[1], kind .. ', not a ' .. types[what], false)
  return {'0', items, faults}
end

-- The tasks of a set go back to their group, and its name is announced.  False
-- when a key has a wrong type.
local function give_back(set)
  local first = call('ZRANGE', set, 0, 0)[1]
  local group = first and pcall('HGET', ARGV[6] .. first, 'group')
  if type(group) ~= 'string' then
    local rest = string.sub(set, #group_prefix + 1)
    group = string.match(rest, '^(.*):[^:]*$') or rest
  end
  local key = group_prefix .. group
  if not may_hold(key, 'zset') or not may_hold(KEYS[2], 'set') then
    return false
  end
  if key ~= set then
    local all = call('ZRANGE', set, 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do call('ZADD', key, 'NX', all[i + 1], all[i]) end
    call('DEL', set)
  end
  if call('EXISTS', key) == 1 then call('SADD', KEYS[2], group) end
  call('ZREM', KEYS[1], set)
  return true
end

local read = {}
function read.list()
  local from = tonumber(cursor)
  local page = call('LRANGE', KEYS[1], from, from + limit - 1)
  -- What came in at the left meanwhile has moved the rest: those that the page
  -- before had are passed over.
  local skip = 0
  if ARGV[7] ~= '' then
    for i = 1, #page do
      if page[i] == ARGV[7] then
        skip = i
        break
      end
    end
  end
  for i = skip + 1, #page do items[#items + 1] = page[i] end
  return #page < limit and '0' or tostring(from + limit)
end
function read.zset()
  local page = call('ZSCAN', KEYS[1], cursor, 'COUNT', limit)
  for i = 1, #page[2], 2 do
    local id, score = page[2][i], page[2][i + 1]
    items[#items + 1] = id
    local n = tonumber(score)
    if what == 'zset' and (not n or n % 1 ~= 0) then
      fault('score', id, string.match(KEYS[1], '[^:]*$') .. ' at ' .. score)
      if repair then
        local inf = not n or n ~= n or n == math.huge or n == -math.huge
        call('ZADD', KEYS[1], 'XX', inf and now_s or ceil(n), id)
      end
    end
  end
  return page[1]
end
read.lease = read.zset
function read.groups()
  local page = call('SSCAN', KEYS[1], cursor, 'COUNT', limit)
  for i = 1, #page[2] do
    local name = page[2][i]
    local key = group_prefix .. name
    local t = call('TYPE', key).ok
    if t == 'none' then
      fault('group-empty', name)
      if repair then call('SREM', KEYS[1], name) end
    elseif t == 'zset' then
      items[#items + 1] = key
    end
  end
  return page[1]
end
function read.sets()
  local page = call('ZSCAN', KEYS[1], cursor, 'COUNT', limit)
  for i = 1, #page[2], 2 do
    local set, ends = page[2][i], tonumber(page[2][i + 1])
    local mine = string.sub(set, 1, #group_prefix) == group_prefix
    local t = call('TYPE', set).ok
    if mine and t ~= 'none' and t ~= 'zset' then
      fault('key-type', set, t .. ', not a zset', false)
    elseif not mine or t == 'none' then
      fault('set-missing', set)
      if repair then call('ZREM', KEYS[1], set) end
    elseif ends and ends <= now_s - 120 then
      -- A living aggregator would have given it back long ago.
      local back = repair and give_back(set)
      fault('set-stale', set, tostring(now_s - floor(ends)), back)
      if not back then items[#items + 1] = set end
    else
      items[#items + 1] = set
    end
  end
  return page[1]
end
function read.hash() return '0' end
function read.counter()
  if not tonumber(call('GET', KEYS[1])) then
    fault('counter', KEYS[1], 'not a number')
    if repair then call('DEL', KEYS[1]) end
  end
  return '0'
end
return {read[what](), items, faults}
