-- Draws a lease token.
--
-- KEYS  candidates
-- ARGV  server id
-- Returns the number of the first key that was free, 0 = none
-- @allow-oom
for i = 1, #KEYS do
  if redis.call('SET', KEYS[i], ARGV[1], 'NX', 'EX', 86400) then return i end
end
return 0
