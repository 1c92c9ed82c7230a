-- Puts sets whose end has come back into their groups.
--
-- Asynq's servers put sets back, too, but do not announce their groups: it is
-- made up for, where a set was seen here before.
--
-- KEYS  aggregation_sets groups, lunaq's names of groups with sets
-- ARGV  prefix of groups, sets at most
-- Returns {sets, tasks}
-- Cost  O(tasks)
-- @allow-oom
-- @include _time
-- @include _type
-- @include _group_back
local sets, tasks = 0, 0
local function group_of(set)
  return set:sub(1, #ARGV[1]) == ARGV[1] and
         set:sub(#ARGV[1] + 1):match('^(.*):[^:]*$')
end
local seen = call('SMEMBERS', KEYS[3])
for i = 1, #seen do
  local size = pcall('ZCARD', ARGV[1] .. seen[i])
  if type(size) == 'number' and size > 0 then call('SADD', KEYS[2], seen[i]) end
end
if #seen > 0 then call('DEL', KEYS[3]) end
local ended = call('ZRANGEBYSCORE', KEYS[1], '-inf', now_s, 'LIMIT', 0,
                   tonumber(ARGV[2]))
for i = 1, #ended do
  local set = ended[i]
  local name = group_of(set)
  local n = name and put_back(set, KEYS[1], KEYS[2], ARGV[1], name)
  if n then
    sets, tasks = sets + 1, tasks + n
  else
    -- Not a set's name, or not a set: nobody can take it back.
    call('ZREM', KEYS[1], set)
  end
end
local alive = call('ZRANGE', KEYS[1], 0, 99)
for i = 1, #alive do
  local name = group_of(alive[i])
  if name then call('SADD', KEYS[3], name) end
end
if #alive > 0 then call('EXPIRE', KEYS[3], 600) end
return {sets, tasks}
