-- Publishes the entries of a scheduler; none takes them away.
--
-- KEYS  the scheduler's list
-- ARGV  ttl ms, entries …
-- Returns 1
redis.call('DEL', KEYS[1])
for at = 2, #ARGV, 1000 do
  redis.call('LPUSH', KEYS[1], unpack(ARGV, at, math.min(at + 999, #ARGV)))
end
if #ARGV > 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
