--- The verbs that edit lists of steps and flows, and how both print.
-- Verbs edit in place and return their object; a verb acts on every step of the name it is given, and an unknown name
-- raises. Where a name is asked for, the handler itself will do. A flow finds the list by the step's name; `append`,
-- `prepend` and `clear` take the list's name first.
-- @module firecracker.editing

local errors = require "firecracker.errors"
local handler = require "firecracker.handler"
local lazy = require "firecracker.lazy"
local steps = require "firecracker.steps"

local text = lazy "firecracker.text"

local editing = {}

local function refuse (message, ...)
  errors.raise(2, { code = "flow", message = message:format(...) })
end

local function steps_of (...)
  local values = table.pack(...)
  for i = 1, math.max(1, values.n) do
    values[i] = steps.step(values[i], nil, i)
  end
  return values
end

-- A name, or that of the step that bears it.
local function name_of (value)
  if type(value) == "string" then
    return value
  end
  local step = handler.step(value)
  return step and step.name or refuse("name of a step expected, got %s", type(value))
end

-- No list has a step of that name.
local function unknown (name, ...)
  local names = {}
  for _, searched in ipairs { ... } do
    for _, step in ipairs(searched) do
      names[#names + 1] = step.name
    end
  end
  refuse("no step '%s'%s", name, text.suggest(name, names))
end

--- Methods of a list.
local list = {}
editing.of_list = list

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
  name = name_of(name)
  if not self:has(name) then
    unknown(name, self)
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
  name = name_of(name)
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

--- How a list prints: numbered, with file and line.
-- @tparam table self the list
-- @treturn string
function editing.list_text (self)
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

-- Flows ------------------------------------------------------------------------------------------------------------

local LISTS <const> = { "validation", "fcinit" }

--- Methods of a flow.
local methods = {}
editing.of_flow = methods

--- Add steps at the end of a list: `flow:append(list, step, …)`.
-- @function flow:append

--- Add steps at the beginning of a list: `flow:prepend(list, step, …)`.
-- @function flow:prepend

--- Empty a list: `flow:clear(list)`.
-- @function flow:clear
for _, verb in ipairs { "append", "prepend", "clear" } do
  methods[verb] = function (self, name, ...)
    if name ~= "validation" and name ~= "fcinit" then
      local got = type(name) == "string" and ("'%s'"):format(name) or type(name)
      refuse("%s: 'validation' or 'fcinit' expected, got %s", verb, got)
    end
    self[name][verb](self[name], ...)
    return self
  end
end

--- Add steps after the one named: `flow:append_after(name, step, …)`.
-- @function flow:append_after

--- Add steps before the one named: `flow:insert_before(name, step, …)`.
-- @function flow:insert_before

--- Replace a step: `flow:swap(step)` the one of the same name, `flow:swap(name, step, …)` the one named.
-- @function flow:swap

--- Take a step out: `flow:remove(name)`.
-- @function flow:remove
for _, verb in ipairs { "append_after", "insert_before", "swap", "remove" } do
  methods[verb] = function (self, step, ...)
    if not self:has(step) then
      unknown(name_of(step), self.validation, self.fcinit)
    end
    for _, name in ipairs(LISTS) do
      if self[name]:has(step) then
        self[name][verb](self[name], step, ...)
      end
    end
    return self
  end
end

--- Replace the step of the same name, or add this one at the end of `fcinit`.
-- @function flow:swappend
-- @param step
-- @return the flow
function methods:swappend (step)
  return self:has(step) and self:swap(step) or self:append("fcinit", step)
end

--- Tell whether a step of that name is in either list.
-- @function flow:has
-- @param name
-- @treturn boolean
function methods:has (name)
  return self.validation:has(name) or self.fcinit:has(name)
end

--- How a flow prints.
-- @tparam table self the flow
-- @treturn string
function editing.flow_text (self)
  local title = self.path and "flow " .. self.path or "flow"
  return table.concat({ title, tostring(self.validation), tostring(self.fcinit) }, "\n")
end

return editing
