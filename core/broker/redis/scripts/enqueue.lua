-- Enqueues tasks into one queue, each for itself.
--
-- KEYS  pending scheduled groups
-- ARGV  prefix of task keys, prefix of groups; per task: bits, id, msg, and by
--       its bits: due ms (1), unique key and TTL s (2), group (4)
-- Returns a character per task: see _enqueue
-- Cost  O(tasks)
-- @include _time
-- @include _type
-- @include _enqueue
local queue = {
  pending = KEYS[1], scheduled = KEYS[2], groups = KEYS[3],
  prefix = ARGV[1], group_prefix = ARGV[2]
}
local codes, ready = {}, {}
local at = 3
while at <= #ARGV do
  local bits = tonumber(ARGV[at])
  local item = {id = ARGV[at + 1], msg = ARGV[at + 2], at_ms = 0}
  at = at + 3
  if bits % 2 >= 1 then
    item.at_ms = tonumber(ARGV[at])
    at = at + 1
  end
  if bits % 4 >= 2 then
    item.unique, item.ttl = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
  end
  if bits >= 4 then
    item.group = ARGV[at]
    at = at + 1
  end
  codes[#codes + 1] = enqueue(queue, item, ready)
end
if #ready > 0 then call('LPUSH', queue.pending, unpack(ready)) end
return table.concat(codes)
