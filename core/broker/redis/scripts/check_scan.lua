-- Walks all keys of a queue: its tasks are returned, what else there is is
-- looked at, and mended.
--
-- KEYS  1 groups  2 aggregation_sets
-- ARGV  1 cursor  2 pattern of the queue's keys  3 prefix of the queue's keys
--       4 repair: 1 | 0  5 how many keys of the server to look at
-- Returns {cursor ("0" = the end), tasks, keys of groups to walk, faults}
--       tasks   id, state or '', 0 a hash with a message | 1 without one
--               | 2 no hash, group or '', the message or '' when the page is
--               full, …
--       faults  kind, id, detail, 1 = repaired, …
-- Cost  O(a page)
-- @include _time
-- @include _type
local repair = ARGV[4] == '1'
-- @include _fault
local prefix = ARGV[3]
local tasks, walks, room = {}, {}, 2097152

local function task(key, id)
  local h = pcall('HMGET', key, 'state', 'msg', 'group')
  local n, msg = #tasks, not h.err and h[2] or ''
  if #msg > room then msg = '' end
  room = room - #msg
  tasks[n + 1] = id
  tasks[n + 2] = not h.err and h[1] or ''
  tasks[n + 3] = h.err and 2 or h[2] and 0 or 1
  tasks[n + 4] = not h.err and h[3] or ''
  tasks[n + 5] = msg
end

local function lock(key)
  local id = pcall('GET', key)
  if not id then return end -- it just ended
  if type(id) == 'table' then
    fault('key-type', key, call('TYPE', key).ok .. ', not a string', false)
    return
  end
  local state = pcall('HGET', prefix .. 't:' .. id, 'state')
  if not state or state == 'completed' then
    fault('lock-dead', key, id)
    if repair then call('DEL', key) end
  elseif call('TTL', key) == -1 then
    fault('lock-forever', key)
    if repair then call('EXPIRE', key, 86400) end
  end
end

local function group(key, name)
  local t = call('TYPE', key).ok
  if t == 'none' then return end
  if t ~= 'zset' then
    fault('key-type', key, t .. ', not a zset', false)
    return
  end
  if pcall('SISMEMBER', KEYS[1], name) == 1 then return end
  if type(pcall('ZSCORE', KEYS[2], key)) == 'string' then return end
  -- A group without its name, or a set that nobody owns?  Its tasks know.
  local first = call('ZRANGE', key, 0, 0)[1]
  local of = pcall('HGET', prefix .. 't:' .. first, 'group')
  if type(of) ~= 'string' or of == name or
     string.sub(name, 1, #of + 1) ~= of .. ':' then
    local may = may_hold(KEYS[1], 'set')
    fault('group-unnamed', name, nil, may)
    if repair and may then call('SADD', KEYS[1], name) end
    walks[#walks + 1] = key
    return
  end
  local to = prefix .. 'g:' .. of
  local may = may_hold(KEYS[1], 'set') and may_hold(to, 'zset')
  fault('set-unowned', key, nil, may)
  if repair and may then
    local all = call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do call('ZADD', to, 'NX', all[i + 1], all[i]) end
    call('DEL', key)
    call('SADD', KEYS[1], of)
  end
  walks[#walks + 1] = repair and may and to or key
end

local function counter(key, name, day)
  local value = pcall('GET', key)
  if not value then return end
  if type(value) == 'table' then
    fault('key-type', key, call('TYPE', key).ok .. ', not a string', false)
  elseif not string.match(value, '^%-?%d+$') then
    fault('counter', key, 'not a number')
    if repair then call('DEL', key) end
  elseif day and call('TTL', key) == -1 then
    fault('counter', key, 'without an end')
    if repair then call('EXPIRE', key, 7776000) end
  elseif day and name == 'failed' then
    local all = prefix .. 'processed:' .. day
    local processed = pcall('GET', all)
    processed = type(processed) ~= 'table' and tonumber(processed or 0)
    if processed and processed < tonumber(value) then
      fault('counter', key, value .. ', more than all that was processed')
      if repair then
        call('SET', all, value)
        call('EXPIRE', all, 7776000)
      end
    end
  end
end

local page = call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[5])
for i = 1, #page[2] do
  local key = page[2][i]
  if string.sub(key, 1, #prefix) == prefix then
    local rest = string.sub(key, #prefix + 1)
    local kind, name = string.match(rest, '^([^:]*):?(.*)$')
    if kind == 't' then
      task(key, name)
    elseif kind == 'unique' then
      lock(key)
    elseif kind == 'g' then
      group(key, name)
    elseif kind == 'processed' or kind == 'failed' then
      counter(key, kind, name ~= '' and name or nil)
    end
  end
end
return {page[1], tasks, walks, faults}
