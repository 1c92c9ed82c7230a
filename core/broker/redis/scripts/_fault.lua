-- Part of fsck: what is wrong, one after the other.  Needs repair.
local faults = {}
local function fault(kind, id, detail, mended)
  faults[#faults + 1] = kind
  faults[#faults + 1] = id
  faults[#faults + 1] = detail or ''
  faults[#faults + 1] = repair and mended ~= false and 1 or 0
end
