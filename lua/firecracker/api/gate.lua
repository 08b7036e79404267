--- The gate: what a request asks for against the release of the VMM.
-- Firecracker refuses a whole request for one field it does not know; here the field is named, and the release that has
-- it. Derived from the table when it is first asked; it sends nothing and knows no VMM.
-- @module firecracker.api.gate

local conflicts = require "firecracker.api.conflicts"
local known_bad = require "firecracker.api.known_bad"
local lazy = require "firecracker.lazy"
local models = require "firecracker.api.models"
local operations = require "firecracker.api.operations"

local release = lazy "firecracker.release"

local gate = {}

-- The entries of a model that not every release has; nil when there are none.
local trees = {}

local function number (text)
  return release.number(text)
end

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

-- Why a release has no such field, or no such value of it; nil when it has. Of no release: true when not every one has it.
local function lack (entry, value, have, path)
  local at = entry.values and type(value) == "string" and entry.values[entry.ignore_case and value:lower() or value]
  if not have then
    return (entry.since or entry.removed or at) and true or nil
  elseif entry.since and number(entry.since) > have.number then
    return { field = path, needs = entry.since }
  elseif entry.unless and entry.unless[have.text] then
    return { field = path, needs = entry.unless[have.text] }
  elseif entry.removed and number(entry.removed) <= have.number then
    return { field = path, removed = entry.removed }
  elseif at and number(at) > have.number then
    return { field = path, value = value, needs = at }
  end
end

local find

local function find_below (entry, value, have, path)
  if entry.list then
    for i, item in ipairs(value) do
      local found = type(item) == "table" and find(entry.below, item, have, ("%s[%d]"):format(path, i))
      if found then
        return found
      end
    end
    return nil
  end
  return find(entry.below, value, have, path)
end

function find (tree, body, have, at)
  for _, entry in ipairs(tree) do
    local value = body[entry.name]
    if value ~= nil then
      local path = at and at .. "." .. entry.name or entry.name
      local found = lack(entry, value, have, path)
        or entry.below and type(value) == "table" and find_below(entry, value, have, path)
      if found then
        return found
      end
    end
  end
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

local function goes_wrong (record, body)
  return not record.field or type(body) == "table" and body[record.field] == record.value
end

local function may_go_wrong (gated, body)
  for _, record in ipairs(gated.bad or {}) do
    if goes_wrong(record, body) then
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
    or (gated.tree ~= nil and type(body) == "table" and find(gated.tree, body) ~= nil)
end

--- Find what a release lacks of a request.
-- @tparam table gated from `of`
-- @param body of the request
-- @tparam string text the release
-- @tparam[opt] string at where the body stands in a configuration
-- @treturn ?table fields of an error, code "release"; nil when it has all
function gate.check (gated, body, text, at)
  local operation = gated.operation
  local have = { text = text, number = number(text) }
  local found
  if have.number < number(release.MINIMUM) then
    found = { field = "this", needs = release.MINIMUM }
  elseif gated.since and number(gated.since) > have.number then
    found = { field = at or operation.method .. " " .. operation.path, needs = gated.since }
  elseif gated.tree and type(body) == "table" then
    found = find(gated.tree, body, have, at)
  end
  if not found then
    return nil
  end
  local field = found.field .. (found.value and (" = '%s'"):format(found.value) or "")
  found.code, found.operation, found.release = "release", operation.name, text
  found.message = found.removed and ("%s was removed in Firecracker %s (this is %s)"):format(field, found.removed, text)
    or ("%s needs Firecracker %s (this is %s)"):format(field, found.needs, text)
  return found
end

--- The warnings about a request: what a release has, and has wrong.
-- @tparam table gated from `of`
-- @tparam string text the release
-- @param body of the request
-- @treturn {table,...} records of @{firecracker.api.known_bad}
function gate.warnings (gated, text, body)
  local found = {}
  for _, record in ipairs(gated.bad or {}) do
    for _, each in ipairs(record.releases) do
      if each == text and goes_wrong(record, body) then
        found[#found + 1] = record
      end
    end
  end
  return found
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
  for _, demand in ipairs(asked) do
    local gated, body, at = table.unpack(demand)
    local found = gate.check(gated, body, text, at)
    if found then
      return found
    end
  end
  for _, record in ipairs(together) do
    if number(text) < number(record.before) then
      return { code = "release", field = record.section, release = text,
               message = ("%s: Firecracker %s does not take it beside %s.%s = '%s'"):format(record.section, text, record.other,
                 record.field, record.value) }
    end
  end
end

return gate
