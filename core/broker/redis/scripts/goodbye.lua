-- Takes a server's records away and gives its tokens back.
--
-- KEYS  asynq:servers asynq:workers, the server's record, its workers' hash,
--       lunaq's record of it, asynq:schedulers, its list of entries, tokens …
-- ARGV  server id
-- Returns 1
-- @allow-oom
redis.call('ZREM', KEYS[1], KEYS[3])
redis.call('ZREM', KEYS[2], KEYS[4])
redis.call('ZREM', KEYS[6], KEYS[7])
redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5], KEYS[7])
for i = 8, #KEYS do
  if redis.pcall('GET', KEYS[i]) == ARGV[1] then
    redis.call('DEL', KEYS[i])
  end
end
return 1
