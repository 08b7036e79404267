--- Firecracker's own configuration file: JSON, with `-` in the names of its sections.
-- Reading and writing change names only. Nothing is checked (`fc.new` does), no path is made absolute.
-- @module firecracker.config.file

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loose = require "firecracker.config.loose"
local models = require "firecracker.api.models"
local payload = require "firecracker.api.payload"
local schema = require "firecracker.config.schema"
local values = require "firecracker.config.values"

local json = core.json
local file = {}

local NO_PLACE <const> = { serial = true, snapshot = true }   -- Firecracker's, but not in its file

local sections_of_file = {}   -- name -> whether it is a list, which must be one even when it is empty
local own_sections = {}       -- name -> true: not Firecracker's
local records = {}            -- name -> its record, or its items'

for _, section in ipairs(schema.fields) do
  local record = section.item or section
  if record.model and not NO_PLACE[section.name] then
    sections_of_file[section.name] = section.type == "list"
    records[section.name] = record
  else
    own_sections[section.name] = true
  end
end

-- Section -> name -> true: what this library adds to it, or to each of its items; false for nothing. Found when first
-- asked for: it needs the section's model, and most programs read and write no file.
local own_fields = setmetatable({}, { __index = function (cache, name)
  local record, ours = records[name], {}
  if not record then
    return nil
  end
  for _, field in ipairs(record.fields) do
    ours[field.name] = true
  end
  for _, field in ipairs(models[record.model].fields) do
    ours[field.name] = nil
  end
  cache[name] = next(ours) and ours or false
  return cache[name]
end })

local function system_error (path, problem)
  return nil, errors.new { code = "system", path = path, message = problem }
end

--- Take Firecracker's names for ours.
-- @tparam table sections as decoded from its file, or as `GET /vm/config` answers; nulls left out
-- @treturn table a configuration; what is unknown keeps its name
function file.from_sections (sections)
  local config = {}
  for key, value in pairs(sections) do
    local name = key:gsub("-", "_")
    config[sections_of_file[name] ~= nil and name or key] = value
  end
  return config
end

-- What Firecracker requires of a section and this library, which finds it at the start, does not.
local function lacks (name, value)
  local asked = {}
  for _, field in ipairs(records[name].fields) do
    asked[field.name] = field.required
  end
  for _, field in ipairs(models[records[name].model].fields) do
    if field.required and not asked[field.name] and value[field.name] == nil then
      return true
    end
  end
  return false
end

-- Nothing where nothing is left: of a section that only says where our reader is.
local function without (value, names)
  if not names then
    return value
  end
  local rest = setmetatable({}, getmetatable(value))
  for key, each in pairs(value) do
    if not names[key] then
      rest[key] = each
    end
  end
  return next(rest) ~= nil and rest or next(value) == nil and value or nil
end

-- With what a configuration may leave out here and Firecracker's file may not.
local function completed (name, value)
  local whole = {}
  for _, field in ipairs(records[name].fields) do
    whole[field.name] = field.required and field.default or nil
  end
  if next(whole) == nil then
    return value
  end
  for key, each in pairs(value) do
    whole[key] = each
  end
  return whole
end

local function refuse (field, message, ...)
  errors.raise(3, { code = "config", field = field, message = ("%s: %s"):format(field, message:format(...)) })
end

local TWICE <const> = "given twice, with '-' and with '_'"

-- Keys with "-" for "_" as Firecracker writes them, for `fc.new` takes both.
local function renamed (path, value, record)
  if type(value) ~= "table" or not (record.item or record.fields) then
    return value
  end
  local known, result = {}, setmetatable({}, getmetatable(value))
  for _, field in ipairs(record.fields or {}) do
    known[field.name] = field
  end
  for key, each in pairs(value) do
    local name = type(key) == "string" and key:gsub("-", "_") or key
    local field = record.item or known[name]
    if not field then
      result[key] = each
    elseif name ~= key and value[name] ~= nil then
      refuse(("%s.%s"):format(path, name), TWICE)
    else
      result[name] = renamed(record.item and ("%s[%s]"):format(path, key) or ("%s.%s"):format(path, name), each, field)
    end
  end
  return result
end

local function items (field, value, ours, record)
  local count, list = values.length(value), json.array {}
  if not count then
    refuse(field, "list expected, got key '%s'", loose.stray(value))
  end
  for i = 1, count do
    local path = ("%s[%d]"):format(field, i)
    if type(value[i]) ~= "table" then
      refuse(path, "table expected, got %s", type(value[i]))
    end
    list[i] = without(renamed(path, value[i], record), ours)
  end
  return list
end

local function section (name, value)
  local ours, field, is_list = own_fields[name], "config." .. name, sections_of_file[name]
  if records[name].file and type(value) == "string" then
    return value
  elseif type(value) ~= "table" then
    refuse(field, "%s, got %s", is_list and "list expected" or values.expected(records[name]), type(value))
  elseif is_list then
    return items(field, value, ours, records[name])
  end
  value = renamed(field, value, records[name])
  return not lacks(name, value) and completed(name, without(value, ours)) or nil
end

--- Read a JSON file that holds an object.
-- @tparam string path
-- @tparam[opt=path] string opened where it is read
-- @treturn[1] table members that are null are left out
-- @return[2] nil
-- @treturn[2] err code "system" (with `path`) or "json"
function file.read (path, opened)
  local stream <close>, problem = io.open(opened or path, "rb")
  if not stream then
    return system_error(path, problem)
  end
  local text
  text, problem = stream:read "a"
  if not text then
    return system_error(path, ("%s: %s"):format(path, problem))
  end
  local value, err = json.decode(text, { null = false })
  if type(value) == "table" and not getmetatable(value) then
    return value
  end
  err = err or errors.new { code = "json", message = "an object expected" }
  err.path = path
  return nil, errors.context(err, path)
end

--- Read a configuration file of Firecracker's.
-- @tparam string path
-- @treturn[1] table a configuration for `fc.new`; members that are null are left out
-- @return[2] nil
-- @treturn[2] err code "system" (with `path`) or "json"
function file.load (path)
  if type(path) ~= "string" then
    errors.raise(2, { code = "usage", message = ("config.load: path expected, got %s"):format(type(path)) })
  end
  local sections, err = file.read(path)
  if not sections then
    return nil, err
  end
  return file.from_sections(sections)
end

--- Write a file, in the place of what it held.
-- @tparam string path
-- @tparam string text
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "system", with `path`
function file.write (path, text)
  local stream <close>, problem = io.open(path, "wb")
  if not stream then
    return system_error(path, problem)
  end
  local ok
  ok, problem = stream:write(text)
  if ok then
    ok, problem = stream:flush()
  end
  if not ok then
    return system_error(path, ("%s: %s"):format(path, problem))
  end
  return true
end

--- Write a configuration as Firecracker's file.
-- What is not Firecracker's is left out: `id`, `vmm`, `console`, `mmds` (the metadata itself) and the like, and `serial`, for which
-- its file has no place; and a section that lacks what Firecracker requires and the start would find, as `metrics = {}`. Where
-- `machine_config` is given in part the rest is as `fc.new` would have it. What no file can be made of raises, by the field's path.
-- @tparam table config as for `fc.new`, or `vm.config`
-- @tparam[opt] string path where it is written; absent: the text is returned
-- @treturn[1] string|boolean the JSON, keys sorted; true when there is a path
-- @return[2] nil
-- @treturn[2] err code "system", with `path`
function file.dump (config, path)
  if type(config) ~= "table" then
    errors.raise(2, { code = "usage", message = ("config.dump: table expected, got %s"):format(type(config)) })
  elseif path ~= nil and type(path) ~= "string" then
    errors.raise(2, { code = "usage", message = ("config.dump: path expected, got %s"):format(errors.shown(path)) })
  end
  local sections = { drives = json.array {} }   -- the one section, beside boot-source, that must be there
  for key, value in pairs(config) do
    local name = type(key) == "string" and key:gsub("-", "_") or key
    if type(key) ~= "string" then
      errors.raise(2, { code = "usage", message = ("config.dump: names of sections expected, got key %s"):format(errors.shown(key)) })
    elseif name ~= key and config[name] ~= nil then
      refuse("config." .. name, TWICE)
    elseif sections_of_file[name] ~= nil then
      sections[name:gsub("_", "-")] = section(name, value)
    elseif not own_sections[name] then
      sections[key] = value
    end
  end
  local text = payload.encode(sections, nil, "config.dump")
  if not path then
    return text
  end
  return file.write(path, text .. "\n")
end

return file
