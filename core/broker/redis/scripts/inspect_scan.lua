-- Walks a queue's task ids for those that begin or end with a text.
--
-- KEYS  1 active  2 pending  3 scheduled  4 retry  5 archived  6 completed
--       7 groups
-- ARGV  1 the text  2 cursor: "place:rank", or "0" to begin
--       3 how many ids to look at  4 prefix of group keys
-- Returns {cursor, id, …}; cursor "0" at the end.
-- Cost  O(ids looked at), whatever else the server holds.  A task that moves
--       during the walk may be missed or met twice.  A key of another type
--       holds no ids: the others are walked.
local part, budget = ARGV[1], tonumber(ARGV[3])
local place, rank = ARGV[2]:match('^(%d+):(%d+)$')
place, rank = tonumber(place) or 1, tonumber(rank) or 0
local found = {'0'}

local function look(ids)
  for _, id in ipairs(ids) do
    if id:sub(1, #part) == part or id:sub(-#part) == part then
      found[#found + 1] = id
    end
  end
  return #ids
end

local function group_ids(first, count)
  local names = redis.pcall('SMEMBERS', KEYS[7])
  if names.err then return {} end
  table.sort(names)
  local ids = {}
  for _, name in ipairs(names) do
    if #ids >= count then break end
    local size = redis.pcall('ZCARD', ARGV[4] .. name)
    if type(size) ~= 'number' then size = 0 end
    if first < size then
      local some = redis.call('ZRANGE', ARGV[4] .. name, first,
        first + count - #ids - 1)
      for _, id in ipairs(some) do ids[#ids + 1] = id end
      first = 0
    else
      first = first - size
    end
  end
  return ids
end

while place <= 7 do
  local ids
  if place <= 2 then
    ids = redis.pcall('LRANGE', KEYS[place], rank, rank + budget - 1)
  elseif place <= 6 then
    ids = redis.pcall('ZRANGE', KEYS[place], rank, rank + budget - 1)
  else
    ids = group_ids(rank, budget)
  end
  local seen = look(ids)
  if seen == budget then
    found[1] = place .. ':' .. (rank + seen)
    return found
  end
  budget = budget - seen
  place, rank = place + 1, 0
end
return found
