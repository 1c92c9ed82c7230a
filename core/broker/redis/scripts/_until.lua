-- Milliseconds until a score, 0 when it has passed; at most what fits into a
-- reply: a score may be any number.  Needs _time.
local function ms_until(score)
  return math.max(0, math.min(9e15, ceil((score - now) * 1000)))
end
