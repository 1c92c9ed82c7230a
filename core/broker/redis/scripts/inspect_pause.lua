-- Pauses a queue or lets it go on.
--
-- KEYS  1 asynq:queues  2 paused
-- ARGV  1 queue  2 pause | resume
-- Returns 1 done, 0 it already is so, -1 no such queue.
-- Cost  O(1).  The keys lie in two slots: a cluster needs two calls.
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then return -1 end
if ARGV[2] == 'resume' then return redis.call('DEL', KEYS[2]) end
return redis.call('SETNX', KEYS[2], redis.call('TIME')[1])
