-- Enqueues tasks into one queue, each for itself.
--
-- KEYS  pending scheduled groups
-- ARGV  prefix of task keys, prefix of groups; per task: bits, id, msg, and by
--       its bits: due ms (1), unique key and TTL s (2), group (4)
-- Returns a character per task: see _enqueue
-- Cost  O(tasks)
-- @include _time
-- @include _type
-- @include _since
-- @include _enqueue
local queue = {
  pending = KEYS[1], scheduled = KEYS[2], groups = KEYS[3],
  prefix = ARGV[1], group_prefix = ARGV[2]
}
local codes, ready, keys, first = {}, {}, {}, {}
local at, last = 3, #ARGV
while at <= last do
  local bits = tonumber(ARGV[at])
  first[#first + 1] = at
  keys[#keys + 1] = queue.prefix .. ARGV[at + 1]
  at = at + 3 + bits % 2 + (bits % 4 >= 2 and 2 or 0) + (bits >= 4 and 1 or 0)
end
queue.fresh = call('EXISTS', unpack(keys)) == 0
for i = 1, #first do
  at = first[i]
  local bits = tonumber(ARGV[at])
  -- Most tasks of most batches: a shorter way to what enqueue() would do.
  if bits == 0 and queue.fresh and fits(queue.pending, 'list') and
     not made[ARGV[at + 1]] then
    made[ARGV[at + 1]] = true
    call('HSET', keys[i], 'msg', ARGV[at + 2], 'state', 'pending',
         'pending_since', since)
    ready[#ready + 1] = ARGV[at + 1]
    codes[i] = 'P'
  else
    local id, msg = ARGV[at + 1], ARGV[at + 2]
    local due, unique, ttl, group = 0, nil, nil, nil
    at = at + 3
    if bits % 2 == 1 then
      due = tonumber(ARGV[at])
      at = at + 1
    end
    if bits % 4 >= 2 then
      unique, ttl = ARGV[at], ARGV[at + 1]
      at = at + 2
    end
    if bits >= 4 then group = ARGV[at] end
    codes[i] = enqueue(queue, ready, id, msg, due, unique, ttl, group)
  end
end
if #ready > 0 then call('LPUSH', queue.pending, unpack(ready)) end
return table.concat(codes)
