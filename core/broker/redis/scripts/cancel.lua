-- Cancels a task: a waiting one is archived with the reason, an active one is
-- marked and its holder told.
--
-- KEYS  task pending scheduled retry groups archived, lunaq's dropped
--       limits untold
-- ARGV  id, reason, prefix of task keys, prefix of groups, channel, 1 = only
--       the attempt that runs
-- Returns its state before; nil = no such task; "held": it is being aggregated
-- Cost  O(1), of a pending task O(pending)
-- @include _time
-- @include _type
-- @include _message
-- @include _archive
-- @include _untold
local id, reason = ARGV[1], ARGV[2]
local h = call('HMGET', KEYS[1], 'state', 'msg', 'group')
local state = h[1]
if not state or not h[2] then return false end
if state == 'archived' or state == 'completed' then return state end
if ARGV[6] == '1' then
  if state == 'active' then call('PUBLISH', ARGV[5], id) end
  return state
end
if state == 'active' then
  call('HSET', KEYS[1], 'lunaq_cancel', reason)
  call('PUBLISH', ARGV[5], id)
  return state
end
local bad = misfit({KEYS[6], 'zset', KEYS[5], 'set'})
if bad then return bad end
if state == 'pending' then
  call('LREM', KEYS[2], 0, id)
elseif state == 'scheduled' then
  call('ZREM', KEYS[3], id)
elseif state == 'retry' then
  call('ZREM', KEYS[4], id)
elseif state == 'aggregating' and h[3] then
  local group = ARGV[4] .. h[3]
  if call('ZREM', group, id) == 0 then
    -- Its group is being aggregated right now.
    return 'held'
  end
  if call('EXISTS', group) == 0 then call('SREM', KEYS[5], h[3]) end
end
archive_canceled(KEYS[1], id, KEYS[6], h[2], reason)
note_untold(KEYS[9], id)
trim_archive(KEYS[6], ARGV[3], KEYS[7], limits_of(KEYS[8]))
return state
