--- What a release lacks, and what it has wrong, of what the gate (@{firecracker.api.gate}) has found.
-- Firecracker refuses a whole request for one field it does not know; here the field is named, and the release that has it.
-- @module firecracker.api.lacks

local gate = require "firecracker.api.gate"
local release = require "firecracker.release"

local lacks = {}

local number <const> = release.number

-- Why a release has no such field, or no such value of it; nil when it has.
local function lack (entry, value, have, path)
  local at = entry.values and type(value) == "string" and entry.values[entry.ignore_case and value:lower() or value]
  if entry.since and number(entry.since) > have.number then
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

--- Find what a release lacks of a request.
-- @tparam table gated from `gate.of`
-- @param body of the request
-- @tparam string text the release
-- @tparam[opt] string at where the body stands in a configuration
-- @treturn ?table fields of an error, code "release"; nil when it has all
function lacks.of_request (gated, body, text, at)
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
-- @tparam table gated from `gate.of`
-- @tparam string text the release
-- @param body of the request
-- @treturn {table,...} records of @{firecracker.api.known_bad}
function lacks.warnings (gated, text, body)
  local found = {}
  for _, record in ipairs(gated.bad or {}) do
    for _, each in ipairs(record.releases) do
      if each == text and gate.goes_wrong(record, body) then
        found[#found + 1] = record
      end
    end
  end
  return found
end

--- Find what a release lacks of a configuration.
-- @tparam {table,...} asked each what to check, the body, and where it stands
-- @tparam {table,...} together records of @{firecracker.api.conflicts} that the configuration has
-- @tparam string text the release
-- @treturn ?table fields of an error, code "release"
function lacks.of_config (asked, together, text)
  for _, demand in ipairs(asked) do
    local gated, body, at = table.unpack(demand)
    local found = lacks.of_request(gated, body, text, at)
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

return lacks
