local rules = require "firecracker.config.rules"
local schema = require "firecracker.config.schema"

local function set (words)
  local result = {}
  for word in words:gmatch "%S+" do
    result[word] = true
  end
  return result
end

local TYPES <const> = set "string boolean integer number path program function table list map json object"
local KEYS <const> = set [[name doc elsewhere type required default min max max_bytes file enum ignore_case pattern expected
  key_pattern key_expected rules fields item any one flag
  model nullable absent width arch enum_arch since unless removed enum_since deprecated]]

-- Visit each record with its path.
local function visit (record, path, see)
  see(record, path)
  for _, field in ipairs(record.fields or {}) do
    visit(field, ("%s.%s"):format(path, field.name), see)
  end
  if record.item then
    visit(record.item, path .. "[]", see)
  end
  for i, alternative in ipairs(record.any or {}) do
    visit(alternative, ("%s|%d"):format(path, i), see)
  end
end

local function each (what, see)
  it(what, function ()
    local wrong = {}
    visit(schema, "config", function (record, path)
      if not see(record) then
        wrong[#wrong + 1] = path
      end
    end)
    assert.same({}, wrong)
  end)
end

describe("every record of the schema", function ()
  each("is a known type, alternatives, or elsewhere", function (record)
    return record.elsewhere or record.any or TYPES[record.type]
  end)

  each("uses no word the walker does not know", function (record)
    for key in pairs(record) do
      if not KEYS[key] then
        return false
      end
    end
    return true
  end)

  each("is documented where it has a name", function (record)
    return not record.name or record.elsewhere or record.doc
  end)

  each("says in words what its pattern asks for", function (record)
    return (record.expected or not (record.pattern or record.any)) and (record.key_expected or not record.key_pattern)
  end)

  each("has what its type needs", function (record)
    return (record.type ~= "table" or record.fields) and (record.type ~= "list" or record.item)
      and (record.type ~= "map" or (record.item and record.key_pattern))
  end)

  each("names rules that exist", function (record)
    for _, rule in ipairs(record.rules or {}) do
      if not rules[rule[1]] then
        return false
      end
    end
    return true
  end)

  each("names each of its fields once", function (record)
    local seen = {}
    for _, field in ipairs(record.fields or {}) do
      if seen[field.name] then
        return false
      end
      seen[field.name] = true
    end
    return true
  end)
end)
