-- Tasks that were taken: id, msg, queue number + 128 * crashes, …; for one that
-- cannot be used: id, reason, -queue number.  Needs _time, _crashes.
local taken = {}
-- Begins a task that was moved to active and has its lease: its hash says so.
-- False when there is nothing to run; then it is in no list any more.
local function begin(q, id)
  local key = q.prefix .. id
  local h = pcall('HMGET', key, 'msg', 'lunaq_crashes')
  local m = #taken
  if h[1] then
    call('HSET', key, 'state', 'active')
    -- A cancel request of an earlier life goes too: Asynq's inspector, running
    -- an archived task again, does not know of it.
    call('HDEL', key, 'pending_since', 'lunaq_cancel')
    taken[m + 1] = id
    taken[m + 2] = h[1]
    taken[m + 3] = q.number + 128 * crash_count(h[2])
    return true
  end
  call('LREM', q.active, 1, id)
  call('ZREM', q.lease, id)
  if h.err then
    taken[m + 1] = id
    taken[m + 2] = h.err
    taken[m + 3] = -q.number
  else
    -- An id without a message: nothing is left to run.
    call('UNLINK', key)
  end
  return false
end
