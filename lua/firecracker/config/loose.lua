--- Tables of a configuration whose keys are no fields of the schema: maps, JSON; and keys that are written otherwise, or wrong.
-- @module firecracker.config.loose

local lazy = require "firecracker.lazy"
local refusal = require "firecracker.config.refusal"
local values = require "firecracker.config.values"

local text = lazy "firecracker.text"

local loose = {}

local function below (place, key)
  return { above = place, key = key }
end

-- Errors are found in the same order at each run.
local function sorted_keys (value)
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function (a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function suggest (key, fields)
  local names = {}
  for _, field in ipairs(fields) do
    if not field.elsewhere then
      names[#names + 1] = field.name
    end
  end
  return text.suggest(key, names)
end

--- What is given, by the schema's names, where a key has "-" or is wrong.
-- @tparam table value
-- @tparam table field its record
-- @tparam table place
-- @tparam table known the records of its fields by name
-- @treturn table
function loose.rename (value, field, place, known)
  local given = {}
  for _, key in ipairs(sorted_keys(value)) do
    local name = type(key) == "string" and key:gsub("-", "_") or key
    if not known[name] then
      refusal.at(below(place, key), "unknown key%s", suggest(name, field.fields))
    elseif given[name] ~= nil then
      refusal.at(below(place, name), "given twice, with '-' and with '_'")
    end
    given[name] = value[key]
  end
  return given
end

--- The first key that has no place in a sequence.
-- @tparam table value
-- @return key; nil where there is none
function loose.stray (value)
  for _, key in ipairs(sorted_keys(value)) do
    if math.type(key) ~= "integer" or key < 1 then
      return key
    end
  end
end

--- Check a map.
-- @tparam table value
-- @tparam table field its record
-- @tparam table place
-- @tparam function walk checks an item
-- @treturn table copy
function loose.map (value, field, place, walk)
  local result = {}
  for _, key in ipairs(sorted_keys(value)) do
    if type(key) ~= "string" or key:find "\0" or not key:find(field.key_pattern) then
      refusal.expect(below(place, key), field.key_expected, ("'%s'"):format(key))
    end
    result[key] = walk(value[key], field.item, place, key)
  end
  return result
end

--- Check what JSON can hold. A metatable that marks an array or an object is kept; userdata may be the core's null.
-- @param value
-- @tparam table place
-- @tparam table above the tables it stands in
-- @return copy
function loose.json (value, place, above)
  local kind = type(value)
  if kind == "number" or kind == "string" then
    local _, _, expected, got = values.plain(value, { type = kind })
    return expected and refusal.expect(place, expected, got) or value
  elseif kind == "boolean" or kind == "userdata" then
    return value
  elseif kind ~= "table" then
    refusal.expect(place, "JSON value expected", kind)
  elseif above[value] then
    refusal.at(place, "the table contains itself")
  end
  above[value] = true
  local result, count = {}, values.length(value)
  for _, key in ipairs(sorted_keys(value)) do
    if not count and type(key) ~= "string" then
      refusal.expect(place, "string keys or a list expected", ("key '%s'"):format(key))
    elseif not count and key:find("\0", 1, true) then
      refusal.expect(place, "keys without NUL bytes expected", "one with them")
    end
    result[key] = loose.json(value[key], below(place, key), above)
  end
  for i = 1, count or 0 do
    if value[i] == nil then
      refusal.expect(below(place, i), "JSON value expected", "nil")
    end
  end
  above[value] = nil
  local metatable = getmetatable(value)
  return type(metatable) == "table" and setmetatable(result, metatable) or result
end

return loose
