--- Plain values of a configuration against a record of the schema.
-- @module firecracker.config.values

local values = {}

local LUA_TYPE <const> = { path = "string", program = "string", integer = "number", object = "table" }
local WORD <const> = { path = "string", program = "string", json = "table", map = "table", object = "table" }

--- Word what a record asks for.
-- @tparam table field a record of the schema
-- @treturn string `string expected`
function values.expected (field)
  return field.any and field.expected or ("%s%s expected"):format(WORD[field.type] or field.type, field.file and " or path" or "")
end

--- Word a range.
-- @tparam table field its `min` and `max`
-- @tparam[opt] string counted what is counted: `item`
-- @treturn string `1 to 32 expected`
function values.range (field, counted)
  local last = field.max or field.min
  counted = counted and (" %s%s"):format(counted, last == 1 and "" or "s") or ""
  if field.min and field.max then
    return ("%d to %d%s expected"):format(field.min, field.max, counted)
  end
  return ("%s %d%s expected"):format(field.min and "at least" or "at most", last, counted)
end

--- Tell whether a number lies outside a range.
-- @tparam number value
-- @tparam table field its `min` and `max`
-- @treturn boolean
function values.outside (value, field)
  return (field.min ~= nil and value < field.min) or (field.max ~= nil and value > field.max)
end

local function number (value, field)
  local integer = math.tointeger(value)
  if value ~= value or value == math.huge or value == -math.huge then
    return nil, "finite number expected", tostring(value)
  elseif field.type == "integer" and not integer then
    return nil, "integer expected", tostring(value)
  elseif values.outside(value, field) then
    return nil, values.range(field), tostring(integer or value)
  end
  return field.type == "integer" and integer or value
end

local function known (value, field)
  for _, word in ipairs(field.enum) do
    if word == value or (field.ignore_case and word:lower() == value:lower()) then
      return true
    end
  end
  return false
end

local function text (value, field)
  if value:find("\0", 1, true) then
    return nil, "string without NUL bytes expected", "one with them"
  elseif (field.type == "path" or field.type == "program") and value == "" then
    return nil, "path expected", "an empty string"
  elseif field.pattern and not value:find(field.pattern) then
    return nil, field.expected, ("'%s'"):format(value)
  elseif field.enum and not known(value, field) then
    return nil, ("one of '%s' expected"):format(table.concat(field.enum, "', '")), ("'%s'"):format(value)
  end
  return value
end

--- Check one value that is no container, of one type.
-- @param value
-- @tparam table field a record of a plain type
-- @return[1] the value
-- @return[2] nil
-- @treturn[2] string what is expected
-- @treturn[2] string what was found
function values.single (value, field)
  local kind, found = field.type, type(value)
  if found ~= (LUA_TYPE[kind] or kind) then
    return nil, values.expected(field), found
  elseif found == "number" then
    return number(value, field)
  elseif found == "string" then
    return text(value, field)
  end
  return value
end

local single = values.single

--- Check one value that is no container.
-- @param value
-- @tparam table field a record of a plain type, or with `any`
-- @return[1] the value; a float that is exactly an integer has become one where the record asks for it
-- @treturn[1] table the record that fits: the field itself, or the alternative
-- @return[2] nil
-- @return[2] nil
-- @treturn[2] string what is expected
-- @treturn[2] string what was found
function values.plain (value, field)
  local result, expected, got
  if not field.any then
    result, expected, got = single(value, field)
    return result, not expected and field or nil, expected, got
  end
  for _, alternative in ipairs(field.any) do
    result, expected, got = single(value, alternative)
    if not expected then
      return result, alternative
    end
  end
  return nil, nil, field.expected, got
end

--- The length of a sequence, which may have holes.
-- @tparam table value
-- @treturn ?integer nil: a key has no place in one
function values.length (value)
  local count = 0
  for key in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 then
      return nil
    end
    count = math.max(count, key)
  end
  return count
end

return values
