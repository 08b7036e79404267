--- Tasks and the one place to wait.
-- Code that waits looks as if it blocked. In a task it yields and the others go on; on the main thread it drives the
-- loop, all tasks moving; where a task cannot yield (table.sort, a metamethod, a coroutine that is no task) it drives
-- I/O for its own wait only. Time limits are seconds, turned once into a deadline, and bound everything called below.
-- It starts no thread and installs no signal handler.
-- @module firecracker.loop

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local keys = require "firecracker.loop.keys"
local outer = require "firecracker.loop.outer"
local task = require "firecracker.loop.task"

local loop = {}

local now <const> = core.now
local NEVER <const> = math.huge

local reactor = core.reactor()
local state = keys.state
local tasks, queue = state.tasks, state.queue
local context, add, step, moving, wait_metatable = keys.context, keys.add, keys.step, keys.moving, keys.wait_metatable
local running <const> = coroutine.running

--- Wake whoever waits for a key, @{firecracker.loop.keys.fire}.
-- @function fire
-- @param key any value but nil
loop.fire = keys.fire

--- Keep a value from being collected, or stop keeping it, @{firecracker.loop.keys.anchor}.
-- @function anchor
-- @param value
-- @tparam ?boolean keep
loop.anchor = keys.anchor

--- Tell what can be called from other values.
-- @param value
-- @treturn boolean
function loop.callable (value)
  return type(value) == "function" or (getmetatable(value) or {}).__call ~= nil
end

--- Who runs now, to be compared: a task, the main thread, another loop's coroutine, @{firecracker.loop.keys.context}.
-- @function context
-- @treturn table
loop.context = keys.context

--- Start a function as a task. It begins at the next wait of whoever spawned it.
-- @tparam function fn
-- @param ... its arguments
-- @treturn table task, with `wait` and `cancel`
function loop.spawn (fn, ...)
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
function loop.background (fn, ...)
  return task.spawn(state.root, NEVER, fn, ...)
end

---------------------------------------------------------------------------------------------------
-- Waiting
---------------------------------------------------------------------------------------------------

local function check_cancelled (self)
  if self.cancelled and not self.told and self.shield == 0 then
    self.told = true
    error(errors.new { code = "cancelled", message = "the task was cancelled" }, 0)
  end
end

local function park_task (self, wait, deadline)
  check_cancelled(self)
  wait.task = self
  self.waiting = wait
  if deadline < NEVER then
    self.timer = self.timer or assert(reactor:timer())
    wait.timer_key = self.timer:key()
    keys.add(wait.timer_key, wait)
    self.timer:arm(deadline)
  end
  repeat
    coroutine.yield()
    check_cancelled(self)
  until wait.fired or now() >= deadline
end

-- Move I/O until the wait is fired; other tasks too when `all`.
local function drive (wait, deadline, all)
  moving()
  wait.moves = true
  while true do
    if all and queue.first <= queue.last then
      task.run_ready()
    end
    if wait.fired then
      return
    end
    local idle = not all or queue.first > queue.last
    step(idle and deadline or 0)
    if not wait.fired and now() >= deadline then
      return
    end
  end
end

--- Whether nobody but the caller has anything to do now, so that a wait in the core comes to the same as @{park}: until
-- something fires that is not the caller's.
-- @treturn boolean
function loop.alone ()
  local _, is_main = running()
  return is_main and queue.first > queue.last and not state.kick
end

--- Wait until a key, or one of two, is fired or a deadline comes. Whoever waits looks himself whether what he waits for is
-- true now, and waits again if not.
-- @tparam number deadline a time of core.now(); the deadline that holds for the caller applies as well
-- @param[opt] key
-- @param[opt] other a second key
-- @treturn boolean false when the deadline came first
function loop.park (deadline, key, other)
  local thread, is_main = running()
  local here = state.current or is_main and state.main or context()
  if here.deadline < deadline then
    deadline = here.deadline
  end
  local wait <close> = setmetatable({ fired = false, moves = false, key = key, other = other }, wait_metatable)
  if key ~= nil then
    add(key, wait)
  end
  if other ~= nil then
    add(other, wait)
  end
  local self, cqueues = tasks[thread], not is_main and outer.cqueues()
  if is_main then
    drive(wait, deadline, true)
  elseif self and coroutine.isyieldable() then
    park_task(self, wait, deadline)
  elseif cqueues then
    outer.poll(cqueues, loop, wait, deadline, now)
  else
    if math.type(key or 0) ~= "integer" or math.type(other or 0) ~= "integer" then
      errors.raise(3, { code = "usage", message = "cannot wait for a task here: no other task moves inside a " ..
        "comparison, a metamethod or a coroutine that is no task" })
    end
    drive(wait, deadline, false)
  end
  return wait.fired
end

--- The deadline of a time limit.
-- @tparam ?number timeout in seconds; nil: only what holds for the caller already
-- @tparam[opt] number from when it began; now
-- @treturn number a time of core.now()
function loop.deadline (timeout, from)
  local inherited = context().deadline
  local own = timeout and (from or now()) + timeout
  return own and own < inherited and own or inherited
end

local NONE <const> = {}

local function check_seconds (verb, name, seconds)
  if seconds ~= nil and (type(seconds) ~= "number" or seconds ~= seconds) then
    errors.raise(3, { code = "usage", message = ("%s: %s: seconds expected, got %s"):format(verb, name, errors.shown(seconds)) })
  end
end

--- Check what a verb is given as its options: a table or nil, its time limits numbers. What is wrong raises.
-- @tparam string verb
-- @tparam ?table options
-- @param ... names of its time limits beside `timeout`
-- @treturn table options; where there are none an empty table, not to be written to
function loop.options (verb, options, ...)
  if options == nil then
    return NONE
  elseif type(options) ~= "table" then
    errors.raise(2, { code = "usage",
      message = ("%s: table of options expected, got %s"):format(verb, type(options)) })
  end
  check_seconds(verb, "timeout", options.timeout)
  for i = 1, select("#", ...) do
    local name = select(i, ...)
    check_seconds(verb, name, options[name])
  end
  return options
end

--- The deadline of a verb's options, which are checked.
-- @tparam string verb
-- @tparam ?table options
-- @tparam ?number default seconds where they name none
-- @treturn number a time of core.now()
function loop.limit (verb, options, default)
  return loop.deadline(loop.options(verb, options).timeout or default)
end

-- Call fn with a field of the context changed, and put it back however fn ends.
local restore = {
  __close = function (saved)
    saved.context[saved.field] = saved.value   -- nil in another loop's coroutine: what holds outside of tasks
  end,
}
local function with (field, value, fn, ...)
  local here = context()
  local _ <close> = setmetatable({ context = here, field = field, value = rawget(here, field) }, restore)
  here[field] = value
  return fn(...)
end

--- Call a function under a deadline.
-- @tparam number deadline a time of core.now(); an earlier one that holds already stays
-- @tparam function fn
-- @param ... its arguments
-- @return what fn returns
function loop.under (deadline, fn, ...)
  return with("deadline", math.min(deadline, context().deadline), fn, ...)
end

--- Call a function that no inherited deadline reaches, but a cancel does: waiting for what ends by itself in time.
-- @tparam function fn
-- @param ... its arguments
-- @return what fn returns
function loop.without_deadline (fn, ...)
  return with("deadline", NEVER, fn, ...)
end

--- Call a function that neither a cancel nor an inherited deadline reaches: cleaning up.
-- @tparam function fn
-- @param ... its arguments
-- @return what fn returns
function loop.shielded (fn, ...)
  return with("shield", context().shield + 1, loop.without_deadline, fn, ...)
end

--- Let time pass; the other tasks go on.
-- @tparam number seconds
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "timeout": the caller's own deadline came first
function loop.sleep (seconds)
  if type(seconds) ~= "number" or seconds ~= seconds then
    errors.raise(2, { code = "usage", message = ("sleep: seconds expected, got %s"):format(errors.shown(seconds)) })
  end
  local till = now() + seconds
  repeat
    loop.park(till)
    if now() >= till then
      return true
    end
  until now() >= loop.deadline()
  return nil, errors.new { code = "timeout", message = "the deadline came during a sleep" }
end

--- Wait for a task's end.
-- @tparam[opt] table options `timeout` in seconds
-- @return[1] what its function returned
-- @return[2] nil
-- @treturn[2] err what it raised, or code "timeout"
function task.methods:wait (options)
  local deadline = loop.limit("wait", options)
  self.awaited = true
  if self.scope.failed then   -- a run may go on for months
    self.scope.failed[self] = nil
  end
  while not self.done do
    if not loop.park(deadline, self) and not self.done then
      return nil, errors.new { code = "timeout", message = "the task did not end in time" }
    end
  end
  if self.err then
    return nil, self.err
  end
  return table.unpack(self.results, 2, self.results.n)
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
function loop.run (fn, ...)
  local scope <close> = setmetatable({ live = 0 }, scope_metatable)
  local first = task.spawn(scope, context().deadline, fn, ...)
  scope.task, first.awaited = first, true
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

--- For other event loops (cqueues, luv): one descriptor, the time of the next step, and the step.
-- @section outer

--- A descriptor that is readable when a step would do something.
-- @function loop:pollfd
-- @treturn[1] integer
-- @return[2] nil
-- @treturn[2] err
function loop.pollfd ()
  state.kick = state.kick or assert(reactor:timer())
  return reactor:pollfd()
end

--- What to wait for on it.
-- @function loop:events
-- @treturn string "r"
function loop.events ()
  return "r"
end

--- When to step even if it is not readable.
-- @function loop:timeout
-- @treturn ?number seconds; nil: not before it is readable
function loop.timeout ()
  if queue.first <= queue.last then
    return 0
  end
  return reactor:timeout()
end

--- Do what there is to do.
-- @function loop:step
-- @tparam[opt=0] number timeout seconds to wait for something
-- @treturn boolean true
function loop.step (_, timeout)
  local _ <close> = moving()
  task.run_ready()
  step(queue.first <= queue.last and 0 or now() + (timeout or 0))
  task.run_ready()
  return true
end

return loop
