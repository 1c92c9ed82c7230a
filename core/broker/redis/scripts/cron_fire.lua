-- Fires a tick of a periodic entry, once.
--
-- KEYS  lunaq's cron (hash entry → last instant; negative: seen then, never
--       fired), pending scheduled groups, lunaq's fired (hash entry → what
--       became of the task of its last instant, and that one's id)
-- ARGV  entry, instant ms (-1 = only read), first ms (0 = none), then to read:
--       the latest instant that is believed (0 = any), to use it up: 'skip',
--       to fire: prefix of
--       task keys, prefix of groups, the task as in enqueue
-- Returns {1 = fired, 2 = set back, last ms as stored (0 = never seen), what
--          became of the task or ''}
-- Cost  O(1)
-- @include _time
-- @include _type
-- @include _since
-- @include _item
-- @include _enqueue
local entry, instant, first = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local stored = call('HGET', KEYS[1], entry)
local last = tonumber(stored or nil)
local latest, what = instant < 0 and tonumber(ARGV[4]) or 0, 0
if last and first > 0 and latest > 0 and math.abs(last) > latest then
  last, what = nil, 2
end
if not last and first > 0 then
  last = -first
  call('HSET', KEYS[1], entry, string.format('%.0f', last))
end
if last and last == instant and ARGV[7] then
  -- The same task again: the reply to the first time was lost.
  local fired = pcall('HGET', KEYS[5], entry)
  if type(fired) == 'string' and fired:sub(2) == ARGV[7] then
    return {1, stored, fired:sub(1, 1)}
  end
end
if instant < 0 or last and instant <= math.abs(last) then
  return {what, string.format('%.0f', last or 0), ''}
end
if ARGV[4] == 'skip' then
  call('HSET', KEYS[1], entry, ARGV[2])
  pcall('HDEL', KEYS[5], entry)
  return {1, ARGV[2], ''}
end
local queue = {
  pending = KEYS[2], scheduled = KEYS[3], groups = KEYS[4],
  prefix = ARGV[4], group_prefix = ARGV[5]
}
local item, ready = read_item(6), {}
local code = enqueue(queue, ready, item.id, item.msg, item.due, item.unique,
                     item.ttl, item.group)
-- A key of a wrong type: the tick is not used up.
if code == 'W' then return {0, string.format('%.0f', last or 0), code} end
call('HSET', KEYS[1], entry, ARGV[2])
pcall('HSET', KEYS[5], entry, code .. ARGV[7])
if ready[1] then call('LPUSH', queue.pending, ready[1]) end
return {1, ARGV[2], code}
