-- Makes active and lease agree, and drops from both what has no task.
--
-- KEYS  active lease
-- ARGV  prefix of task keys
-- Returns {leased or put back into active, dropped}
-- Cost  O(tasks active in the queue)
-- @allow-oom
-- @include _time
local leased, dropped = 0, 0
local ids = call('LRANGE', KEYS[1], 0, -1)
local active = {}
for at = 1, #ids, 500 do
  local part = {}
  for i = at, math.min(at + 499, #ids) do part[#part + 1] = ids[i] end
  local scores = call('ZMSCORE', KEYS[2], unpack(part))
  for i = 1, #part do
    local id = part[i]
    if active[id] then
      call('LREM', KEYS[1], -1, id) -- twice in the list
      dropped = dropped + 1
    end
    active[id] = true
    if not scores[i] or tonumber(scores[i]) <= now then
      local there = pcall('HEXISTS', ARGV[1] .. id, 'msg')
      if there ~= 1 then
        call('LREM', KEYS[1], 0, id)
        call('ZREM', KEYS[2], id)
        if there == 0 then call('UNLINK', ARGV[1] .. id) end
        active[id] = nil
        dropped = dropped + 1
      elseif not scores[i] then
        -- Nobody knows the holder: an integer score, so that it may be a Go
        -- worker, which needs only the lease to finish.
        call('ZADD', KEYS[2], now_s + 30, id)
        call('HSET', ARGV[1] .. id, 'state', 'active')
        leased = leased + 1
      end
    end
  end
end
local leases = call('ZRANGE', KEYS[2], 0, -1)
for i = 1, #leases do
  local id = leases[i]
  if not active[id] then
    local h = pcall('HMGET', ARGV[1] .. id, 'state', 'msg')
    if not h.err and h[1] == 'active' and h[2] then
      call('LPUSH', KEYS[1], id)
      active[id] = true
      leased = leased + 1
    else
      call('ZREM', KEYS[2], id)
      dropped = dropped + 1
    end
  end
end
return {leased, dropped}
