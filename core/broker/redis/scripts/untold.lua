-- Takes notes of tasks that were archived while no server had them in hand, the
-- oldest first.
--
-- KEYS  lunaq's untold
-- ARGV  prefix of task keys, notes at most, bytes of messages at most
-- Returns {notes that are left, id, msg, who asked to cancel it and why, …};
--       tasks that are not in the archive any more are left out
-- Cost  O(log n) a note
-- @allow-oom
-- @include _time
-- @include _type
local key, room = KEYS[1], tonumber(ARGV[3])
if not may_hold(key, 'zset') then
  return redis.error_reply('WRONGTYPE the notes are not a sorted set')
end
local out = {0}
for _ = 1, tonumber(ARGV[2]) do
  local id = call('ZPOPMIN', key)[1]
  if not id then break end
  local h = pcall('HMGET', ARGV[1] .. id, 'state', 'msg', 'lunaq_cancel')
  if not h.err and h[1] == 'archived' and h[2] and h[3] then
    local n = #out
    out[n + 1], out[n + 2], out[n + 3] = id, h[2], h[3]
    room = room - #h[2]
    if room <= 0 then break end
  end
end
out[1] = call('ZCARD', key)
return out
