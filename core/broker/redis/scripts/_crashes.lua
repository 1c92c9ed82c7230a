-- How often a task crashed, of its field lunaq_crashes: 0 for what is no count,
-- so that one odd field cannot make a whole reply unreadable.  Needs _time.
local function crash_count(text)
  local n = tonumber(text or nil)
  return n and n >= 0 and n < 2147483648 and floor(n) or 0
end
