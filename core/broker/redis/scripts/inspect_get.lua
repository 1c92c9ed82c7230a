-- Reads one task.
--
-- KEYS  1 task  2 lease  3 scheduled  4 retry  5 archived  6 completed
-- ARGV  1 task id  2 prefix of locks
-- Returns nil when there is none, else {state, msg, result, crashes, score,
--       cancel request, pending since in ns, ms that it holds its lock still};
--       each may be nil; score only where the state has one.
-- Cost  O(log n).
-- @include _message
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return false end
local scored = {active = KEYS[2], scheduled = KEYS[3], retry = KEYS[4],
  archived = KEYS[5], completed = KEYS[6]}
local t = redis.call('HMGET', KEYS[1], 'state', 'msg', 'result',
  'lunaq_crashes', 'lunaq_cancel', 'pending_since')
local at = t[1] and scored[t[1]]
local score = at and redis.pcall('ZSCORE', at, ARGV[1])
if type(score) ~= 'string' then score = false end -- no such key, or another
local lock, left = lock_of(KEYS[1], ARGV[2]), 0
if lock and redis.pcall('GET', lock) == ARGV[1] then
  left = redis.call('PTTL', lock)
end
return {t[1], t[2], t[3], t[4], score, t[5], t[6], left}
