-- Stores a result in the middle of a run.
--
-- KEYS  lease, task
-- ARGV  id, token, result
-- Returns 1, 0 when the lease is not the token's
-- @include _time
-- @include _token
local score = tonumber(call('ZSCORE', KEYS[1], ARGV[1]) or nil)
local token = tonumber(ARGV[2])
if not score or token == 0 or token_of(score) ~= token then return 0 end
if not call('HGET', KEYS[2], 'msg') then return 0 end
call('HSET', KEYS[2], 'result', ARGV[3])
return 1
