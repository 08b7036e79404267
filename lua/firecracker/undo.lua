--- The stack of what has to be taken back.
-- Everything acquired pushes the function that gives it back. Unwinding runs them in reverse, each once, and keeps
-- going past one that fails; nothing is raised. Ctrl-C fails one too: @{undo.interruption} finds it. An entry leaves the
-- stack before it runs, so that neither a second unwinding (from another task, or from the entry itself) nor a failure can
-- run it again.
-- @module firecracker.undo

local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local undo = {}

local stack = {}
local metatable = { __name = "firecracker.undo", __index = stack }

--- Make an empty stack. `#stack` is the number of its entries.
-- @treturn table stack
function undo.new ()
  return setmetatable({ pushed = 0 }, metatable)
end

--- Find Ctrl-C among what failed: whoever had something unwound raises it, once all is undone.
-- @tparam {table,...} failures of @{stack:unwind}
-- @treturn ?table err code "interrupted"
function undo.interruption (failures)
  for _, failure in ipairs(failures) do
    if failure.err.code == "interrupted" then
      return failure.err
    end
  end
end

--- Add an entry.
-- @function stack:push
-- @tparam string name what is taken back, for reports
-- @tparam function fn is called as `fn(vm, record)`; it fails by raising or by returning `nil, err`
-- @param[opt] record what would be needed to do the same after a crash
-- @treturn table entry for @{stack:undo}
function stack:push (name, fn, record)
  if type(name) ~= "string" then
    errors.raise(2, { code = "undo", message = ("name: string expected, got %s"):format(type(name)) })
  elseif type(fn) ~= "function" then
    errors.raise(2, { code = "undo", message = ("undo of '%s': function expected, got %s"):format(name, type(fn)) })
  end
  self.pushed = self.pushed + 1
  self[#self + 1] = { name = name, fn = fn, record = record, number = self.pushed }
  return self[#self]
end

--- Undo one entry before its time.
-- @function stack:undo
-- @tparam table entry what `push` returned; nothing is done when it has left the stack
-- @param vm handed to it
-- @return[1] what the entry returns; true when it is gone already
-- @return[2] nil
-- @treturn[2] err
function stack:undo (entry, vm)
  for i = #self, 1, -1 do
    if self[i] == entry then
      table.remove(self, i)
      return loop.shielded(errors.try, entry.fn, vm, entry.record)
    end
  end
  return true
end

--- Remember what was pushed so far, for @{stack:unwind}.
-- @function stack:mark
-- @treturn int mark
function stack:mark ()
  return self.pushed
end

local function unwind (self, mark, vm)
  local names, failures = {}, {}
  while self[1] and self[#self].number > mark do
    local entry = table.remove(self)
    names[#names + 1] = entry.name
    local done, err = errors.try(entry.fn, vm, entry.record)
    if not done then
      failures[#failures + 1] = { name = entry.name, err = err }
    end
  end
  return names, failures
end

--- Undo, in reverse, what was pushed since a mark.
-- @function stack:unwind
-- @tparam[opt=0] int mark
-- @param vm handed to each entry
-- @treturn {string,...} the names, in the order they were undone
-- @treturn {table,...} one `{ name =, err = }` for each that failed
function stack:unwind (mark, vm)
  return loop.shielded(unwind, self, mark or 0, vm)
end

--- List the entries from the bottom up.
-- @function stack:records
-- @treturn {table,...} one `{ name =, record = }` each
function stack:records ()
  local list = {}
  for i, entry in ipairs(self) do
    list[i] = { name = entry.name, record = entry.record }
  end
  return list
end

return undo
