-- Gives a lease token back.
--
-- KEYS  token
-- ARGV  server id
-- Returns 1 if it was the server's
-- @allow-oom
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
