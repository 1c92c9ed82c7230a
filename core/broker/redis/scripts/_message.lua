-- Parts of a task's message, and the lock it names.

-- Protobuf: the value at i and where it ends; nil when the bytes stop short.
local function varint(s, i)
  local value, scale = 0, 1
  for n = i, i + 9 do
    local b = s:byte(n)
    if not b then return nil end
    value = value + (b % 128) * scale
    if b < 128 then return value, n + 1 end
    scale = scale * 128
  end
  return nil
end

-- Where field `number` of a message begins, its value begins and it ends; nil
-- when it is absent or the bytes are not a message.
local function field(s, number)
  local i, from, value, to = 1, nil, nil, nil
  while i <= #s do
    local tag, at = varint(s, i)
    if not tag then return nil end
    local kind, stop = tag % 8, nil
    if kind == 0 then
      local _
      _, stop = varint(s, at)
    elseif kind == 1 then
      stop = at + 8
    elseif kind == 2 then
      local len
      len, at = varint(s, at)
      stop = len and at + len
    elseif kind == 5 then
      stop = at + 4
    end
    if not stop or stop > #s + 1 then return nil end
    if (tag - kind) / 8 == number then from, value, to = i, at, stop end
    i = stop
  end
  return from, value, to
end

-- The lock a task holds.  Tasks that were enqueued into a group name it in
-- their message (field 10) only.
local function lock_of(t, lock_prefix)
  local key = redis.call('HGET', t, 'unique_key')
  if not key and redis.call('HEXISTS', t, 'group') == 1 then
    local msg = redis.call('HGET', t, 'msg')
    if msg then
      local _, at, stop = field(msg, 10)
      key = at and msg:sub(at, stop - 1)
    end
  end
  if key and key:sub(1, #lock_prefix) == lock_prefix then return key end
  return nil
end
