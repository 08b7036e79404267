--- Which operation a request is, as the VMM routes it: leniently, and with its words for what it does not know.
-- @module firecracker.testing.router

local operations = require "firecracker.api.operations"

local router = {}

local function invalid (method, what)
  return nil, ("Invalid request method and/or path: %s %s."):format(method, what)
end

-- The operations of a method below a first segment, each with the fixed segment that follows.
local function below (method, first, has)
  local found = {}
  for _, operation in ipairs(operations) do
    local head, rest = operation.path:match "^/([^/]*)/?(.*)$"
    if operation.method == method and head == first and has(operation) then
      found[#found + 1] = { operation = operation, rest = rest }
    end
  end
  return found
end

local function exact (found, rest)
  for _, each in ipairs(found) do
    if each.rest == rest then
      return each.operation
    end
  end
end

-- What is peculiar below a first segment: the operation, or nil and the refusal.
local PECULIAR <const> = {}

function PECULIAR.balloon (method, segments, found, has)
  local second = segments[2]
  local operation = exact(found, second or "")
  if operation then
    return operation
  elseif second == "hinting" and has { since = "1.14" } then
    operation = exact(found, "hinting/" .. (segments[3] or ""))
    return operation, ("Unrecognized %s request path `/hinting/%s`."):format(method, segments[3] or "")
  elseif method == "PATCH" and has { since = "1.14" } then
    return exact(found, "")
  end
  return nil, ("Unrecognized %s request path `%s`."):format(method, second)
end

function PECULIAR.mmds (method, segments, found)
  local second = segments[2]
  local operation = exact(found, method == "PUT" and second or "")
  return operation, ("Unrecognized %s request path `%s`."):format(method, second)
end

function PECULIAR.snapshot (method, segments, found)
  if not segments[2] then
    return nil, "Missing snapshot operation type."
  end
  return exact(found, segments[2]), ("Invalid request method and/or path: %s /snapshot/%s."):format(method, segments[2])
end

-- The id in a path, or what is wrong with it.
local function id_of (segment)
  if not segment then
    return nil, "The ID cannot be empty."
  elseif not segment:find "^[%w_]+$" then
    return nil, "API Resource IDs can only contain alphanumeric characters and underscores."
  end
  return segment
end

--- Find the operation of a request.
-- @tparam string method
-- @tparam string target path, or absolute URI
-- @tparam boolean with_body
-- @tparam function has tells whether the release has a record of the table
-- @treturn[1] table operation
-- @treturn[1] ?string the id in its path
-- @return[2] nil
-- @treturn[2] string the refusal
function router.find (method, target, with_body, has)
  local path = target:gsub("^http://[^/]*", "")
  local segments = {}
  for segment in (path:sub(1, 1) == "/" and path or ""):gmatch "[^/]+" do
    segments[#segments + 1] = segment
  end
  local first = segments[1] or ""
  local found = below(method, first, has)
  local bodiless = first == "balloon" and segments[2] == "hinting" and has { since = "1.14" }
  if with_body and (method == "GET" or method == "DELETE") then
    return nil, method == "GET" and "GET request cannot have a body." or "Empty Delete request."
  elseif not with_body and (method == "PUT" or method == "PATCH") and not bodiless then
    return nil, ("Empty %s request."):format(method)
  elseif #found == 0 then
    return invalid(method, first)
  end
  local operation, refusal
  if PECULIAR[first] then
    operation, refusal = PECULIAR[first](method, segments, found, has)
  elseif found[1].rest:sub(1, 1) == "{" then
    local id
    id, refusal = id_of(segments[2])
    return id and found[1].operation or nil, id or refusal
  else
    operation = #found == 1 and (found[1].rest == "" or found[1].rest == segments[2]) and found[1].operation
      or exact(found, segments[2] or "")
  end
  if not operation then
    return nil, refusal or select(2, invalid(method, first))
  end
  return operation
end

return router
