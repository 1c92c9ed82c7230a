-- True when the key is absent or of this type.
local function may_hold(key, kind)
  local t = call('TYPE', key).ok
  return t == kind or t == 'none'
end
-- Of {key, type, key, type, …} the error that names the first one which holds
-- another; nil when all may hold theirs.
local function misfit(keys)
  for i = 1, #keys, 2 do
    if not may_hold(keys[i], keys[i + 1]) then
      return redis.error_reply('WRONGTYPE ' .. keys[i] .. ' is not a ' ..
                               keys[i + 1])
    end
  end
end
