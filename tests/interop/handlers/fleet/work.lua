-- Writes each run into the ledger: begun, and how it ended.
local function note(task, what)
  db.exec("insert into ledger (id, at, what) values ($1, $2, $3)", task.id,
    lunaq.now(), what)
end

return {
  backoff = { "1s" },
  run = function(task)
    note(task, "begun")
    lunaq.sleep(0.02)
    if task.payload.n % 100 == 7 and task.attempt == 1 then
      note(task, "failed")
      error("on purpose")
    end
    note(task, "done")
  end,
}
