-- Remembers that aggregating a group failed, why, and that it is not to be
-- tried for `wait` ms (lunaq's groups: "failures until error").  Needs _time.
local function note_failure(key, name, wait, error)
  local before = call('HGET', key, name) or ''
  local failures = (tonumber(before:match('^%d+')) or 0) + 1
  call('HSET', key, name,
       string.format('%.0f %.0f %s', failures, floor(now * 1000) + wait, error))
end
