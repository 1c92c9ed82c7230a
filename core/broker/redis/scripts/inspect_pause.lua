-- Pauses a queue or lets it go on.
--
-- KEYS  1 paused  2 the queues' names
-- ARGV  1 queue  2 pause | resume  3 check: 2 is there, and has to have 1
--       4 channel  5 note, for servers that listen
-- Returns 1 done, 0 it already is so, -1 no such queue.
-- Cost  O(1).  The keys lie in two slots: a cluster asks for the name first.
if ARGV[3] == 'check' and
   redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then
  return -1
end
local done = ARGV[2] == 'resume' and redis.call('DEL', KEYS[1]) or
             ARGV[2] ~= 'resume' and
             redis.call('SETNX', KEYS[1], redis.call('TIME')[1])
-- Whoever may not publish has paused it all the same: servers look each second.
if done == 1 then redis.pcall('PUBLISH', ARGV[4], ARGV[5]) end
return done
