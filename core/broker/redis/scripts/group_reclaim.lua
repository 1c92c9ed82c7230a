-- Puts sets whose end has come back into their groups, and forgets what failed
-- in groups that are gone.
--
-- Asynq's servers put sets back, too, but do not announce their groups: it is
-- made up for, where a set was seen here before.
--
-- KEYS  aggregation_sets groups, lunaq's names of groups with sets, lunaq's
--       groups
-- ARGV  prefix of groups, sets at most
-- Returns {sets, tasks, the group of a set that could not be put back or ''}
-- Cost  O(tasks)
-- @allow-oom
-- @include _time
-- @include _type
-- @include _group_back
local sets, tasks, stuck = 0, 0, ''
local stuck_s = 60 -- such a set is tried again, and is in nobody's way so long
local function group_of(set)
  return set:sub(1, #ARGV[1]) == ARGV[1] and
         set:sub(#ARGV[1] + 1):match('^(.*):[^:]*$')
end
if may_hold(KEYS[2], 'set') then
  local seen = call('SMEMBERS', KEYS[3])
  for i = 1, #seen do
    local size = pcall('ZCARD', ARGV[1] .. seen[i])
    if type(size) == 'number' and size > 0 then
      call('SADD', KEYS[2], seen[i])
    end
  end
  if #seen > 0 then call('DEL', KEYS[3]) end
end
local ended = call('ZRANGEBYSCORE', KEYS[1], '-inf', now_s, 'LIMIT', 0,
                   tonumber(ARGV[2]))
for i = 1, #ended do
  local set = ended[i]
  local name = group_of(set)
  local n = name and put_back(set, KEYS[1], KEYS[2], ARGV[1], name)
  if n then
    sets, tasks = sets + 1, tasks + n
  elseif name and call('TYPE', set).ok == 'zset' then
    -- A key of its group has a wrong type: its tasks wait in it until somebody
    -- has mended that.
    call('ZADD', KEYS[1], 'XX', now_s + stuck_s, set)
    stuck = name
  else
    -- Not a set's name, or not a set: there is nothing to take back.
    call('ZREM', KEYS[1], set)
  end
end
local alive, in_set = call('ZRANGE', KEYS[1], 0, 99), {}
for i = 1, #alive do
  local name = group_of(alive[i])
  if name then
    call('SADD', KEYS[3], name)
    in_set[name] = true
  end
end
if #alive > 0 then call('EXPIRE', KEYS[3], 600) end

-- Nobody is left to finish what failed when the group has no tasks, neither
-- waiting nor in a set.  A few at a time.
local failed = #alive < 100 and pcall('HRANDFIELD', KEYS[4], 20) or {}
for i = 1, #failed do
  if not in_set[failed[i]] and pcall('ZCARD', ARGV[1] .. failed[i]) == 0 then
    call('HDEL', KEYS[4], failed[i])
  end
end
return {sets, tasks, stuck}
