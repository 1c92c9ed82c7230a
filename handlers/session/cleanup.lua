-- Gives up on sessions that nobody has touched for a while: `recording` and
-- `paused` ones become `failed`, all in one statement.  Fails, and is retried,
-- when the database does.

-- UTC text that PostgreSQL reads as an instant and that, in SQLite, sorts
-- beside the "YYYY-MM-DD HH:MM:SS" its current_timestamp writes.
local function instant(seconds)
  return os.date("!%Y-%m-%d %H:%M:%S+00", seconds)
end

return {
  doc = "Mark sessions as failed that were abandoned while recording.",
  args = { max_age_hours = "number" },
  queue = "low",
  max_retry = 3,
  timeout = "1m",
  cron = { spec = "@every 1h", payload = { max_age_hours = 24 } },

  run = function(task)
    local hours = task.payload.max_age_hours
    if not (hours > 0 and hours <= 24 * 365 * 10) then
      return lunaq.skip_retry("max_age_hours must be above 0 and at most 87600")
    end
    local before = math.floor(lunaq.now() - hours * 3600)
    local count = db.exec([[
      update sessions set status = 'failed', updated_at = current_timestamp
       where status in ('recording', 'paused') and updated_at < $1]],
      instant(before))
    log.info("abandoned sessions marked as failed",
      { count = count, max_age_hours = hours })
    return count
  end,
}
