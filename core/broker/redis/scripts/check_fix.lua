-- Gives tasks the message that they should have, if they still are as they
-- were when it was made.
--
-- KEYS  as in _check
-- ARGV  prefix of task keys, prefix of groups; per task: id, how it was there:
--       msg | none | raw, those bytes, the new message, archive: 1 | 0
-- Returns a character per task: 1 done, 0 not as it was, A left alone: it is
--       active, or a key has a wrong type
-- Cost  O(tasks), and O(pending) for one that is archived
-- @allow-oom
-- @include _time
-- @include _type
-- @include _check
local movable = may_move()
local function as_it_was(key, how, bytes)
  local kind = call('TYPE', key).ok
  if how == 'raw' then
    if kind == 'hash' or kind == 'none' then return false end
    return bytes == (kind == 'string' and call('GET', key) or
                     call('DUMP', key))
  end
  return kind == 'hash' and (call('HGET', key, 'msg') or '') == bytes
end

local function fix(id, how, bytes, msg, archive)
  local key = task_prefix .. id
  if not as_it_was(key, how, bytes) then return '0' end
  if archive then
    local lease = tonumber(scored(KEYS[3], id))
    if not movable or lease and lease > now - 30 then return 'A' end
    local group = how ~= 'raw' and call('HGET', key, 'group')
    local places = places_of(id, group or nil, {})
    for i = 1, #places do take_out(id, places[i]) end
    call('ZREM', KEYS[3], id)
    if how == 'raw' then call('DEL', key) end
    call('HSET', key, 'state', 'archived')
    call('ZADD', KEYS[6], now_s, id)
  end
  call('HSET', key, 'msg', msg)
  return '1'
end

local codes = {}
for i = 3, #ARGV, 5 do
  codes[#codes + 1] = fix(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3],
                          ARGV[i + 4] == '1')
end
return table.concat(codes)
