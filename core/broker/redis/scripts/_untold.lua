-- Notes that a task was archived that no server has in hand: one of them takes
-- the note and tells the task's handler (untold.lua).  They are kept for a day,
-- and not more than 10000.  Needs _time, _type.
local function note_untold(key, id)
  if not may_hold(key, 'zset') then return end
  call('ZREMRANGEBYSCORE', key, '-inf', now_s - 86400)
  call('ZADD', key, now_s, id)
  call('ZREMRANGEBYRANK', key, 0, -10001)
  call('EXPIRE', key, 86400)
end
