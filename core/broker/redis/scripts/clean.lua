-- Deletes completed tasks that outlived their retention, and what is over the
-- queue's limits.
--
-- KEYS  completed archived, lunaq's dropped and limits
-- ARGV  prefix of task keys, how many completed at most; when the limits are
--       said anew: archive max, archive age s, completed max (0 = the default,
--       -1 = none)
-- Returns {deleted, dropped, 1 when there may be more to delete or drop}
-- Cost  O(log n + deleted + dropped)
-- @allow-oom
-- @include _time
-- @include _type
-- @include _message
-- @include _archive
local prefix, batch = ARGV[1], tonumber(ARGV[2])
local names = {'archive_max', 'archive_s', 'completed_max'}
local deleted, dropped, more = 0, 0, 0

-- The archive does not wait for the completed to be mended.
local bad = misfit({KEYS[1], 'zset'})
local ids = pcall('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, batch)
if #ids > 0 then
  local keys = {}
  for i = 1, #ids do keys[i] = prefix .. ids[i] end
  call('UNLINK', unpack(keys))
  call('ZREM', KEYS[1], unpack(ids))
  deleted = #ids
  if deleted == batch then more = 1 end
end

if ARGV[3] then
  for i, name in ipairs(names) do
    if ARGV[2 + i] == '0' then
      pcall('HDEL', KEYS[4], name)
    elseif pcall('HGET', KEYS[4], name) ~= ARGV[2 + i] then
      pcall('HSET', KEYS[4], name, ARGV[2 + i])
    end
  end
end
local limits = limits_of(KEYS[4])
for i, drop in ipairs({trim_completed, trim_archive}) do
  if may_hold(KEYS[i], 'zset') then
    local n = drop(KEYS[i], prefix, KEYS[3], limits)
    dropped = dropped + n
    if n >= drop_most then more = 1 end
  end
end
return bad or {deleted, dropped, more}
