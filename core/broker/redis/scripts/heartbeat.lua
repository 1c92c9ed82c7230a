-- Publishes that a server lives, and what it works on.
--
-- KEYS  asynq:servers asynq:workers, the server's record, its workers' hash,
--       lunaq's record of it
-- ARGV  ttl ms, record, 1 if lunaq's record follows, it; per worker: task id,
--       record
-- Returns 1
-- Cost  O(workers)
-- @allow-oom
-- @include _time
local ttl = tonumber(ARGV[1])
local ends = ceil(now + ttl / 1000)
call('ZADD', KEYS[1], ends, KEYS[3])
call('ZADD', KEYS[2], ends, KEYS[4])
call('SET', KEYS[3], ARGV[2], 'PX', ttl)
call('DEL', KEYS[4])
if #ARGV > 4 then
  for at = 5, #ARGV, 1000 do
    call('HSET', KEYS[4], unpack(ARGV, at, math.min(at + 999, #ARGV)))
  end
  call('PEXPIRE', KEYS[4], ttl)
end
if ARGV[3] == '1' then
  call('SET', KEYS[5], ARGV[4], 'PX', ttl)
else
  call('PEXPIRE', KEYS[5], ttl)
end
return 1
