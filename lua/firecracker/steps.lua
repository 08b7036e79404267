--- A list of steps. A step is a handler or a bare function. The verbs that edit it are those of @{firecracker.editing}.
-- @module firecracker.steps

local errors = require "firecracker.errors"
local handler = require "firecracker.handler"
local lazy = require "firecracker.lazy"

local editing = lazy "firecracker.editing"

local steps = {}

local function refuse (message, ...)
  errors.raise(2, { code = "flow", message = message:format(...) })
end

--- Take a value as a step; what is none raises.
-- @param value
-- @tparam ?string name of the list it stands in
-- @tparam int i where it stands
-- @treturn table handler
function steps.step (value, name, i)
  return handler.step(value) or refuse("%s: handler or function expected, got %s", name and ("%s[%d]"):format(name, i)
    or "step " .. i, type(value))
end

local metatable = { __name = "firecracker.steps" }

function metatable.__index (_, key)
  return type(key) == "string" and editing.of_list[key] or nil
end

--- Make a list. A hole in the values (a mistyped handler is nil) is refused, not taken for their end.
-- @tparam string name `validation` or `fcinit`
-- @tparam table values steps, or a list, which is copied
-- @treturn table list; `#list` is the number of its steps, `list.name` its name
function steps.new (name, values)
  if type(values) ~= "table" then
    refuse("%s: list expected, got %s", name, type(values))
  end
  local count = 0
  for key in pairs(values) do
    if math.type(key) == "integer" and key > 0 then
      count = key > count and key or count
    elseif key ~= "name" or (getmetatable(values) or {}).__name ~= metatable.__name then
      refuse("%s: list expected, got key '%s'", name, key)
    end
  end
  local self = setmetatable({ name = name }, metatable)
  for i = 1, count do
    local value = values[i]
    self[i] = handler.is(value) and value or steps.step(value, name, i)
  end
  return self
end

function metatable.__tostring (self)
  return editing.list_text(self)
end

return steps
