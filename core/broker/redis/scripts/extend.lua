-- Renews leases, ended ones too while the token is still the holder's.
--
-- KEYS  lease
-- ARGV  prefix of task keys, lease ms; per task: id, token
-- Returns per task: 0 not ours, 1 renewed, or the text of a cancel request
-- Cost  O(tasks)
-- @allow-oom
-- @include _time
-- @include _token
local ids, out, leases = {}, {}, {}
for i = 3, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
local scores = call('ZMSCORE', KEYS[1], unpack(ids))
for i = 1, #ids do
  local holder = tonumber(ARGV[2 + 2 * i])
  out[i] = 0
  if scores[i] and holder > 0 and token_of(tonumber(scores[i])) == holder then
    leases[#leases + 1] = lease_score(tonumber(ARGV[2]), holder)
    leases[#leases + 1] = ids[i]
    local cancel = pcall('HGET', ARGV[1] .. ids[i], 'lunaq_cancel')
    out[i] = type(cancel) == 'string' and cancel or 1
  end
end
if #leases > 0 then call('ZADD', KEYS[1], 'XX', unpack(leases)) end
return out
