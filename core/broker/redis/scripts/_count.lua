-- Adds n to a counter; a day's counter, new, lives for 90 days.  Totals start
-- again at the limit of 64 bits, as Asynq's do.
local function count(day, total, n)
  if n == 0 then return end
  if pcall('INCRBY', day, n) == n then
    call('EXPIREAT', day, now_s + 7776000)
  end
  local r = pcall('INCRBY', total, n)
  if type(r) == 'table' and string.find(r.err, 'overflow', 1, true) then
    call('SET', total, n)
  end
end
