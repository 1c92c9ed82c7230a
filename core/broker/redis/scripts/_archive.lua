-- Parts of everything that archives.  Needs _time, _message.

-- A message with error_msg (field 7) and last_failed_at (11) put behind it: a
-- script cannot rewrite protobuf, but in proto3 the last value of a field is
-- the one that counts.  failed_s: now_s, or 0: no attempt failed with that.
local function with_error(msg, text, failed_s)
  local function varint(n)
    local s = ''
    while n >= 128 do
      s = s .. string.char(n % 128 + 128)
      n = floor(n / 128)
    end
    return s .. string.char(n)
  end
  return msg .. ':' .. varint(#text) .. text .. 'X' .. varint(failed_s)
end

-- Archives a task that somebody asked to cancel while no attempt of it ran.
local function archive_canceled(key, id, archived, msg, why)
  call('HSET', key, 'msg', with_error(msg, why, 0), 'state', 'archived',
       'lunaq_cancel', why)
  call('HDEL', key, 'pending_since', 'lunaq_crashes')
  call('ZADD', archived, now_s, id)
end

-- What the queue keeps: its limits as its servers say them (lunaq's key
-- "limits"), 0 or absent the default, -1 none.
local function limits_of(key)
  local l = pcall('HMGET', key, 'archive_max', 'archive_s', 'completed_max')
  local function limit(i, default)
    local n = not l.err and tonumber(l[i]) or 0
    return n < 0 and math.huge or n == 0 and default or n
  end
  return {
    archive_max = limit(1, 10000), archive_s = limit(2, 7776000),
    completed_max = limit(3, math.huge)
  }
end

-- One call drops at most so many, so that a step stays short; the janitor goes
-- on.
local drop_most = 2000

-- Deletes tasks of an archive or of the completed, the first of them first,
-- with their hashes and the locks that are theirs: all but the last `max`, and
-- those with a score up to `score`.  They are counted: Asynq drops them
-- silently.  Returns how many.
local function trim(zset, prefix, dropped_key, max, score)
  local dropped = 0
  local lock_prefix = prefix:sub(1, -3) .. 'unique:'
  local function drop(ids)
    local keys = {}
    for i = 1, #ids do
      local key = prefix .. ids[i]
      keys[i] = key
      local lock = call('TYPE', key).ok == 'hash' and lock_of(key, lock_prefix)
      if lock and pcall('GET', lock) == ids[i] then call('DEL', lock) end
    end
    call('UNLINK', unpack(keys))
    call('ZREM', zset, unpack(ids))
    dropped = dropped + #ids
  end
  local excess = call('ZCARD', zset) - max
  while excess > 0 and dropped < drop_most do
    local ids = call('ZRANGE', zset, 0, math.min(excess, 500) - 1)
    drop(ids)
    excess = excess - #ids
  end
  while score and dropped < drop_most do
    local ids = call('ZRANGEBYSCORE', zset, '-inf', score, 'LIMIT', 0, 500)
    if #ids == 0 then break end
    drop(ids)
  end
  if dropped > 0 then pcall('INCRBY', dropped_key, dropped) end
  return dropped
end

local function trim_archive(archived, prefix, dropped_key, limits)
  local age = limits.archive_s
  return trim(archived, prefix, dropped_key, limits.archive_max,
              age < math.huge and now_s - age)
end

-- What is kept the longest stays.
local function trim_completed(completed, prefix, dropped_key, limits)
  if limits.completed_max == math.huge then return 0 end
  return trim(completed, prefix, dropped_key, limits.completed_max)
end
