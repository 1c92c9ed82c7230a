-- Estimates how much memory the tasks of a queue take.
--
-- KEYS  1 pending  2 active  3 scheduled  4 retry  5 archived  6 completed
--       7 groups
-- ARGV  1 prefix of task keys  2 prefix of group keys
-- Returns bytes: of each collection itself, and the average of some of its
--       tasks times their number
-- Cost  O(1): at most 10 tasks of each collection, and of 5 groups
--
-- Where MEMORY is not allowed, the lengths of what a task holds are added up.
local function of_key(key)
  local n = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 5)
  return type(n) == 'number' and n or 0
end
local function of_task(key)
  local n = redis.pcall('MEMORY', 'USAGE', key)
  if type(n) == 'number' then return n end
  if type(n) ~= 'table' then return 0 end -- no such key
  local msg = redis.pcall('HSTRLEN', key, 'msg')
  local result = redis.pcall('HSTRLEN', key, 'result')
  if type(msg) ~= 'number' then return 0 end
  return msg + result + #key + 200
end
local function of_tasks(ids, count)
  if #ids == 0 then return 0 end
  local sum = 0
  for i = 1, #ids do sum = sum + of_task(ARGV[1] .. ids[i]) end
  return sum / #ids * count
end

local bytes = 0
for i = 1, 6 do
  local ids = i <= 2 and redis.pcall('LRANGE', KEYS[i], 0, 9) or
              i > 2 and redis.pcall('ZRANGE', KEYS[i], 0, 9)
  if not ids.err and #ids > 0 then
    local count = redis.call(i <= 2 and 'LLEN' or 'ZCARD', KEYS[i])
    bytes = bytes + of_key(KEYS[i]) + of_tasks(ids, count)
  end
end
local groups = redis.pcall('SCARD', KEYS[7])
if type(groups) == 'number' and groups > 0 then
  local names, some = redis.call('SRANDMEMBER', KEYS[7], 5), 0
  for i = 1, #names do
    local key = ARGV[2] .. names[i]
    local ids = redis.pcall('ZRANGE', key, 0, 9)
    if not ids.err then
      some = some + of_key(key) + of_tasks(ids, redis.call('ZCARD', key))
    end
  end
  bytes = bytes + of_key(KEYS[7]) + some * groups / #names
end
return math.floor(bytes)
