-- Keeps tokens for another day; one that was lost is taken again if free.
--
-- KEYS  tokens
-- ARGV  server id
-- Returns how many are ours
-- @allow-oom
local ours = 0
for i = 1, #KEYS do
  if redis.call('SET', KEYS[i], ARGV[1], 'NX', 'EX', 86400) then
    ours = ours + 1
  elseif redis.pcall('GET', KEYS[i]) == ARGV[1] then
    redis.call('EXPIRE', KEYS[i], 86400)
    ours = ours + 1
  end
end
return ours
