-- Tells which tasks of a group it was given at once.
return {
  group = { grace = "1s" },
  run = function(task)
    local ids, texts = {}, {}
    for i, t in ipairs(task.tasks) do
      ids[i] = t.id
      texts[i] = t.raw or t.payload.n
    end
    return { group = task.group, ids = ids, texts = texts }
  end,
}
