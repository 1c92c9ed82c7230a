-- Puts active tasks back to pending, next to run, the first of them first.
-- What somebody asked to cancel is archived instead.  Needs _time, _type,
-- _archive, _untold, _since.
-- q: {active, lease, pending, archived, prefix, dropped, limits, untold}
local function give_back(q, ids)
  local back, archived = {}, false
  for i = 1, #ids do
    local id = ids[i]
    local key = q.prefix .. id
    local h = pcall('HMGET', key, 'msg', 'lunaq_cancel')
    call('LREM', q.active, -1, id)
    call('ZREM', q.lease, id)
    if h.err or not h[1] then
      -- Nothing is left that could run.
      if not h.err then call('UNLINK', key) end
    elseif h[2] and may_hold(q.archived, 'zset') then
      archive_canceled(key, id, q.archived, h[1], h[2])
      note_untold(q.untold, id)
      archived = true
    else
      call('HSET', key, 'state', 'pending', 'pending_since', now_ns())
      back[#back + 1] = id
    end
  end
  for i = #back, 1, -1 do call('RPUSH', q.pending, back[i]) end
  if archived then
    trim_archive(q.archived, q.prefix, q.dropped, limits_of(q.limits))
  end
end
