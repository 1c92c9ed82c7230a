-- Tells what it was given, so that the test can compare.
return function(task)
  return {
    id = task.id, type = task.type, queue = task.queue, raw = task.raw,
    headers = task.headers, attempt = task.attempt,
    max_retry = task.max_retry, deadline = task.deadline,
  }
end
