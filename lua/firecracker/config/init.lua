--- Configurations: checked against the schema, completed, copied.
-- A wrong one raises at the caller's line, code `config`, with the path of the field:
-- `config.drives[2].path_on_host: string expected, got nil`. Knows no field by name and opens no file.
-- @module firecracker.config

local copy = require "firecracker.copy"
local errors = require "firecracker.errors"
local lazy = require "firecracker.lazy"
local rules = require "firecracker.config.rules"
local plain_schema = require "firecracker.config.schema.plain"
local values = require "firecracker.config.values"

local host = lazy "firecracker.host"
local loose = lazy "firecracker.config.loose"
local refusal = lazy "firecracker.config.refusal"

local config = {}

-- A place is `{ above = place, key = key }`, worded only for an error: a configuration is checked at each start of a machine.
local function below (place, key)
  return { above = place, key = key }
end

-- Most paths are given as they are wanted.
local function absolute (value, above, key)
  if value:byte() == 47 and not value:find("//", 1, true) and not value:find("/.", 1, true) and value:byte(-1) ~= 47 then
    return value
  end
  local result, err = require("firecracker.core").files.absolute(value)
  return result or refusal.at(below(above, key), "%s", err)
end

-- Containers -------------------------------------------------------------------------------------------------------

local walk      -- walk(value, field, above, key): the checked copy of one value
local containers = {}
local FILE <const> = { type = "path" }   -- in the place of a table that a file holds

-- Of a table's fields, made once for each: the records by name, and those that are looked at even where they are left out.
local plans = setmetatable({}, { __mode = "k", __index = function (cache, fields)
  local plan = { known = {}, always = {} }
  for _, field in ipairs(fields) do
    plan.known[field.name] = field
    if field.required or field.default ~= nil then
      plan.always[#plan.always + 1] = field
    end
  end
  cache[fields] = plan
  return plan
end })

local in_order = false   -- the schema's: for the error, so that it is the same at each run

function containers.table (value, field, place)
  local plan = plans[field.fields]
  local known, given, result = plan.known, {}, {}
  for key, each in pairs(value) do
    if not known[key] then
      given = loose.rename(value, field, place, known)
      break
    end
    given[key] = each
  end
  if in_order then
    for _, each in ipairs(field.fields) do
      result[each.name] = walk(given[each.name], each, place, each.name)
    end
    return result
  end
  for key, each in pairs(given) do
    result[key] = walk(each, known[key], place, key)
  end
  local always = plan.always
  for i = 1, #always do
    local each = always[i]
    local name = each.name
    if given[name] == nil then
      result[name] = walk(nil, each, place, name)
    end
  end
  return result
end

function containers.list (value, field, place)
  local count = values.length(value)
  if not count then
    refusal.expect(place, "list expected", ("key '%s'"):format(loose.stray(value)))
  end
  local result = {}
  for i = 1, count do
    if value[i] == nil then
      refusal.expect(below(place, i), values.expected(field.item), "nil")
    end
    result[i] = walk(value[i], field.item, place, i)
  end
  if values.outside(count, field) then
    refusal.expect(place, values.range(field, "item"), count)
  end
  return count == 0 and require("firecracker.core").json.array(result) or result   -- no empty object when it is sent
end

function containers.map (value, field, place)
  return loose.map(value, field, place, walk)
end

function containers.json (value, _, place)
  return loose.json(value, place, {})
end

-- Any field --------------------------------------------------------------------------------------------------------

local function plain (value, field, above, key)
  local result, fitting, expected, got
  if field.any then
    result, fitting, expected, got = values.plain(value, field)
  else
    result, expected, got = values.single(value, field)
    fitting = not expected and field
  end
  if not fitting then
    refusal.expect(below(above, key), expected, got)
  end
  local kind = fitting.type
  if kind == "path" or (kind == "program" and result:find("/", 1, true)) then
    result = absolute(result, above, key)
  end
  if fitting.max_bytes and #result > fitting.max_bytes then
    refusal.expect(below(above, key), ("at most %d bytes expected"):format(fitting.max_bytes), #result)
  end
  return result
end

local function apply (rule, value, above, key)
  local where, problem = rules[rule[1]](value, table.unpack(rule, 2))
  if where then
    refusal.raise(refusal.path(below(above, key)) .. where, "%s", problem)
  end
end

-- By record: its default, checked and completed.
local completed = setmetatable({}, { __mode = "k", __index = function (cache, field)
  cache[field] = walk(field.default, field, nil, field.name)
  return cache[field]
end })

function walk (value, field, above, key)
  if value == nil then
    value = field.default
    local kind = type(value)
    if kind == "function" then
      value = value()
    elseif kind ~= "nil" then
      return kind == "table" and copy.deep(completed[field]) or value
    end
    if value == nil and not field.required then
      return nil
    end
  end
  if value == nil then
    refusal.expect(below(above, key), values.expected(field), "nil")
  elseif field.elsewhere then
    refusal.at(below(above, key), "unknown key; it is %s", field.elsewhere)
  end
  local arch = field.arch or field.enum_arch and field.enum_arch[value]
  if arch and arch ~= host.arch() then
    refusal.at(below(above, key), "for %s processors alone%s", arch, field.enum_arch and (", got '%s'"):format(value) or "")
  end
  if field.one and type(value) ~= "table" then
    value = { value }
  elseif field.flag and type(value) == "boolean" then
    if not value then
      return nil
    end
    value = {}
  end
  field = field.file and type(value) == "string" and FILE or field
  local container = containers[field.type]
  if not container then
    value = plain(value, field, above, key)
  elseif type(value) == "table" then
    value = container(value, field, below(above, key))
  else
    refusal.expect(below(above, key), values.expected(field), type(value))
  end
  local more = field.rules
  for i = 1, more and #more or 0 do
    apply(more[i], value, above, key)
  end
  return value
end

-- The schema that a configuration needs: all of it where it has more than the plain sections.
local function schema_for (t)
  if type(t) == "table" then
    local known = plans[plain_schema.fields].known
    for key in pairs(t) do
      if not known[key] then
        return require "firecracker.config.schema"
      end
    end
  end
  return plain_schema
end

--- Check a configuration.
-- In keys `-` is taken for `_`. Relative paths become absolute against the working directory. Functions and userdata
-- stay as they are.
-- @tparam table t the configuration; it is not changed
-- @tparam[opt=1] int level whose line an error names: 1 the caller, 2 the caller's caller …; frames of the library are
-- passed over
-- @treturn table a completed copy that shares no table with it
function config.check (t, level)
  local schema = schema_for(t)
  local ok, result = pcall(walk, t, schema, nil, "config")
  if not ok and refusal.is(result) then
    in_order = true
    ok, result = pcall(walk, t, schema, nil, "config")
    in_order = false
  end
  if ok then
    return result
  elseif refusal.is(result) then
    errors.raise((level or 1) + 1, result)
  end
  error(result, 0)
end

return config
