-- Turns a stopped session into work: one url:summarize task for each page that
-- was visited.  Safe to run twice: a page whose task is still waiting or
-- running is not enqueued again.
--
-- Archived at once: an unusable payload, a session that does not exist.  A
-- session whose task is archived has failed.
-- Retried: the database or the broker cannot be reached.

local AI_QUEUE = "ai"
local BATCH = 500

-- Tasks for pages[first] and those behind it, at most BATCH.
local function enqueue_batch(session_id, pages, first)
  local tasks = {}
  for i = first, math.min(first + BATCH - 1, #pages) do
    tasks[#tasks + 1] = {
      type = "url:summarize",
      payload = { session_id = session_id, url = pages[i].url },
      queue = AI_QUEUE,
      unique = "24h",
    }
  end
  for _, result in ipairs(queue.enqueue_many(tasks)) do
    if result.error and result.kind ~= "duplicate" then
      error({ kind = result.kind, message = result.error })
    end
  end
end

return {
  doc = "Turn a stopped session into summaries and a mind map.",
  args = { session_id = "string" },
  queue = "default",
  max_retry = 3,
  timeout = "5m",

  run = function(task)
    local id = task.payload.session_id
    log.info("processing session", { session_id = id })

    local session = db.one("select status from sessions where id = $1", id)
    if not session then
      return lunaq.skip_retry("no session " .. id)
    end
    if session.status ~= "processing" then
      log.warn("session not in processing state",
        { session_id = id, status = session.status })
      return
    end

    local pages = db.query(
      "select distinct url from page_visits where session_id = $1 order by url",
      id)
    for first = 1, #pages, BATCH do enqueue_batch(id, pages, first) end

    log.info("session processing completed",
      { session_id = id, pages = #pages })
    return { pages = #pages }
  end,

  -- A session whose task was given up must not look as if it went on.
  on_archive = function(task, err)
    if err.kind == "payload" then return end
    db.exec([[update sessions set status = 'failed',
                updated_at = current_timestamp
              where id = $1 and status = 'processing']],
      task.payload.session_id)
  end,
}
