-- Reads what the live servers publish.
--
-- KEYS  1 asynq:servers  2 asynq:workers
-- ARGV  1 prefix of asynq's server keys  2 of asynq's worker keys
--       3 of lunaq's server keys
-- Returns {server record, lunaq's JSON or nil, worker record, …} a server.
-- Cost  O(servers + active tasks).  The keys lie in many slots: a cluster
--       needs a call a server.
--
-- Members that outlived their time are removed by readers, as Asynq does it.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 1)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 1)
local rows = {}
for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local info = key:sub(1, #ARGV[1]) == ARGV[1] and redis.pcall('GET', key)
  if type(info) == 'string' then
    local name = key:sub(#ARGV[1] + 1)
    local extra = redis.pcall('GET', ARGV[3] .. name)
    local row = {info, type(extra) == 'string' and extra}
    local workers = redis.pcall('HVALS', ARGV[2] .. name)
    for i = 1, #workers do row[#row + 1] = workers[i] end
    rows[#rows + 1] = row
  end
end
return rows
