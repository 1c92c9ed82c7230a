-- What there is in queues.
--
-- KEYS  per queue: paused pending scheduled retry groups
-- Returns per queue: 1 if paused, pending, ms until the next scheduled or
--         retry is due (-1 = none), groups
-- @include _time
-- @include _until
local out = {}
for k = 1, #KEYS - 4, 5 do
  local pending = pcall('LLEN', KEYS[k + 1])
  local next_ms = -1
  for j = k + 2, k + 3 do
    local first = pcall('ZRANGE', KEYS[j], 0, 0, 'WITHSCORES')
    local score = tonumber(first[2])
    if score then
      local ms = ms_until(score)
      if next_ms < 0 or ms < next_ms then next_ms = ms end
    end
  end
  out[#out + 1] = call('EXISTS', KEYS[k])
  out[#out + 1] = type(pending) == 'number' and pending or 0
  out[#out + 1] = next_ms
  local groups = pcall('SCARD', KEYS[k + 4])
  out[#out + 1] = type(groups) == 'number' and groups or 0
end
return out
