-- Puts a set's tasks back into their group, as old as they were, and deletes
-- the set.  Needs _time, _type.  Returns how many; nil when a key has a wrong
-- type.
local function put_back(set, sets, groups, group_prefix, name)
  local key = group_prefix .. name
  if not may_hold(set, 'zset') or not may_hold(key, 'zset') or
     not may_hold(groups, 'set') then return nil end
  local n = 0
  while true do
    local page = call('ZRANGE', set, 0, 199, 'WITHSCORES')
    if #page == 0 then break end
    local ids, put = {}, {}
    for i = 1, #page, 2 do
      put[i], put[i + 1] = page[i + 1], page[i]
      ids[#ids + 1] = page[i]
    end
    call('ZADD', key, unpack(put))
    call('ZREM', set, unpack(ids))
    n = n + #ids
  end
  -- Asynq leaves this out, and the group waits for another task.
  if n > 0 then call('SADD', groups, name) end
  call('ZREM', sets, set)
  return n
end
