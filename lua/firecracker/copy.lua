--- Copies of values.
-- @module firecracker.copy

local copy = {}

--- Copy a value, tables within included; a table keeps its metatable.
-- @param value without cycles
-- @return value
function copy.deep (value)
  if type(value) ~= "table" then
    return value
  end
  local result = setmetatable({}, getmetatable(value))
  for key, each in pairs(value) do
    result[key] = copy.deep(each)
  end
  return result
end

return copy
