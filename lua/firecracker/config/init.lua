--- Configurations: checked against the schema, completed, copied.
-- A wrong one raises at the caller's line, code `config`, with the path of the field:
-- `config.drives[2].path_on_host: string expected, got nil`. Knows no field by name and opens no file.
-- @module firecracker.config

local errors = require "firecracker.errors"
local host = require "firecracker.host"
local rules = require "firecracker.config.rules"
local schema = require "firecracker.config.schema"
local text = require "firecracker.text"
local values = require "firecracker.config.values"
local version = require "firecracker.version"

local config = {}

-- What one check carries along: `where`, the caller's line.
local function refuse (state, path, message, ...)
  message = ("%s: %s"):format(path, message:format(...))
  errors.raise(1, { code = "config", message = message, field = path, where = state.where })
end

local function expect (state, path, expected, got)
  refuse(state, path, "%s, got %s", expected, got)
end

local function below (path, key)
  if math.type(key) == "integer" then
    return ("%s[%d]"):format(path, key)
  end
  key = tostring(key)
  return key:find "^[%a_][%w_]*$" and ("%s.%s"):format(path, key) or ("%s[%q]"):format(path, key)
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

local function absolute (state, value, path)
  local result, err = require("firecracker.core").files.absolute(value)
  return result or refuse(state, path, "%s", err)
end

-- Containers -------------------------------------------------------------------------------------------------------

local walk      -- walk(state, value, field, path): the checked copy of one value
local containers = {}

local function by_name (fields)
  local known, names = {}, {}
  for _, field in ipairs(fields) do
    known[field.name] = field
    if not field.later then
      names[#names + 1] = field.name
    end
  end
  return known, names
end

function containers.table (state, value, field, path)
  local known, names = by_name(field.fields)
  local given = {}
  for _, key in ipairs(sorted_keys(value)) do
    local name = type(key) == "string" and key:gsub("-", "_") or key
    if not known[name] then
      refuse(state, below(path, key), "unknown key%s", text.suggest(name, names))
    elseif given[name] ~= nil then
      refuse(state, below(path, name), "given twice, with '-' and with '_'")
    end
    given[name] = value[key]
  end
  local result = {}
  for _, each in ipairs(field.fields) do
    result[each.name] = walk(state, given[each.name], each, below(path, each.name))
  end
  return result
end

-- The length of a sequence; `nil, key` for a key that has no place in one.
local function length (value)
  local count = 0
  for _, key in ipairs(sorted_keys(value)) do
    if math.type(key) ~= "integer" or key < 1 then
      return nil, key
    end
    count = math.max(count, key)
  end
  return count
end

function containers.list (state, value, field, path)
  local count, stray = length(value)
  if not count then
    expect(state, path, "list expected", ("key '%s'"):format(stray))
  end
  local result = {}
  for i = 1, count do
    if value[i] == nil then
      expect(state, below(path, i), values.expected(field.item), "nil")
    end
    result[i] = walk(state, value[i], field.item, below(path, i))
  end
  if values.outside(count, field) then
    expect(state, path, values.range(field, "item"), count)
  end
  return count == 0 and require("firecracker.core").json.array(result) or result   -- no empty object when it is sent
end

function containers.map (state, value, field, path)
  local result = {}
  for _, key in ipairs(sorted_keys(value)) do
    if type(key) ~= "string" or key:find "\0" or not key:find(field.key_pattern) then
      expect(state, below(path, key), field.key_expected, ("'%s'"):format(key))
    end
    result[key] = walk(state, value[key], field.item, below(path, key))
  end
  return result
end

-- A metatable that marks an array or an object is kept; userdata may be the core's null.
local function json (state, value, path, above)
  local kind = type(value)
  if kind == "number" or kind == "string" then
    local _, _, expected, got = values.plain(value, { type = kind })
    return expected and expect(state, path, expected, got) or value
  elseif kind == "boolean" or kind == "userdata" then
    return value
  elseif kind ~= "table" then
    expect(state, path, "JSON value expected", kind)
  elseif above[value] then
    refuse(state, path, "the table contains itself")
  end
  above[value] = true
  local result, count = {}, length(value)
  for _, key in ipairs(sorted_keys(value)) do
    if not count and type(key) ~= "string" then
      expect(state, path, "string keys or a list expected", ("key '%s'"):format(key))
    end
    result[key] = json(state, value[key], below(path, key), above)
  end
  for i = 1, count or 0 do
    if value[i] == nil then
      expect(state, below(path, i), "JSON value expected", "nil")
    end
  end
  above[value] = nil
  local metatable = getmetatable(value)
  return type(metatable) == "table" and setmetatable(result, metatable) or result
end

function containers.json (state, value, _, path)
  return json(state, value, path, {})
end

-- Any field --------------------------------------------------------------------------------------------------------

local function plain (state, value, field, path)
  local result, fitting, expected, got = values.plain(value, field)
  if not fitting then
    expect(state, path, expected, got)
  end
  if fitting.type == "path" or (fitting.type == "program" and result:find "/") then
    result = absolute(state, result, path)
  end
  if fitting.max_bytes and #result > fitting.max_bytes then
    expect(state, path, ("at most %d bytes expected"):format(fitting.max_bytes), #result)
  end
  return result
end

function walk (state, value, field, path)
  if value == nil then
    value = field.default
    if type(value) == "function" then
      value = value()
    end
  end
  if value == nil then
    return field.required and expect(state, path, values.expected(field), "nil") or nil
  elseif field.later then
    refuse(state, path, "not supported by this version (%s)", version.string)
  end
  local arch = field.arch or field.enum_arch and field.enum_arch[value]
  if arch and arch ~= host.arch() then
    refuse(state, path, "for %s processors alone%s", arch, field.enum_arch and (", got '%s'"):format(value) or "")
  end
  local container = containers[field.type]
  if container and type(value) ~= "table" then
    expect(state, path, values.expected(field), type(value))
  end
  value = (container or plain)(state, value, field, path)
  for _, rule in ipairs(field.rules or {}) do
    local where, problem = rules[rule[1]](value, table.unpack(rule, 2))
    if where then
      refuse(state, path .. where, "%s", problem)
    end
  end
  return value
end

--- Check a configuration.
-- In keys `-` is taken for `_`. Relative paths become absolute against the working directory. Functions and userdata
-- stay as they are.
-- @tparam table t the configuration; it is not changed
-- @tparam[opt=1] int level whose line an error names: 1 the caller, 2 the caller's caller …; frames of the library are
-- passed over
-- @treturn table a completed copy that shares no table with it
function config.check (t, level)
  return walk({ where = errors.where((level or 1) + 1) }, t, schema, "config")
end

return config
