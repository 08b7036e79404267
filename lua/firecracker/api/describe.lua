--- The table in words: for `fclua api` and for the reference page.
-- @module firecracker.api.describe

local corrections = require "firecracker.api.corrections"
local models = require "firecracker.api.models"
local operations = require "firecracker.api.operations"

local describe = {}

-- What stands in a path where an operation's has `{…}`.
local function id_in (operation, path)
  local prefix, suffix = operation.path:match "^(.-){[%w_]+}(.*)$"
  if prefix and path:sub(1, #prefix) == prefix then
    return path:sub(#prefix + 1, -1 - #suffix)
  end
end

--- Find the operation of a request.
-- @tparam string method
-- @tparam string path with the id in its place
-- @treturn ?table operation
-- @treturn ?string id; nil where the path is the operation's own, `{…}` included
function describe.find (method, path)
  for _, operation in ipairs(operations) do
    local id = operation.method == method and id_in(operation, path)
    if operation.method == method and operation.path == path then
      return operation
    elseif id and id:find "^[%w_]+$" then
      return operation, id
    end
  end
end

--- Find the operation of a request whose id is none.
-- @tparam string method
-- @tparam string path
-- @treturn ?table operation
-- @treturn ?string what stands in the id's place
function describe.like (method, path)
  for _, operation in ipairs(operations) do
    local id = operation.method == method and id_in(operation, path)
    if id and id ~= "" and not id:find "/" then
      return operation, id
    end
  end
end

local PHASES <const> = { any = "any time", before = "before the start", after = "after the start", paused = "while paused",
                         hotplug = "before the start, or by hot-plug" }

--- Say when an operation is possible.
-- @tparam table operation
-- @treturn string
function describe.phase (operation)
  local phase = operation.phase
  if type(phase) ~= "table" then
    return PHASES[phase] .. (operation.hotplug_since and (" from %s on"):format(operation.hotplug_since) or "")
  end
  local parts = {}
  for value, each in pairs(phase) do
    parts[#parts + 1] = type(value) == "string" and ("%s %s"):format(value, PHASES[each]) or nil
  end
  table.sort(parts)
  return table.concat(parts, ", ")
end

local function shown (value)
  return type(value) == "string" and ("'%s'"):format(value) or tostring(value)
end

local function sorted_keys (t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys)
  return keys
end

--- Name a field's type.
-- @tparam table field
-- @treturn string
function describe.type (field)
  return field.model or (field.type == "list" or field.type == "map") and ("%s of %s"):format(field.type, describe.type(field.item))
    or field.type
end

--- Say what a field may hold, and since when.
-- @tparam table field
-- @tparam[opt] boolean partial where any of the fields will do: what is left out stays as it is
-- @treturn {string,...} phrases
function describe.facts (field, partial)
  local facts = {}
  local function add (format, ...)
    facts[#facts + 1] = format:format(...)
  end
  if field.required and not partial then
    add "required"
  end
  if field.pattern then
    add("%s", (field.expected:gsub(" expected$", "")))
  end
  if field.enum then
    local values = {}
    for i, value in ipairs(field.enum) do
      local since = field.enum_since and field.enum_since[value]
      local arch = field.enum_arch and field.enum_arch[value]
      values[i] = value .. (since and (" (%s)"):format(since) or "") .. (arch and (" (%s)"):format(arch) or "")
    end
    add("one of %s", table.concat(values, ", "))
  end
  if field.min and field.max then
    add("%d to %d", field.min, field.max)
  elseif field.min and field.min ~= 0 then
    add("at least %d", field.min)
  end
  if field.max_bytes then
    add("at most %d bytes", field.max_bytes)
  end
  if field.absent ~= nil and not partial then
    add("absent: %s", shown(field.absent))
  end
  if field.arch then
    add("%s alone", field.arch)
  end
  if field.since then
    add("since %s", field.since)
  end
  for _, release in ipairs(sorted_keys(field.unless or {})) do
    add("not in %s, again in %s", release, field.unless[release])
  end
  if field.removed then
    add("until %s", field.removed)
  end
  if field.deprecated then
    add("%sdeprecated since %s: use %s", field.deprecated.value and ("'%s' "):format(field.deprecated.value) or "",
      field.deprecated.since, field.deprecated.use)
  end
  return facts
end

--- One line on an operation.
-- @tparam table operation
-- @treturn string
function describe.line (operation)
  return ("%-6s %-32s %s%s"):format(operation.method, operation.path, operation.doc,
    operation.since and (" (since %s)"):format(operation.since) or "")
end

local function fields_of (lines, model, indent, seen, partial)
  for _, field in ipairs(models[model].fields) do
    local facts = describe.facts(field, partial)
    lines[#lines + 1] = ("%s%-26s %s: %s%s"):format(indent, field.name, describe.type(field), field.doc,
      #facts > 0 and (" (%s)"):format(table.concat(facts, "; ")) or "")
    local below = field.model or field.item and field.item.model
    if below and not seen[below] then
      seen[below] = true
      fields_of(lines, below, indent .. "  ", seen)
    end
  end
end

--- All about an operation, as lines of text.
-- @tparam table operation
-- @treturn string
function describe.operation (operation)
  local lines = {
    ("%s %s"):format(operation.method, operation.path), operation.doc,
    ("vm.api:%s, %s%s"):format(operation.name, describe.phase(operation),
      operation.since and (", since %s"):format(operation.since) or ""),
  }
  for _, what in ipairs { "body", "reply" } do
    local model = operation[what]
    if model then
      lines[#lines + 1] = ("%s: %s%s"):format(what, model == "json" and "any JSON" or model,
        what == "body" and (operation.optional and ", may be left out" or operation.partial and ", any of its fields") or "")
      if models[model] then
        fields_of(lines, model, "  ", {}, operation.partial)
      end
    end
  end
  return table.concat(lines, "\n")
end

local function link (model)
  return models[model] and ("[%s](#%s)"):format(model, model:lower()) or model == "json" and "any JSON" or ""
end

local function reference_of_model (lines, name)
  local model = models[name]
  lines[#lines + 1] = ("\n## %s\n\n%s%s\n\n| field | type | |\n|---|---|---|"):format(name, model.doc,
    model.lax and " The VMM ignores unknown keys." or "")
  for _, field in ipairs(model.fields) do
    local below, facts = field.model or field.item and field.item.model, describe.facts(field)
    local kind = describe.type(field)
    lines[#lines + 1] = ("| `%s` | %s | %s%s |"):format(field.name,
      below and kind:gsub(below .. "$", (link(below):gsub("%%", "%%%%"))) or kind, field.doc,
      #facts > 0 and ". " .. table.concat(facts, "; ") or "")
  end
end

--- The reference page, as Markdown.
-- @treturn string
function describe.reference ()
  local lines = {
    "# Firecracker's API\n\nEvery operation and every field of the releases from 1.0 on. Made from the table in " ..
    "`lua/firecracker/api`.\n\n| request | method | body | reply | when | since | |\n|---|---|---|---|---|---|---|",
  }
  for _, operation in ipairs(operations) do
    lines[#lines + 1] = ("| %s `%s` | `%s` | %s | %s | %s | %s | %s |"):format(operation.method, operation.path, operation.name,
      link(operation.body), link(operation.reply), describe.phase(operation), operation.since or "1.0", operation.doc)
  end
  for _, name in ipairs(sorted_keys(models)) do
    reference_of_model(lines, name)
  end
  lines[#lines + 1] = "\n## Otherwise than the swagger\n"
  for _, each in ipairs(corrections) do
    lines[#lines + 1] = ("- `%s.%s`: %s"):format(each.model, each.field, each.why)
  end
  return table.concat(lines, "\n") .. "\n"
end

return describe
