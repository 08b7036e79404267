--- The gate: whether a request, or a configuration, asks for what not every release has. Only then the VMM's has to be
-- learned, and @{firecracker.api.lacks} says what it lacks. Derived from the table when it is first asked; it sends nothing
-- and knows no VMM.
-- @module firecracker.api.gate

local conflicts = require "firecracker.api.conflicts"
local known_bad = require "firecracker.api.known_bad"
local lazy = require "firecracker.lazy"
local models = require "firecracker.api.models"
local operations = require "firecracker.api.operations"

local lacks = lazy "firecracker.api.lacks"

local gate = {}

-- The entries of a model that not every release has; nil when there are none.
local trees = {}

local function lower_keys (texts)
  local result = {}
  for key, text in pairs(texts) do
    result[key:lower()] = text
  end
  return result
end

local function tree_of (name)
  if trees[name] ~= nil then
    return trees[name] or nil
  end
  local tree = {}
  trees[name] = tree
  for _, field in ipairs(models[name].fields) do
    local model = field.model or field.item and field.item.model
    local below = model and tree_of(model)
    if field.since or field.removed or field.enum_since or below then
      tree[#tree + 1] = {
        name = field.name, below = below, list = field.item ~= nil, ignore_case = field.ignore_case,
        since = field.since, removed = field.removed, unless = field.unless,
        values = field.ignore_case and field.enum_since and lower_keys(field.enum_since) or field.enum_since,
      }
    end
  end
  trees[name] = #tree > 0 and tree
  return trees[name] or nil
end

local asks_below

-- Whether a body has a field, or a value of one, that not every release has.
local function asks (tree, body)
  for i = 1, #tree do
    local entry = tree[i]
    local value = body[entry.name]
    if value ~= nil and (entry.since or entry.removed
        or entry.values and type(value) == "string" and entry.values[entry.ignore_case and value:lower() or value]
        or entry.below and type(value) == "table" and asks_below(entry, value)) then
      return true
    end
  end
  return false
end

function asks_below (entry, value)
  if not entry.list then
    return asks(entry.below, value)
  end
  for _, item in ipairs(value) do
    if type(item) == "table" and asks(entry.below, item) then
      return true
    end
  end
  return false
end

local bad = {}   -- operation -> list of records
for _, record in ipairs(known_bad) do
  bad[record.operation] = bad[record.operation] or {}
  table.insert(bad[record.operation], record)
end

local of = {}   -- operation -> what there is to check, once it was asked for; false: nothing

--- What there is to check about an operation.
-- @tparam table operation
-- @treturn ?table for the functions below; nil: every release has all of it
function gate.of (operation)
  if of[operation] == nil then
    local tree = models[operation.body] and tree_of(operation.body)
    of[operation] = (operation.since or tree or bad[operation.name]) and {
      operation = operation, since = operation.since, tree = tree, bad = bad[operation.name],
    } or false
  end
  return of[operation] or nil
end

--- Whether a request asks for what some release has wrong.
-- @tparam table record of @{firecracker.api.known_bad}
-- @param body of the request
-- @treturn boolean
function gate.goes_wrong (record, body)
  return not record.field or type(body) == "table" and body[record.field] == record.value
end

local function may_go_wrong (gated, body)
  for _, record in ipairs(gated.bad or {}) do
    if gate.goes_wrong(record, body) then
      return true
    end
  end
  return false
end

--- Whether a request asks for something that not every release has: only then the release has to be known.
-- @tparam table gated from `of`
-- @param body of the request
-- @treturn boolean
function gate.asks (gated, body)
  return gated.since ~= nil or may_go_wrong(gated, body)
    or (gated.tree ~= nil and type(body) == "table" and asks(gated.tree, body))
end

local of_sections = {}   -- the operations that take a section
for _, operation in ipairs(operations) do
  of_sections[#of_sections + 1] = operation.section and operation
end

-- What a configuration asks of a release, section by section: what to check, the body, where it stands.
local function demands (config)
  local found = {}
  for _, operation in ipairs(of_sections) do
    local section = operation.section
    local value = config[section]
    for i, body in ipairs(value ~= nil and (operation.each and value or { value }) or {}) do
      local gated = gate.of(operation)
      if gated and gate.asks(gated, body) then
        found[#found + 1] = { gated, body, operation.each and ("%s[%d]"):format(section, i) or section }
      end
    end
  end
  return found
end

-- The sections of a configuration that some releases do not take together.
local function clashes (config)
  local found = {}
  for _, record in ipairs(conflicts) do
    if config[record.section] and config[record.other] and config[record.other][record.field] == record.value then
      found[#found + 1] = record
    end
  end
  return found
end

--- Find what a release lacks of a configuration.
-- @tparam table config
-- @tparam function learn gives the release, or nil when it cannot be known; called only where that matters
-- @treturn ?table fields of an error, code "release"
function gate.check_config (config, learn)
  local asked, together = demands(config), clashes(config)
  local text = (#asked > 0 or #together > 0) and learn()
  if not text then
    return nil
  end
  return lacks.of_config(asked, together, text)
end

--- Find what a release lacks of a request, @{firecracker.api.lacks.of_request}.
function gate.check (...)
  return lacks.of_request(...)
end

--- The warnings about a request, @{firecracker.api.lacks.warnings}.
function gate.warnings (...)
  return lacks.warnings(...)
end

return gate
