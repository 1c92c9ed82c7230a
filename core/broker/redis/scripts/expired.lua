-- Lists tasks whose lease has ended: lunaq's at once, Go's 30 s later, as
-- Asynq does.
--
-- KEYS  lease
-- ARGV  prefix of task keys, limit
-- Returns {ms until the next ends (-1 = there is none),
--          per task: id, score, token, msg or nil, crashes, cancel or nil}
-- Cost  O(log n + ended leases)
-- @include _time
-- @include _token
-- @include _crashes
-- @include _until
local limit = tonumber(ARGV[2])
local out, found, next_at = {-1}, 0, nil
local function later(at)
  if not next_at or at < next_at then next_at = at end
end
local from = 0
repeat
  local page = call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES',
                    'LIMIT', from, 100)
  from = from + 100
  for i = 1, #page, 2 do
    local id, score = page[i], tonumber(page[i + 1])
    local token = token_of(score)
    if token == 0 and score > now - 30 then
      later(score + 30)
    elseif found < limit then
      found = found + 1
      local h = pcall('HMGET', ARGV[1] .. id, 'msg', 'lunaq_crashes',
                      'lunaq_cancel')
      if h.err then h = {false, false, false} end
      local m = #out
      out[m + 1], out[m + 2], out[m + 3] = id, page[i + 1], token
      out[m + 4], out[m + 5] = h[1], crash_count(h[2])
      out[m + 6] = h[3]
    end
  end
until #page < 200 or found == limit or from >= 10000
-- There may be more.
if found == limit then later(now) end
local first = call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.17g', now),
                   '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if first[1] then
  local score = tonumber(first[2])
  later(score + (token_of(score) == 0 and 30 or 0))
end
if next_at then out[1] = ms_until(next_at) end
return out
