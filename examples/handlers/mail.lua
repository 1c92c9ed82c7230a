-- Many messages to one person become one mail.
--
--     lunaq enqueue mail --group ann@example.org text="Bob likes your photo"
--     lunaq enqueue mail --group ann@example.org text="Eve likes it, too"
--
-- The group is due 30 seconds after its last message, at the latest 5 minutes
-- after its first, and at once when it has 50.  A mail that fails is retried
-- with all its messages.
local function compose(messages)
  local lines = {}
  for i, message in ipairs(messages) do
    lines[i] = "* " .. (message.payload.text or "(no text)")
  end
  return table.concat(lines, "\n")
end

return {
  doc = "Send all that waits for one person as one mail.",
  group = { grace = "30s", max_delay = "5m", max_size = 50 },
  max_retry = 5,
  run = function(task)
    -- Sent without a group it is a list of one, to whom its payload says.
    local to = task.group or task.payload.to
    if not to then return lunaq.skip_retry("to whom?") end
    local text = compose(task.tasks)
    -- http.post(…) or the like stands here.
    log.info("mail", { to = to, messages = #task.tasks, text = text })
    return text
  end,
}
