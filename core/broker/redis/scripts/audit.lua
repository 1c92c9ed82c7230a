-- Looks for what must never be, over all of a queue.  Reads only.
--
-- KEYS  pending active lease scheduled retry archived completed groups
--       aggregation_sets
-- ARGV  prefix of task keys, prefix of groups, pattern of task keys, pattern
--       of unique keys
-- Returns texts, at most 100
-- Cost  O(tasks in the queue): for tests and for `doctor`
local call, pcall = redis.call, redis.pcall
local out = {}
local function fault(format, ...)
  if #out < 100 then out[#out + 1] = string.format(format, ...) end
end
local kinds = {'list', 'list', 'zset', 'zset', 'zset', 'zset', 'zset', 'set',
               'zset'}
for i = 1, #kinds do
  local t = call('TYPE', KEYS[i]).ok
  if t ~= 'none' and t ~= kinds[i] then
    fault('%s is a %s, not a %s', KEYS[i], t, kinds[i])
  end
end
if #out > 0 then return out end

-- id → the state that its place stands for
local place = {}
local function put(id, state)
  if place[id] == state then
    fault('%s is twice in %s', id, state)
  elseif place[id] then
    fault('%s is in %s and in %s', id, place[id], state)
  else
    place[id] = state
  end
end
local function put_list(key, state)
  local ids = call('LRANGE', key, 0, -1)
  for i = 1, #ids do put(ids[i], state) end
end
local function put_zset(key, state)
  local all = call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    put(all[i], state)
    if tonumber(all[i + 1]) % 1 ~= 0 then
      fault('%s in %s has the score %s: Asynq reads integers only', all[i],
            state, all[i + 1])
    end
  end
end
put_list(KEYS[1], 'pending')
put_list(KEYS[2], 'active')
put_zset(KEYS[4], 'scheduled')
put_zset(KEYS[5], 'retry')
put_zset(KEYS[6], 'archived')
put_zset(KEYS[7], 'completed')
local groups = call('SMEMBERS', KEYS[8])
for i = 1, #groups do
  local key = ARGV[2] .. groups[i]
  local t = call('TYPE', key).ok
  if t == 'zset' then
    put_zset(key, 'aggregating')
  else
    fault('group %s is announced but has no tasks', groups[i])
  end
end
local sets = call('ZRANGE', KEYS[9], 0, -1)
for i = 1, #sets do put_zset(sets[i], 'aggregating') end

local leases = call('ZRANGE', KEYS[3], 0, -1)
local leased = {}
for i = 1, #leases do
  leased[leases[i]] = true
  if place[leases[i]] ~= 'active' then
    fault('%s has a lease and is not active', leases[i])
  end
end
for id, state in pairs(place) do
  if state == 'active' and not leased[id] then
    fault('%s is active without a lease', id)
  end
end

local function each(pattern, visit)
  local cursor = '0'
  repeat
    local page = call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
    cursor = page[1]
    for i = 1, #page[2] do visit(page[2][i]) end
  until cursor == '0'
end
local seen = {}
each(ARGV[3], function(key)
  local id = string.sub(key, #ARGV[1] + 1)
  if seen[id] then return end
  seen[id] = true
  local h = pcall('HMGET', key, 'state', 'msg', 'lunaq_crashes')
  if h.err then
    fault('%s is not a hash', key)
    return
  end
  if not h[2] then fault('%s has no message', id) end
  if not place[id] then
    fault('%s says %s and is nowhere', id, h[1] or 'nothing')
  elseif place[id] ~= h[1] then
    fault('%s is in %s and says %s', id, place[id], h[1] or 'nothing')
  end
end)
for id, state in pairs(place) do
  if not seen[id] then fault('%s is in %s and has no task', id, state) end
end
each(ARGV[4], function(key)
  local id = pcall('GET', key)
  if type(id) ~= 'string' then return end
  if call('TTL', key) == -1 then fault('%s never ends', key) end
  if not place[id] or place[id] == 'completed' then
    fault('%s is held by %s, which does not live', key, id)
  end
end)
return out
