-- What became of a group; the test reads the payload.
return function(task)
  return #task.payload.ids
end
