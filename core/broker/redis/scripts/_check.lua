-- Parts of fsck: where a task is, taking it out, putting it in.  Needs _time,
-- _type.
-- KEYS  1 pending  2 active  3 lease  4 scheduled  5 retry  6 archived
--       7 completed  8 groups  9 aggregation_sets
local task_prefix, group_prefix = ARGV[1], ARGV[2]
local lists = {pending = KEYS[1], active = KEYS[2]}
local zsets = {scheduled = KEYS[4], retry = KEYS[5], archived = KEYS[6],
               completed = KEYS[7]}
local order = {'pending', 'active', 'scheduled', 'retry', 'archived',
               'completed'}
local sets

-- Nothing is moved while a key has a wrong type, which only a person can mend:
-- what has left one place would not arrive in the other.
local function may_move()
  return not misfit({KEYS[1], 'list', KEYS[2], 'list', KEYS[3], 'zset',
                     KEYS[4], 'zset', KEYS[5], 'zset', KEYS[6], 'zset',
                     KEYS[7], 'zset', KEYS[8], 'set', KEYS[9], 'zset'})
end

local function scored(key, id)
  local score = pcall('ZSCORE', key, id)
  return type(score) == 'string' and score or nil
end

-- How often it is in a list.  What is not there costs the whole of it.
local function times(key, id)
  local at = pcall('LPOS', key, id, 'COUNT', 0)
  return at.err and 0 or #at
end

-- Keys of groups and sets that it may be in.
local function group_keys(group, hints)
  local keys, known = {}, {}
  local function add(key)
    if key and key ~= '' and not known[key] then
      known[key] = true
      keys[#keys + 1] = key
    end
  end
  if group then add(group_prefix .. group) end
  for i = 1, #hints do add(hints[i]) end
  if not sets then
    sets = pcall('ZRANGE', KEYS[9], 0, 999)
    if sets.err then sets = {} end
  end
  for i = 1, #sets do add(sets[i]) end
  return keys
end

-- All places it is in: {state, key, how often}.
local function places_of(id, group, hints)
  local found = {}
  for i = 1, #order do
    local state = order[i]
    local n
    if lists[state] then
      n = times(lists[state], id)
    else
      n = scored(zsets[state], id) and 1 or 0
    end
    if n > 0 then found[#found + 1] = {state, lists[state] or zsets[state], n} end
  end
  local keys = group_keys(group, hints)
  for i = 1, #keys do
    if scored(keys[i], id) then
      found[#found + 1] = {'aggregating', keys[i], 1}
    end
  end
  return found
end

local function take_out(id, place)
  if lists[place[1]] then
    call('LREM', place[2], 0, id)
    return
  end
  call('ZREM', place[2], id)
  if place[1] == 'aggregating' and call('EXISTS', place[2]) == 0 then
    call('SREM', KEYS[8], string.sub(place[2], #group_prefix + 1))
  end
end
