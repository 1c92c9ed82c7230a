-- Reads a task to enqueue out of ARGV from `at` on, as enqueue.lua describes
-- it: {id, msg, due, unique, ttl, group}, and where the next one begins.
local function read_item(at)
  local bits = tonumber(ARGV[at])
  local item = {id = ARGV[at + 1], msg = ARGV[at + 2], due = 0}
  at = at + 3
  if bits % 2 == 1 then
    item.due = tonumber(ARGV[at])
    at = at + 1
  end
  if bits % 4 >= 2 then
    item.unique, item.ttl = ARGV[at], ARGV[at + 1]
    at = at + 2
  end
  if bits >= 4 then
    item.group = ARGV[at]
    at = at + 1
  end
  return item, at
end
