--- Tasks that belong together: who runs a function waits for every task that it starts.
-- @module firecracker.loop.scope

local errors = require "firecracker.errors"
local keys = require "firecracker.loop.keys"
local loop = require "firecracker.loop"
local task = require "firecracker.loop.task"

local scopes = {}

local NEVER <const> = math.huge

local state = keys.state
local tasks, context = state.tasks, keys.context

--- Start a function as a task. It begins at the next wait of whoever spawned it.
-- @tparam function fn
-- @param ... its arguments
-- @treturn table task, with `wait` and `cancel`
function scopes.spawn (fn, ...)
  if not loop.callable(fn) then
    errors.raise(2, { code = "usage", message = ("spawn: function expected, got %s"):format(type(fn)) })
  end
  local above = state.current
  return task.spawn(above and above.scope or state.root, context().deadline, fn, ...)
end

--- Start a function as a task of its own: no `run` waits for its end, and no deadline of the caller's bounds it.
-- @tparam function fn
-- @param ... its arguments
-- @treturn table task
function scopes.background (fn, ...)
  return task.spawn(state.root, NEVER, fn, ...)
end

local function end_scope (scope)
  for _, each in pairs(tasks) do
    if each.scope == scope then
      each:cancel()
    end
  end
end

local function await_scope (scope)
  while scope.live > 0 do
    local failed = scope.task and scope.task.err and not scope.ending
    if failed then
      scope.ending = true
      end_scope(scope)
    end
    loop.park(NEVER, scope)
  end
end

-- A run that is left in the middle (Ctrl-C, a cancel) ends its tasks first.
local scope_metatable = {
  __close = function (scope)
    if scope.live == 0 then   -- mostly; else each task that there is gets looked at
      return
    end
    end_scope(scope)
    loop.shielded(await_scope, scope)
  end,
}

--- Run a function as a task and everything it spawns to the end. When the function raises, or the run is left by an
-- error, its tasks are cancelled and waited for.
-- @tparam function fn
-- @param ... its arguments
-- @return what fn returns; raises what it raised, or else the first of its tasks that failed and that nobody waited for
function scopes.run (fn, ...)
  local scope <close> = setmetatable({ live = 0 }, scope_metatable)
  local first = task.spawn(scope, context().deadline, fn, ...)
  scope.task, first.waiters = first, 1   -- we
  loop.without_deadline(await_scope, scope)   -- it bounds the tasks; a wait bounded by a past one would spin
  if first.err then
    error(first.err, 0)
  end
  local failed
  for each, number in pairs(scope.failed or {}) do
    failed = (not failed or number < scope.failed[failed]) and each or failed
  end
  if failed then
    error(failed.err, 0)
  end
  return table.unpack(first.results, 2, first.results.n)
end

return scopes
