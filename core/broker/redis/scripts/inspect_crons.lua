-- Reads the periodic entries that live schedulers publish.
--
-- KEYS  1 asynq:schedulers
-- Returns the records.
-- Cost  O(entries).  The keys lie in many slots: a cluster needs a call a
--       scheduler.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 1)
local entries = {}
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local some = redis.pcall('LRANGE', key, 0, -1)
  for i = 1, #some do entries[#entries + 1] = some[i] end
end
return entries
