-- Puts sets whose end has come back into their groups.
--
-- KEYS  aggregation_sets groups
-- ARGV  prefix of groups, sets at most
-- Returns {sets, tasks}
-- Cost  O(tasks)
-- @allow-oom
-- @include _time
-- @include _type
-- @include _group_back
local sets, tasks = 0, 0
local ended = call('ZRANGEBYSCORE', KEYS[1], '-inf', now_s, 'LIMIT', 0,
                   tonumber(ARGV[2]))
for i = 1, #ended do
  local set = ended[i]
  local name = set:sub(1, #ARGV[1]) == ARGV[1] and
               set:sub(#ARGV[1] + 1):match('^(.*):[^:]*$')
  local n = name and put_back(set, KEYS[1], KEYS[2], ARGV[1], name)
  if n then
    sets, tasks = sets + 1, tasks + n
  else
    -- Not a set's name, or not a set: nobody can take it back.
    call('ZREM', KEYS[1], set)
  end
end
return {sets, tasks}
