-- Moves what is due from scheduled and retry to pending, or to its group.
--
-- KEYS  scheduled retry pending groups archived, lunaq's dropped limits
--       untold
-- ARGV  prefix of task keys, prefix of groups, limit
-- Returns {moved, ms until the next is due (0 now, -1 none)}
-- Cost  O(log n + moved)
-- @allow-oom
-- @include _time
-- @include _type
-- @include _message
-- @include _archive
-- @include _untold
-- @include _since
-- @include _until
local prefix, limit = ARGV[1], tonumber(ARGV[3])
local moved, next_ms, archived = 0, -1, false
local since = now_ns()
local bad = misfit({KEYS[3], 'list'})
if bad then return bad end
-- The one does not wait for the other to be mended.
bad = misfit({KEYS[1], 'zset', KEYS[2], 'zset'})
for k = 1, 2 do
  local ids = pcall('ZRANGEBYSCORE', KEYS[k], '-inf', now, 'LIMIT', 0, limit)
  local ready = {}
  for i = 1, #ids do
    local id = ids[i]
    local key = prefix .. id
    local h = pcall('HMGET', key, 'msg', 'group', 'lunaq_cancel',
                    'lunaq_group', 'lunaq_alone')
    local group = h[2] or h[4]
    if k == 1 and h[1] and not group and not h[5] then
      -- Scheduled by Asynq's client, which notes the group in the message
      -- (field 14) only and never aggregates such a task.
      local _, at, stop = field(h[1], 14)
      group = at and h[1]:sub(at, stop - 1)
    end
    if h.err or not h[1] then
      -- An id without a task: dropped, below.
      if not h.err then call('UNLINK', key) end
    elseif h[3] and may_hold(KEYS[5], 'zset') then
      archive_canceled(key, id, KEYS[5], h[1], h[3])
      note_untold(KEYS[8], id)
      archived = true
    elseif group and group ~= '' and may_hold(ARGV[2] .. group, 'zset') and
           may_hold(KEYS[4], 'set') then
      call('ZADD', ARGV[2] .. group, now_s, id)
      -- Asynq leaves this out, and the group waits for another task.
      call('SADD', KEYS[4], group)
      call('HSET', key, 'state', 'aggregating', 'group', group)
      if h[4] then call('HDEL', key, 'lunaq_group') end
      moved = moved + 1
    else
      call('HSET', key, 'state', 'pending', 'pending_since', since)
      ready[#ready + 1] = id
      moved = moved + 1
    end
  end
  if #ids > 0 then call('ZREM', KEYS[k], unpack(ids)) end
  if #ready > 0 then call('LPUSH', KEYS[3], unpack(ready)) end
  local first = pcall('ZRANGE', KEYS[k], 0, 0, 'WITHSCORES')
  if first[1] then
    local ms = ms_until(tonumber(first[2]))
    if next_ms < 0 or ms < next_ms then next_ms = ms end
  end
end
if archived then
  trim_archive(KEYS[5], prefix, KEYS[6], limits_of(KEYS[7]))
end
return bad or {moved, next_ms}
