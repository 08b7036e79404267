--- A list of steps and the verbs that edit it.
-- Verbs edit in place and return the list; a verb acts on every step of the name it is given, and an unknown name
-- raises. Where a name is asked for, the handler itself will do. A step is a handler or a bare function.
-- @module firecracker.steps

local errors = require "firecracker.errors"
local handler = require "firecracker.handler"
local lazy = require "firecracker.lazy"

local text = lazy "firecracker.text"

local steps = {}

local function refuse (message, ...)
  errors.raise(2, { code = "flow", message = message:format(...) })
end

local function step_of (value, list, i)
  return handler.step(value) or refuse("%s: handler or function expected, got %s", list and ("%s[%d]"):format(list, i)
    or "step " .. i, type(value))
end

local function steps_of (...)
  local values = table.pack(...)
  for i = 1, math.max(1, values.n) do
    values[i] = step_of(values[i], nil, i)
  end
  return values
end

--- Take a name, or the step that bears it.
-- @param value
-- @treturn string name
function steps.name_of (value)
  if type(value) == "string" then
    return value
  end
  local step = handler.step(value)
  return step and step.name or refuse("name of a step expected, got %s", type(value))
end

--- Raise that no list has a step of that name, with a guess what was meant.
-- @tparam string name
-- @param ... the lists
function steps.unknown (name, ...)
  local names = {}
  for _, searched in ipairs { ... } do
    for _, step in ipairs(searched) do
      names[#names + 1] = step.name
    end
  end
  refuse("no step '%s'%s", name, text.suggest(name, names))
end

local list = {}
local metatable = { __name = "firecracker.steps", __index = list }

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
    self[i] = handler.is(value) and value or step_of(value, name, i)
  end
  return self
end

local function fill (self, ...)
  local count = 0
  for _, part in ipairs { ... } do
    for _, step in ipairs(part) do
      count = count + 1
      self[count] = step
    end
  end
  for i = #self, count + 1, -1 do
    self[i] = nil
  end
  return self
end

-- Each step of that name becomes: the steps before, itself when kept, the steps after.
local function edit (self, name, before, keep, after)
  name = steps.name_of(name)
  if not self:has(name) then
    steps.unknown(name, self)
  end
  local parts = {}
  for _, step in ipairs(self) do
    if step.name == name then
      parts[#parts + 1] = before
      parts[#parts + 1] = keep and { step } or {}
      parts[#parts + 1] = after
    else
      parts[#parts + 1] = { step }
    end
  end
  return fill(self, table.unpack(parts))
end

--- Add steps at the end.
-- @function list:append
-- @param ... steps
-- @return the list
function list:append (...)
  return fill(self, table.move(self, 1, #self, 1, {}), steps_of(...))
end

--- Add steps at the beginning, in the order given.
-- @function list:prepend
-- @param ... steps
-- @return the list
function list:prepend (...)
  return fill(self, steps_of(...), table.move(self, 1, #self, 1, {}))
end

--- Add steps after the one named.
-- @function list:append_after
-- @param name
-- @param ... steps
-- @return the list
function list:append_after (name, ...)
  return edit(self, name, {}, true, steps_of(...))
end

--- Add steps before the one named.
-- @function list:insert_before
-- @param name
-- @param ... steps
-- @return the list
function list:insert_before (name, ...)
  return edit(self, name, steps_of(...), true, {})
end

--- Replace the step named by others: `swap(name, step, …)`; or the one that has the new step's own name: `swap(step)`.
-- @function list:swap
-- @param name
-- @param[opt] ... steps
-- @return the list
function list:swap (name, ...)
  return edit(self, name, select("#", ...) == 0 and steps_of(name) or steps_of(...), false, {})
end

--- Replace the step of the same name, or add this one at the end.
-- @function list:swappend
-- @param step
-- @return the list
function list:swappend (step)
  return self:has(step) and self:swap(step) or self:append(step)
end

--- Take the step named out.
-- @function list:remove
-- @param name
-- @return the list
function list:remove (name)
  return edit(self, name, {}, false, {})
end

--- Tell whether there is a step of that name.
-- @function list:has
-- @param name
-- @treturn boolean
function list:has (name)
  name = steps.name_of(name)
  for _, step in ipairs(self) do
    if step.name == name then
      return true
    end
  end
  return false
end

--- Take all steps out.
-- @function list:clear
-- @return the list
function list:clear ()
  return fill(self)
end

--- Run this list alone, as @{firecracker.handler.run} does.
-- @function list:run
-- @param vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] table err
function list:run (vm)
  return handler.run({ self }, vm)
end

function metatable:__tostring ()
  local width = 0
  for _, step in ipairs(self) do
    width = math.max(width, #step.name)
  end
  local lines = { self.name }
  for i, step in ipairs(self) do
    local site = handler.site(step.run)
    if site == step.name then
      lines[i + 1] = ("%4d  %s"):format(i, site)
    else
      lines[i + 1] = ("%4d  %s%s  %s"):format(i, step.name, (" "):rep(width - #step.name), site)
    end
  end
  return table.concat(lines, "\n")
end

return steps
