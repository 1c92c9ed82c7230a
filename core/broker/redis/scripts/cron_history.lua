-- Keeps what a tick of a periodic entry has enqueued.
--
-- KEYS  the entry's history
-- ARGV  event
-- Returns 1
-- @include _time
-- @include _type
if may_hold(KEYS[1], 'zset') then
  call('ZREMRANGEBYRANK', KEYS[1], 0, -1000)
  call('ZADD', KEYS[1], now_s, ARGV[1])
  -- Asynq lets histories of forgotten entries stand for ever.
  call('EXPIRE', KEYS[1], 7776000)
end
return 1
