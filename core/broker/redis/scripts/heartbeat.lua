-- Publishes what a server works on.
--
-- KEYS  the server's record, its workers' hash, lunaq's record of it
-- ARGV  ttl ms, record, 1 if lunaq's record follows, it; per worker: task id,
--       record
-- Returns 1
-- Cost  O(workers)
-- @allow-oom
local call, ttl = redis.call, tonumber(ARGV[1])
call('SET', KEYS[1], ARGV[2], 'PX', ttl)
call('DEL', KEYS[2])
if #ARGV > 4 then
  for at = 5, #ARGV, 1000 do
    call('HSET', KEYS[2], unpack(ARGV, at, math.min(at + 999, #ARGV)))
  end
  call('PEXPIRE', KEYS[2], ttl)
end
if ARGV[3] == '1' then
  call('SET', KEYS[3], ARGV[4], 'PX', ttl)
else
  call('PEXPIRE', KEYS[3], ttl)
end
return 1
