-- Parts of everything that archives.  Needs _time.

-- A message with error_msg (field 7) and last_failed_at (11) put behind it: a
-- script cannot rewrite protobuf, but in proto3 the last value of a field is
-- the one that counts.
local function with_error(msg, text)
  local function varint(n)
    local s = ''
    while n >= 128 do
      s = s .. string.char(n % 128 + 128)
      n = floor(n / 128)
    end
    return s .. string.char(n)
  end
  return msg .. ':' .. varint(#text) .. text .. 'X' .. varint(now_s)
end

-- Deletes archived tasks that are too many or too old, with their hashes, in
-- chunks (one call may remove 10,000, so that one step stays under ~20 ms),
-- and counts them: Asynq drops them silently.
local function trim_archive(archived, prefix, dropped_key, max, age)
  local dropped = 0
  local function drop(ids)
    local keys = {}
    for i = 1, #ids do keys[i] = prefix .. ids[i] end
    call('UNLINK', unpack(keys))
    call('ZREM', archived, unpack(ids))
    dropped = dropped + #ids
  end
  local excess = call('ZCARD', archived) - max
  while excess > 0 and dropped < 10000 do
    local ids = call('ZRANGE', archived, 0, math.min(excess, 500) - 1)
    drop(ids)
    excess = excess - #ids
  end
  while dropped < 10000 do
    local ids = call('ZRANGEBYSCORE', archived, '-inf', now_s - age,
                     'LIMIT', 0, 500)
    if #ids == 0 then break end
    drop(ids)
  end
  if dropped > 0 then pcall('INCRBY', dropped_key, dropped) end
end
