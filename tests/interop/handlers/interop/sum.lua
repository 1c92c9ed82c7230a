-- Makes one task of a group's, of a type that Asynq's server runs; slowly, when
-- it is told so.
return {
  group = {
    grace = "1s",
    aggregate = function(group, tasks)
      local sum, ids = 0, {}
      for i, t in ipairs(tasks) do
        sum = sum + t.payload.n
        ids[i] = t.payload.id or t.id
      end
      lunaq.sleep(tasks[1].payload.nap or 0)
      return tasks[1].payload.type or "interop:total",
        { group = group, sum = sum, ids = ids }, { retention = "1h" }
    end,
  },
  run = function() end,
}
