-- Lists a queue's groups, a part at a time, and with the first part its sets.
--
-- KEYS  groups aggregation_sets, lunaq's groups
-- ARGV  prefix of task keys, prefix of groups, cursor ("" = begin), groups a
--       part, sets at most
-- Returns {cursor ("" = end), sets, per set: its key without the prefix, size,
--       ms until its end; per group: name, types of its oldest 16 tasks with a
--       NUL between, size, age of the oldest and of the newest ms, failures,
--       ms until the next try, error}
-- Cost  O(groups a part + sets)
-- @include _time
-- @include _message
local out = {'', 0}
local function add(...)
  for i = 1, select('#', ...) do out[#out + 1] = (select(i, ...)) end
end
local function ms(seconds)
  return floor(seconds * 1000)
end
local cursor = ARGV[3]
if cursor == '' then
  cursor = '0'
  local sets = call('ZRANGE', KEYS[2], 0, tonumber(ARGV[5]) - 1, 'WITHSCORES')
  out[2] = #sets / 2
  for i = 1, #sets, 2 do
    local size = pcall('ZCARD', sets[i])
    add(sets[i]:sub(#ARGV[2] + 1), type(size) == 'number' and size or 0,
        ms(tonumber(sets[i + 1]) - now))
  end
end
local page = call('SSCAN', KEYS[1], cursor, 'COUNT', ARGV[4])
if page[1] ~= '0' then out[1] = page[1] end
for i = 1, #page[2] do
  local name = page[2][i]
  local key = ARGV[2] .. name
  local size = pcall('ZCARD', key)
  if type(size) == 'number' and size > 0 then
    local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
    local last = call('ZRANGE', key, -1, -1, 'WITHSCORES')
    local kinds = call('ZRANGE', key, 0, 15)
    for k = 1, #kinds do
      local msg = pcall('HGET', ARGV[1] .. kinds[k], 'msg')
      kinds[k] = ''
      if type(msg) == 'string' then
        local _, at, stop = field(msg, 1)
        if at then kinds[k] = msg:sub(at, stop - 1) end
      end
    end
    local failed = call('HGET', KEYS[3], name) or '0 0 '
    local count, until_ms, text = failed:match('^(%d+) (%d+) (.*)$')
    add(name, table.concat(kinds, '\0'), size, math.max(0, ms(now - tonumber(first[2]))),
        math.max(0, ms(now - tonumber(last[2]))), tonumber(count) or 0,
        math.max(0, (tonumber(until_ms) or 0) - ms(now)), text or '')
  end
end
return out
