-- Pauses a queue or lets it go on.
--
-- KEYS  1 paused  2 the queues' names
-- ARGV  1 queue  2 pause | resume  3 check: 2 is there, and has to have 1
-- Returns 1 done, 0 it already is so, -1 no such queue.
-- Cost  O(1).  The keys lie in two slots: a cluster asks for the name first.
if ARGV[3] == 'check' and
   redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
  return -1
end
if ARGV[2] == 'resume' then return redis.call('DEL', KEYS[1]) end
return redis.call('SETNX', KEYS[1], redis.call('TIME')[1])
