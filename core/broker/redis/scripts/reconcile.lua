-- After a lost reply: what has a token but is not in its holder's hands goes
-- back to pending, next to run; its crash count stays.
--
-- KEYS  active lease pending archived, lunaq's dropped limits untold
-- ARGV  prefix of task keys, token; ids held …
-- Returns how many went back
-- Cost  O(tasks active in the queue)
-- @allow-oom
-- @include _time
-- @include _token
-- @include _type
-- @include _message
-- @include _archive
-- @include _untold
-- @include _since
-- @include _give_back
local held = {}
for i = 3, #ARGV do held[ARGV[i]] = true end
local bad = misfit({KEYS[1], 'list', KEYS[3], 'list'})
if bad then return bad end
local token = tonumber(ARGV[2])
local lost, is_lost = {}, {}
local all = call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
  local id = all[i]
  if not held[id] and token_of(tonumber(all[i + 1])) == token then
    is_lost[id] = true
    lost[#lost + 1] = id
  end
end
-- In the order in which they were taken, which leases of one second do not
-- tell: the first of them is at the tail.
if #lost > 1 then
  local leases, active = lost, call('LRANGE', KEYS[1], 0, -1)
  lost = {}
  local function add(id)
    if is_lost[id] then lost[#lost + 1] = id end
    is_lost[id] = nil
  end
  for i = #active, 1, -1 do add(active[i]) end
  for i = 1, #leases do add(leases[i]) end
end
give_back({
  active = KEYS[1], lease = KEYS[2], pending = KEYS[3], archived = KEYS[4],
  dropped = KEYS[5], limits = KEYS[6], untold = KEYS[7], prefix = ARGV[1]
}, lost)
return #lost
