-- Brings what a queue has beside its tasks: of two numbers the larger remains.
--
-- KEYS  1 paused  2 lunaq's cron (hash)  3… counters
-- ARGV  1 paused at, s; 0 = not  2 number of entries; an entry and its last
--       instant each; then for each counter: number, s until it ends (0 never)
-- Returns 1
-- Cost  O(entries + counters)
-- @include _time
-- Whole numbers of 64 bits, which a Lua number does not hold.
local function larger(a, b)
  a, b = a:gsub('^%-', ''), b:gsub('^%-', '')
  if #a ~= #b then return #a > #b end
  return a > b
end

if ARGV[1] ~= '0' then call('SETNX', KEYS[1], ARGV[1]) end
local at = 3
for _ = 1, tonumber(ARGV[2]) do
  local last = call('HGET', KEYS[2], ARGV[at])
  if not last or larger(ARGV[at + 1], last) then
    call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
  end
  at = at + 2
end
for i = 3, #KEYS do
  if not ARGV[at] then break end
  local there, ends = call('GET', KEYS[i]), tonumber(ARGV[at + 1])
  if not there or larger(ARGV[at], there) then
    call('SET', KEYS[i], ARGV[at])
    if ends > 0 then call('EXPIRE', KEYS[i], ends) end
  end
  at = at + 2
end
return 1
