-- Settles at most one task that is simply done, then takes at most one: what
-- step.lua does, for a worker with one slot to fill, at half the cost.
--
-- KEYS  with an outcome: processed:D processed, of its queue
--       per queue: pending active lease paused
-- ARGV  tasks to take (0 or 1), lease ms, token, number of the queue to try
--       first, number of queues; per queue: prefix of task keys;
--       with an outcome: number of its queue, id, token of its lease, 1 or -1:
--       search in active from its head or tail
-- Returns what step.lua does, without cancels
-- Cost  O(queues), and the search in active.
-- @allow-oom
-- @include _time
-- @include _token
-- @include _count
-- @include _crashes
-- @include _begin

local lease_ms, token = tonumber(ARGV[2]), tonumber(ARGV[3])
local first, count_of_queues = tonumber(ARGV[4]), tonumber(ARGV[5])
local outcome = 6 + count_of_queues
local keys_before = ARGV[outcome] and 2 or 0
local code, flags, faults, broken = '', {}, {}, nil

local function fault(number, text)
  faults[#faults + 1] = number
  faults[#faults + 1] = text
end

local function settle(number, id, holder, from)
  local k = keys_before + 4 * number
  local active, lease = KEYS[k - 2], KEYS[k - 1]
  local score = pcall('ZSCORE', lease, id)
  if type(score) == 'table' then
    broken = number
    fault(number, 'lease: ' .. score.err)
    return 'W'
  end
  if not score or token_of(tonumber(score)) ~= holder then return 'L' end
  local r = pcall('LREM', active, from, id)
  if r == 0 then return 'L' end
  if r ~= 1 then return 'W' end
  call('ZREM', lease, id)
  if call('UNLINK', ARGV[5 + number] .. id) == 0 then return 'N' end
  count(KEYS[1], KEYS[2], 1)
  return '0'
end

-- True when it took one.
local function take(number)
  local k = keys_before + 4 * number
  local pending, active, lease = KEYS[k - 3], KEYS[k - 2], KEYS[k - 1]
  if call('EXISTS', KEYS[k]) == 1 then
    flags[number] = 1
    return false
  end
  while true do
    -- RPOP comes first, not LMOVE: a full Redis 6.2 lets a script write only
    -- after something that frees memory.
    local id = pcall('RPOP', pending)
    if not id then
      flags[number] = 2
      return false
    end
    if type(id) == 'table' then
      fault(number, 'pending: ' .. id.err)
      return false
    end
    local r = pcall('LPUSH', active, id)
    local bad = type(r) == 'table' and 'active: ' .. r.err
    if not bad then
      r = pcall('ZADD', lease, lease_score(lease_ms, token), id)
      if type(r) == 'table' then
        bad = 'lease: ' .. r.err
        call('LPOP', active)
      end
    end
    if bad then
      call('RPUSH', pending, id)
      fault(number, bad)
      return false
    end
    if begin({
      prefix = ARGV[5 + number], number = number, active = active, lease = lease
    }, id) then
      return true
    end
  end
end

if keys_before > 0 then
  code = settle(tonumber(ARGV[outcome]), ARGV[outcome + 1],
                tonumber(ARGV[outcome + 2]), ARGV[outcome + 3])
end
for i = 1, count_of_queues do flags[i] = 0 end
if ARGV[1] == '1' and (first == broken or not take(first)) then
  for i = 1, count_of_queues do
    if i ~= first and i ~= broken and take(i) then break end
  end
end
return {code, table.concat(flags), faults, taken}
