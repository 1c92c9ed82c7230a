-- True when the key is absent or of this type.
local function may_hold(key, kind)
  local t = call('TYPE', key).ok
  return t == kind or t == 'none'
end
