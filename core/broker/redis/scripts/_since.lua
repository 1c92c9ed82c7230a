-- Now, as pending_since has it: nanoseconds.  Needs _time.
local function now_ns()
  return clock[1] .. string.format('%06d', tonumber(clock[2])) .. '000'
end
