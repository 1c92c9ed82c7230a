-- Publishes the entries of a scheduler; none takes it away.
--
-- KEYS  asynq:schedulers, the scheduler's list
-- ARGV  ttl ms, entries …
-- Returns 1
-- @include _time
call('DEL', KEYS[2])
if #ARGV == 1 then
  call('ZREM', KEYS[1], KEYS[2])
  return 1
end
local ttl = tonumber(ARGV[1])
call('ZADD', KEYS[1], ceil(now + ttl / 1000), KEYS[2])
for at = 2, #ARGV, 1000 do
  call('LPUSH', KEYS[2], unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
call('PEXPIRE', KEYS[2], ttl)
return 1
