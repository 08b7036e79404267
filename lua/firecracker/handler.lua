--- A step of a flow: a name, a function of the machine, perhaps its undo. And the one way steps are run.
-- Whatever a run pushes on the machine's undo stack is taken back, in reverse, when a step of it fails.
-- @module firecracker.handler

local errors = require "firecracker.errors"

local handler = {}

local metatable = { __name = "firecracker.handler" }

--- Tell where a function is defined.
-- @tparam function fn
-- @treturn string `path:line`
function handler.site (fn)
  local info = debug.getinfo(fn, "S")
  return ("%s:%d"):format(info.source:match "^@(.*)" or info.short_src, info.linedefined)
end

--- Make a handler.
-- Called with a machine it runs on its own: `true`, or `nil, err` after taking back what it had pushed.
-- `err.handler` is its name, `err.traceback` is there if the error was raised, `err.undone` lists what was taken back.
-- @tparam string name
-- @tparam function run is called as `run(vm)`; it fails by raising, by `nil, err` or by `false`
-- @tparam[opt] function undo is pushed on the machine's undo stack once `run` has succeeded; called as `undo(vm)`
-- @treturn table a callable `{ name =, run =, undo = }`
function handler.new (name, run, undo)
  local function refuse (what, value)
    errors.raise(3, { code = "flow", message = ("%s expected, got %s"):format(what, type(value)) })
  end
  if type(name) ~= "string" then
    refuse("handler: name", name)
  elseif type(run) ~= "function" then
    refuse(("handler '%s': function"):format(name), run)
  elseif undo ~= nil and type(undo) ~= "function" then
    refuse(("handler '%s': undo function"):format(name), undo)
  end
  return setmetatable({ name = name, run = run, undo = undo }, metatable)
end

--- Tell a handler from other values; one of another copy of this library, loaded into the same state, is one.
-- @param value anything
-- @treturn boolean
function handler.is (value)
  return (getmetatable(value) or {}).__name == metatable.__name
end

--- Take a value as a step: a handler is one, a bare function becomes one that is named by where it is defined.
-- @param value
-- @treturn[1] table handler
-- @return[2] nil (it is neither)
function handler.step (value)
  if handler.is(value) then
    return value
  elseif type(value) == "function" then
    return handler.new(handler.site(value), value)
  end
end

-- The function that tells of a step's phases; nil where nobody listens.
local function teller (step, vm, list)
  if vm.quiet or not vm.emit then
    return nil
  end
  local now = require("firecracker.core").now
  local began = now()
  return function (phase, err)
    vm:emit { event = "step", phase = phase, name = step.name, list = list, elapsed = now() - began, err = err }
  end
end

-- Who ends a machine ends its flow: nothing more is begun, and what a step made meanwhile is taken back by its own flow.
local function check (vm)
  if vm.closed or vm.given_up then
    return nil, errors.new { code = "state", message = ("machine %s was %s"):format(vm.id, vm.closed and "closed" or "stopped") }
  end
  return true
end

-- A log function of the user's that raises fails the step it was told about: nothing escapes past the undoing.
local function perform (step, vm, list)
  local tell = teller(step, vm, list)
  local done, err, raised = true, nil, nil
  if tell then
    done, err, raised = errors.try(tell, "begin")
  end
  if done then
    done, err = check(vm)
  end
  if done then
    done, err, raised = errors.try(step.run, vm)
  end
  if done then
    if step.undo then
      vm:defer(step.name, step.undo)
    end
    done, err = check(vm)
    if done and tell then
      done, err, raised = errors.try(tell, "end")
    end
  end
  if not done then
    if not err.handler then
      errors.context(err, step.name).handler = step.name
    end
    if tell then
      errors.try(tell, "fail", err)
    end
  end
  return done, err, raised
end

-- A handler run inside a step has taken back its own part already: its lists are continued. Returns whether Ctrl-C came
-- meanwhile; what failed is the interruption's then.
local function take_back (vm, mark, err)
  local undone, failures = vm.undo:unwind(mark, vm)
  err.undone = table.move(undone, 1, #undone, #(err.undone or "") + 1, err.undone or {})
  if #failures > 0 then
    err.undo_errors = table.move(failures, 1, #failures, #(err.undo_errors or "") + 1, err.undo_errors or {})
  end
  if #failures > 0 and require("firecracker.undo").interruption(failures) then
    err.code, err.message = "interrupted", err.message .. ": interrupted!"
    return true
  end
end

--- Run lists of steps one after the other.
-- A cancel and Ctrl-C, also one that comes while something is taken back, are raised once everything is.
-- @tparam {table,...} lists lists of handlers, each perhaps with a `name`; a step may edit the lists still to come
-- @param vm the machine
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] table err; `handler` the step that failed, `done` the names of those before it, `undone` what was taken
-- back, `undo_errors` (if any) `{ name =, err = }` of each undo that failed
function handler.run (lists, vm)
  if type(vm) ~= "table" or type(vm.undo) ~= "table" then
    errors.raise(2, { code = "flow", message = ("machine expected, got %s"):format(type(vm)) })
  end
  local mark, done = vm.undo:mark(), {}
  for _, list in ipairs(lists) do
    for _, step in ipairs(table.move(list, 1, #list, 1, {})) do
      local ok, err, raised = perform(step, vm, list.name)
      if not ok then
        local interrupted = take_back(vm, mark, err)
        err.done = done
        if interrupted or raised and errors.is_stop(err) then
          error(err, 0)
        end
        return nil, err
      end
      done[#done + 1] = step.name
    end
  end
  return true
end

function metatable:__call (vm)
  return handler.run({ { self } }, vm)
end

function metatable:__tostring ()
  return ("<handler %s, %s>"):format(self.name, handler.site(self.run))
end

return handler
