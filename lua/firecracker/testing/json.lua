--- JSON as the VMM keeps and writes it: keys sorted, integers up to 64 bits kept, floats with their point.
-- Objects and arrays are marked by their metatables, null is a value; an integer that Lua has not is its digits in `raw`.
-- @module firecracker.testing.json

local json = {}

-- What marks an object, an array, an integer beyond Lua's.
json.object, json.array, json.big = { __name = "object" }, { __name = "array" }, { __name = "integer" }

--- The value null.
json.null = setmetatable({}, { __name = "null" })

local ESCAPES <const> = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\b"] = "\\b",
                          ["\f"] = "\\f" }

--- Write a string.
-- @tparam string text
-- @treturn string
function json.string (text)
  return '"' .. text:gsub('[%c"\\]', function (c)
    return c ~= "\127" and (ESCAPES[c] or ("\\u%04x"):format(c:byte())) or c
  end) .. '"'
end

--- Write a float as the VMM does.
-- @tparam number value
-- @tparam[opt=""] string plus the sign before a positive exponent
-- @treturn string
function json.float (value, plus)
  local text
  for digits = 1, 17 do
    text = ("%%.%dg"):format(digits):format(value)
    if tonumber(text) == value then
      break
    end
  end
  local mantissa, exponent = text:match "^(.-)e(.*)$"
  if exponent then
    exponent = tonumber(exponent)
    if exponent >= 0 and exponent < 16 then
      return ("%.1f"):format(value)
    end
    return ("%se%s%d"):format(mantissa, exponent > 0 and plus or "", exponent)
  end
  return text:find "%." and text or text .. ".0"
end

--- Write a value, compactly.
-- @param value
-- @tparam[opt=""] string plus as in `float`
-- @treturn string
function json.encode (value, plus)
  local kind = type(value)
  if kind == "string" then
    return json.string(value)
  elseif kind == "number" then
    return math.type(value) == "integer" and tostring(value) or json.float(value, plus)
  elseif kind == "boolean" then
    return tostring(value)
  elseif value == json.null or value == nil then
    return "null"
  end
  local mark, parts = getmetatable(value), {}
  if mark == json.big then
    return value.raw
  elseif mark == json.array then
    for i, item in ipairs(value) do
      parts[i] = json.encode(item, plus)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys = {}
  for key in pairs(value) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do
    parts[i] = json.string(key) .. ":" .. json.encode(value[key], plus)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- Merge as RFC 7396 says: null deletes.
-- @param target
-- @param patch
-- @return the merged value; the arguments stay as they are
function json.merge (target, patch)
  if getmetatable(patch) ~= json.object then
    return patch
  end
  local result = setmetatable({}, json.object)
  for key, value in pairs(getmetatable(target) == json.object and target or {}) do
    result[key] = value
  end
  for key, value in pairs(patch) do
    if value == json.null then
      result[key] = nil
    else
      result[key] = json.merge(result[key], value)
    end
  end
  return result
end

--- Write a value as its model says: fields in their order, absent ones as null.
-- @tparam table model
-- @tparam ?table value
-- @tparam function has tells whether a field is there at all
-- @treturn string
function json.of_model (model, value, has)
  if value == nil then
    return "null"
  end
  local parts = {}
  for _, field in ipairs(model.fields) do
    if has(field, value) then
      local item, text = value[field.name]
      if field.model then
        text = json.of_model(field, item, has)
      elseif field.item and field.item.model and item then
        local items = {}
        for i, each in ipairs(item) do
          items[i] = json.of_model(field.item, each, has)
        end
        text = "[" .. table.concat(items, ",") .. "]"
      else
        text = json.encode(item)
      end
      parts[#parts + 1] = json.string(field.name) .. ":" .. text
    end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

return json
