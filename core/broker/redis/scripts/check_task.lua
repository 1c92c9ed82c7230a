-- Looks again, at once, at tasks that a walk found odd, and mends them.
--
-- KEYS  as in _check
-- ARGV  prefix of task keys, prefix of groups, repair: 1 | 0;
--       per task: id, bits: 1 = it may be in several places
--       2 = its message is wanted, two keys of groups or sets that it may be in
--       or ''
-- Returns {how many were looked at, faults, messages}
--       faults    kind, id, detail, 1 = repaired, …
--       messages  id, how it is there: msg | none | raw, bytes, …
-- Cost  O(tasks), and O(pending) for each that is not where it says: it stops
--       after about 200,000 steps.
-- @allow-oom
-- @include _time
-- @include _type
-- @include _check
local repair = ARGV[3] == '1' and may_move()
-- @include _fault
local messages, work = {}, 0
-- What a walk over both lists costs.
local function steps()
  local pending, active = pcall('LLEN', lists.pending),
                          pcall('LLEN', lists.active)
  return (type(pending) == 'number' and pending or 0) +
         (type(active) == 'number' and active or 0)
end
local function message(id, how, bytes)
  messages[#messages + 1] = id
  messages[#messages + 1] = how
  messages[#messages + 1] = bytes
end
local function names(places)
  local seen, out = {}, {}
  for i = 1, #places do
    local name = places[i][1]
    if name == 'aggregating' then
      name = 'group ' .. string.sub(places[i][2], #group_prefix + 1)
    end
    if not seen[name] then out[#out + 1] = name end
    seen[name] = true
  end
  return table.concat(out, ' and ')
end
local own = {msg = 1, state = 1, pending_since = 1, lunaq_crashes = 1,
             lunaq_cancel = 1, group = 1, unique_key = 1}

-- Good at first sight: it is where it says, with a lease if and only if it is
-- active.
local function fine(id, h, leased)
  local state, ok = h[1], false
  if lists[state] then
    ok = pcall('LPOS', lists[state], id)
    ok = type(ok) == 'number'
  elseif zsets[state] then
    ok = scored(zsets[state], id)
  elseif state == 'aggregating' and h[3] then
    local keys = group_keys(h[3], {})
    for i = 1, #keys do ok = ok or scored(keys[i], id) end
  end
  return ok and (state == 'active') == (leased ~= nil)
end

local function put(id, key, state, group)
  if state == 'active' then
    call('LPUSH', lists.active, id)
    call('ZADD', KEYS[3], now_s + 30, id)
  elseif state == 'aggregating' and group and
         may_hold(group_prefix .. group, 'zset') then
    call('ZADD', group_prefix .. group, now_s, id)
    call('SADD', KEYS[8], group)
  elseif zsets[state] then
    call('ZADD', zsets[state], state == 'completed' and now_s + 86400 or now_s,
         id)
  else
    call('LPUSH', lists.pending, id)
    state = 'pending'
  end
  call('HSET', key, 'state', state)
end

-- Which of several places it keeps.
local function best(places, state, leased)
  local at
  for i = 1, #places do
    if places[i][1] == state and not at then at = i end
    if places[i][1] == 'active' and leased then return i end
  end
  return at or 1
end

local function mend_place(id, key, h, places, leased)
  local state = h[1] or 'nothing'
  if #places == 0 then
    if leased and state == 'active' then
      fault('lease-only', id, 'is not among the active')
      if repair then call('LPUSH', lists.active, id) end
      return
    end
    fault('orphan', id, state)
    if repair then
      call('ZREM', KEYS[3], id)
      put(id, key, h[1], h[3])
    end
    return
  end
  local keep = places[best(places, h[1], leased)]
  if #places > 1 then
    fault('two-places', id, names(places))
    for i = 1, #places do
      if repair and places[i] ~= keep then take_out(id, places[i]) end
    end
  end
  if keep[3] > 1 then
    fault('twice', id, keep[1])
    if repair then call('LREM', keep[2], -(keep[3] - 1), id) end
  end
  local is_group = keep[1] == 'aggregating' and
                   not scored(KEYS[9], keep[2])
  local group = is_group and string.sub(keep[2], #group_prefix + 1)
  if h[1] ~= keep[1] or group and group ~= h[3] then
    fault('wrong-state', id, names({keep}) .. ' and says ' .. state)
    if repair then
      call('HSET', key, 'state', keep[1])
      if group then call('HSET', key, 'group', group) end
    end
  end
  if keep[1] == 'active' and not leased then
    fault('no-lease', id)
    if repair then call('ZADD', KEYS[3], now_s + 30, id) end
  elseif keep[1] ~= 'active' and leased then
    fault('lease-only', id, 'is ' .. keep[1])
    if repair then call('ZREM', KEYS[3], id) end
  end
end

local function gone(id, hints, leased)
  local places = places_of(id, nil, hints)
  if #places == 0 and not leased then return end
  fault('dangling', id, #places > 0 and names(places) or 'lease')
  if not repair then return end
  for i = 1, #places do take_out(id, places[i]) end
  call('ZREM', KEYS[3], id)
end

local function look(id, bits, hints)
  local key = task_prefix .. id
  local leased = scored(KEYS[3], id)
  local kind = call('TYPE', key).ok
  if kind == 'hash' then
    local h = call('HMGET', key, 'state', 'msg', 'group')
    if h[2] then
      if bits % 2 == 1 or not fine(id, h, leased) then
        local places = places_of(id, h[3], hints)
        work = work + steps()
        if not (#places == 1 and places[1][3] == 1 and fine(id, h, leased))
        then
          mend_place(id, key, h, places, leased)
        end
      end
      if bits >= 2 then message(id, 'msg', h[2]) end
      return
    end
    local fields = call('HKEYS', key)
    for i = 1, #fields do
      if not own[fields[i]] then return message(id, 'none', '') end
    end
    fault('no-message', id)
    if repair then
      local places = places_of(id, h[3], hints)
      for i = 1, #places do take_out(id, places[i]) end
      call('ZREM', KEYS[3], id)
      call('UNLINK', key)
    end
  elseif kind == 'none' then
    work = work + steps()
    gone(id, hints, leased)
  else
    fault('task-type', id, kind)
    message(id, 'raw', kind == 'string' and call('GET', key) or
                       call('DUMP', key))
  end
end

local done = 0
for i = 4, #ARGV, 4 do
  if work > 200000 then break end
  look(ARGV[i], tonumber(ARGV[i + 1]), {ARGV[i + 2], ARGV[i + 3]})
  done = done + 1
end
return {done, faults, messages}
