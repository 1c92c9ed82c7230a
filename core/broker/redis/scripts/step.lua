-- Settles outcomes, then takes tasks, over several queues in one move.
--
-- KEYS  per queue: pending active lease paused
--       level >= 1: processed:D processed
--       level >= 2: failed:D failed retry scheduled archived completed
--                   lunaq's dropped, limits and discarded
-- ARGV  free, lease ms, token, number of queues;
--       per queue: prefix of task keys, want, the most to take of it (-1 =
--       any number), level, number of outcomes;
--       per outcome: id, bits, and by its bits in this order:
--         score (128), a number (retention s, delay ms: kinds 2 3 6),
--         msg (512), result (1024), unique key (256)
--       bits: kind + 16 from tail + 32 failure + 64 keep crashes
--             + 2048 * token
-- Returns {codes, flags, faults, taken, cancels}
--       codes   a character per outcome: 0 done, C archived instead as somebody
--               asked to cancel it, L not ours, N no such task, W a key of a
--               wrong type
--       flags   a character per queue: 1 paused, 2 drained, 3 both, 0 none
--       faults  queue number, text, …
--       taken   id, msg, queue number + 128 * crashes, …; for a task that
--               cannot be used: id, reason, -queue number
--       cancels of each C in turn: who asked for it and why
-- Cost  O(outcomes + taken), and per outcome the search in active from the
--       end where it should be.
-- @allow-oom
-- @include _time
-- @include _token
-- @include _type
-- @include _message
-- @include _archive
-- @include _count
-- @include _crashes
-- @include _begin
-- @include _since

local next_key, next_arg = 1, 5
local free, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local token = tonumber(ARGV[3])
local codes, faults, cancels = {}, {}, {}
local long_name = string.rep('-', 65)

local function settle(q, at, n)
  local first_code = #codes
  local ids, bits, more = {}, {}, {}
  local done_keys = {}
  for i = 1, n do
    local b = tonumber(ARGV[at + 1])
    local f = b % 2048
    local kind = f % 16
    ids[i], bits[i], more[i] = ARGV[at], b, at + 2
    at = at + 2
    if f > 31 or kind ~= 1 then
      if f % 256 >= 128 then at = at + 1 end
      if kind == 2 or kind == 3 or kind == 6 then at = at + 1 end
      if f % 512 >= 256 then at = at + 1 end
      if f % 1024 >= 512 then at = at + 1 end
      if f >= 1024 then at = at + 1 end
    end
    if kind == 1 or kind == 8 then
      done_keys[#done_keys + 1] = q.prefix .. ids[i]
    end
  end

  local scores = pcall('ZMSCORE', q.lease, unpack(ids))
  if scores.err then
    for i = 1, n do codes[first_code + i] = 'W' end
    faults[#faults + 1] = q.number
    faults[#faults + 1] = 'lease: ' .. scores.err
    q.broken = true
    return at
  end
  -- Of one alone, its deletion tells whether it was there.
  local all_there = n > 1 and (#done_keys == 0 or
                    call('EXISTS', unpack(done_keys)) == #done_keys)

  -- Ending many of few: one reading and rewriting of active costs less than a
  -- search for each.  (Not on Redis 6.2, which when full lets a script write
  -- only after something that frees memory.)
  local list, inside
  if n >= 8 and redis.REDIS_VERSION_NUM then
    local length = pcall('LLEN', q.active)
    if type(length) == 'number' and length <= 3 * n then
      list, inside = call('LRANGE', q.active, 0, -1), {}
      for i = 1, #list do inside[list[i]] = true end
    end
  end
  local function remove(from, id)
    if not inside then return pcall('LREM', q.active, from, id) end
    if not inside[id] then return 0 end
    inside[id] = nil
    return 1
  end

  local unlease, unlink, requeue, adds = {}, {}, {}, nil
  local processed, failed, discarded, archived = 0, 0, 0, false
  local completed = false
  local types = {}
  local function fits(key, kind)
    if types[key] == nil then types[key] = may_hold(key, kind) end
    return types[key]
  end
  local function add(key, score, id)
    adds = adds or {}
    local list = adds[key]
    if not list then
      list = {}
      adds[key] = list
    end
    list[#list + 1] = score
    list[#list + 1] = id
  end

  for i = 1, n do
    local id, x = ids[i], more[i]
    local f = bits[i] % 2048
    local holder = (bits[i] - f) / 2048
    local kind = f % 16
    local score = scores[i]
    local own = false
    if score then
      score = tonumber(score)
      if f % 256 >= 128 then
        own = score == tonumber(ARGV[x])
        x = x + 1
      else
        own = holder > 0 and token_of(score) == holder
      end
    end
    local code = 'L'
    local key = q.prefix .. id
    local from = f % 32 >= 16 and -1 or 1
    local unique

    if not own then
      code = 'L'
    elseif kind == 1 or kind == 8 then
      local r = remove(from, id)
      if r == 1 then
        unlease[#unlease + 1] = id
        if n == 1 and call('UNLINK', key) == 1 or
           n > 1 and (all_there or call('EXISTS', key) == 1) then
          code = '0'
          if n > 1 then unlink[#unlink + 1] = key end
          processed = processed + 1
          if kind == 8 then discarded = discarded + 1 end
        else
          code = 'N'
        end
        if f % 512 >= 256 then unique = ARGV[x] end
      elseif r ~= 0 then
        code = 'W'
      end
    else
      local number, msg, result
      if kind == 2 or kind == 3 or kind == 6 then
        number = tonumber(ARGV[x])
        x = x + 1
      end
      if f % 1024 >= 512 then
        msg = ARGV[x]
        x = x + 1
      end
      if f >= 1024 then
        result = ARGV[x]
        x = x + 1
      end
      if f % 512 >= 256 then unique = ARGV[x] end

      local h = pcall('HMGET', key, 'state', 'lunaq_cancel', 'lunaq_crashes')
      local there = h[1] or not h.err and call('EXISTS', key) == 1
      if h[2] and kind ~= 2 then
        -- A message for its retry counts this attempt already, as only one
        -- that waits for the next does.
        if kind == 3 then msg = nil end
        kind = 4
      else
        h[2] = nil
      end
      if there and not msg and kind <= 4 then
        msg = call('HGET', key, 'msg')
        there = msg
      end
      local target = kind == 2 and q.completed or kind == 3 and q.retry or
                     kind == 4 and q.archived or kind == 6 and q.scheduled
      if h.err or target and not fits(target, 'zset') or
         not target and not fits(q.pending, 'list') then
        code = 'W'
        unique = nil
      else
        local r = remove(from, id)
        if r ~= 1 then
          if r ~= 0 then code = 'W' end
          unique = nil
        elseif not there then
          code = 'N'
          unlease[#unlease + 1] = id
          unlink[#unlink + 1] = key
        else
          code = '0'
          if h[2] then
            code = 'C'
            cancels[#cancels + 1] = h[2]
          end
          unlease[#unlease + 1] = id
          if h[3] and (h[2] or kind ~= 7 and f % 128 < 64) then
            call('HDEL', key, 'lunaq_crashes')
          end
          if kind == 2 then
            if result then
              call('HSET', key, 'msg', msg, 'state', 'completed',
                   'result', result)
            else
              call('HSET', key, 'msg', msg, 'state', 'completed')
            end
            add(target, now_s + number, id)
            completed = true
            processed = processed + 1
          elseif kind == 3 then
            call('HSET', key, 'msg', msg, 'state', 'retry')
            add(target, ceil(now + number / 1000), id)
            if f % 64 >= 32 then
              processed = processed + 1
              failed = failed + 1
            end
          elseif kind == 4 then
            if h[2] then msg = with_error(msg, h[2], now_s) end
            call('HSET', key, 'msg', msg, 'state', 'archived')
            add(target, now_s, id)
            processed = processed + 1
            failed = failed + 1
            archived = true
          elseif kind == 6 then
            call('HSET', key, 'state', 'scheduled')
            add(target, ceil(now + number / 1000), id)
          else
            if kind == 7 and type(pcall('HINCRBY', key, 'lunaq_crashes', 1))
               == 'table' then
              call('HSET', key, 'lunaq_crashes', 1)
            end
            call('HSET', key, 'state', 'pending', 'pending_since', now_ns())
            requeue[#requeue + 1] = id
          end
        end
      end
      if kind ~= 2 then unique = nil end
    end
    if unique and pcall('GET', unique) == id then call('DEL', unique) end
    codes[first_code + i] = code
  end

  if #unlease > 0 then
    if inside then
      local rest = {}
      for i = 1, #list do
        if inside[list[i]] then rest[#rest + 1] = list[i] end
      end
      call('DEL', q.active)
      if #rest > 0 then call('RPUSH', q.active, unpack(rest)) end
    end
    call('ZREM', q.lease, unpack(unlease))
  end
  if #unlink > 0 then call('UNLINK', unpack(unlink)) end
  if adds then
    for key, list in pairs(adds) do call('ZADD', key, unpack(list)) end
  end
  if #requeue > 0 then
    -- The first of them shall be the next to run, so it goes in last.
    local back = {}
    for i = #requeue, 1, -1 do back[#back + 1] = requeue[i] end
    call('RPUSH', q.pending, unpack(back))
  end
  count(q.processed_day, q.processed, processed)
  count(q.failed_day, q.failed, failed)
  if discarded > 0 then pcall('INCRBY', q.discarded, discarded) end
  if archived or completed then
    local limits = limits_of(q.limits)
    if archived then trim_archive(q.archived, q.prefix, q.dropped, limits) end
    if completed then
      trim_completed(q.completed, q.prefix, q.dropped, limits)
    end
  end
  return at
end

local function fault(q, text)
  q.broken = true
  faults[#faults + 1] = q.number
  faults[#faults + 1] = text
end

-- Takes up to n.  What is moved before its hash is looked at is moved back
-- when the hash will not do: that is rare, and checking first would cost two
-- commands every time.
local function take(q, n)
  n = math.min(n, q.most)
  while n > 0 and not q.broken and not q.drained do
    if q.paused == nil then q.paused = call('EXISTS', q.paused_key) == 1 end
    if q.paused then return end
    local ids = pcall('RPOP', q.pending, n)
    if not ids then
      q.drained = true
      return
    end
    if ids.err then return fault(q, 'pending: ' .. ids.err) end
    local got = #ids
    q.drained = got < n
    local r = pcall('LPUSH', q.active, unpack(ids))
    local bad = type(r) == 'table' and 'active: ' .. r.err
    if not bad then
      local score = lease_score(lease_ms, token)
      -- A sorted set of up to 128 members is a flat list, which is searched
      -- and, with scores that are no integers, parsed from its start each
      -- time: 5 us a task at 100.  A member of more than 64 bytes turns it
      -- into a tree for as long as it lives.  r: how many are active now.
      local flat = r >= 8 and r <= 256
      local leases = flat and {score, long_name} or {}
      for i = 1, got do
        leases[#leases + 1] = score
        leases[#leases + 1] = ids[i]
      end
      r = pcall('ZADD', q.lease, unpack(leases))
      if flat then pcall('ZREM', q.lease, long_name) end
      if type(r) == 'table' then
        bad = 'lease: ' .. r.err
        call('LPOP', q.active, got)
      end
    end
    if bad then
      for i = got, 1, -1 do call('RPUSH', q.pending, ids[i]) end
      return fault(q, bad)
    end
    for i = 1, got do
      if begin(q, ids[i]) then
        n = n - 1
        free = free - 1
        q.most = q.most - 1
      end
    end
  end
end

local queues = {}
for number = 1, tonumber(ARGV[4]) do
  local most, level = tonumber(ARGV[next_arg + 2]), tonumber(ARGV[next_arg + 3])
  local outcomes = tonumber(ARGV[next_arg + 4])
  local k = next_key
  local q = {
    number = number, prefix = ARGV[next_arg],
    want = tonumber(ARGV[next_arg + 1]),
    most = most < 0 and math.huge or most,
    pending = KEYS[k], active = KEYS[k + 1], lease = KEYS[k + 2],
    paused_key = KEYS[k + 3], drained = false
  }
  k = k + 4
  next_arg = next_arg + 5
  if level >= 1 then
    q.processed_day, q.processed = KEYS[k], KEYS[k + 1]
    k = k + 2
  end
  if level >= 2 then
    q.failed_day, q.failed, q.retry, q.scheduled = KEYS[k], KEYS[k + 1],
                                                   KEYS[k + 2], KEYS[k + 3]
    q.archived, q.completed, q.dropped = KEYS[k + 4], KEYS[k + 5], KEYS[k + 6]
    q.limits, q.discarded = KEYS[k + 7], KEYS[k + 8]
    k = k + 9
  end
  next_key = k
  queues[number] = q
  if outcomes > 0 then next_arg = settle(q, next_arg, outcomes) end
end
for i = 1, #queues do take(queues[i], math.min(queues[i].want, free)) end
for i = 1, #queues do
  if free > 0 then take(queues[i], free) end
end

local flags = {}
for i = 1, #queues do
  local q = queues[i]
  flags[i] = (q.paused and 1 or 0) + (q.drained and 2 or 0)
end
return {table.concat(codes), table.concat(flags), faults, taken, cancels}
