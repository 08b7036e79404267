--- Tasks and the one place to wait.
-- Code that waits looks as if it blocked. In a task it yields and the others go on; on the main thread it drives the
-- loop, all tasks moving; where a task cannot yield (table.sort, a metamethod, a coroutine that is no task) it drives
-- I/O for its own wait only. Time limits are seconds, turned once into a deadline, and bound everything called below.
-- It starts no thread and installs no signal handler.
-- @module firecracker.loop

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local outer = require "firecracker.outer"

local loop = {}

local now <const> = core.now
local NEVER <const> = math.huge

local reactor = core.reactor()

-- In the reactor's table, not in upvalues: a host may load this module twice in one state.
local state = reactor:state()
state.waits = state.waits or {}               -- key -> a wait, or { list = { wait, … } }
state.tasks = state.tasks or {}               -- thread -> task, while it is not done
state.queue = state.queue or { first = 1, last = 0 }   -- tasks to be resumed
state.main = state.main or { deadline = NEVER, shield = 0 }   -- what holds outside of tasks
state.contexts = state.contexts or setmetatable({}, { __mode = "k" })   -- the same in coroutines of other loops
state.moving = state.moving or 0              -- how many steps and drives are under way
state.anchors = state.anchors or {}           -- what must outlive its last reference, as a set
state.root = state.root or { live = 0 }       -- scope of tasks spawned outside of run

local waits, tasks, queue = state.waits, state.tasks, state.queue

-- What deadline and cancelling apply to: the task that runs, the main thread, or a coroutine of another loop's.
local function context ()
  if state.current then
    return state.current
  end
  local thread, is_main = coroutine.running()
  if is_main then
    return state.main
  end
  local here = state.contexts[thread]
  if not here then
    here = setmetatable({}, { __index = state.main })
    state.contexts[thread] = here
  end
  return here
end

-- A stack that holds no line of the user's belongs to a task: he wrote where it was spawned.
function errors.origin ()
  return state.current and state.current.where
end

---------------------------------------------------------------------------------------------------
-- Keys and waits. A key is what the core fires (an integer) or any Lua value given to loop.fire.
---------------------------------------------------------------------------------------------------

local function add (key, wait)
  local have = waits[key]
  if not have then
    waits[key] = wait
  elseif have.list then
    have.list[#have.list + 1] = wait
  else
    waits[key] = { list = { have, wait } }
  end
end

local function drop (key, wait)
  local have = waits[key]
  if have == wait then
    waits[key] = nil
  elseif have and have.list then
    for i, other in ipairs(have.list) do
      if other == wait then
        table.remove(have.list, i)
        break
      end
    end
    if #have.list == 0 then
      waits[key] = nil
    end
  end
end

-- Another loop waits for us: have it step, if there is something to do and nobody at it.
local function kick ()
  if state.kick and state.moving == 0 and queue.first <= queue.last then
    state.kicked = true
    state.kick:arm(0)
  end
end

local function enqueue (task)
  if not task.queued then
    queue[queue.last + 1] = task    -- in this order: Ctrl-C in between loses nothing
    queue.last = queue.last + 1
    task.queued = true
    kick()
  end
end

local function wake (wait, key)
  if key ~= wait.timer_key then   -- the timer tells of the deadline, not of what was waited for
    wait.fired = true
  end
  if wait.task then
    enqueue(wait.task)
  elseif wait.signal then
    wait.signal()
  end
end

--- Wake whoever waits for a key.
-- @param key any value but nil
function loop.fire (key)
  local have = waits[key]
  if not have then
    return
  elseif not have.list then
    return wake(have, key)
  end
  for _, wait in ipairs(have.list) do
    wake(wait, key)
  end
end

local function drain ()
  for key in reactor.fired, reactor do
    loop.fire(key)
  end
end

-- A wait leaves nothing behind, however it ends (an error from Ctrl-C included).
local wait_metatable = {
  __close = function (wait)
    for i = 1, wait.n do
      drop(wait[i], wait)
    end
    if wait.timer_key then
      drop(wait.timer_key, wait)
      wait.task.timer:disarm()
    end
    if wait.task then
      wait.task.waiting = nil
    end
  end,
}

--- Keep a value from being collected, or stop keeping it.
-- @param value
-- @tparam ?boolean keep
function loop.anchor (value, keep)
  state.anchors[value] = keep or nil
end

---------------------------------------------------------------------------------------------------
-- Tasks
---------------------------------------------------------------------------------------------------

local task_methods = {}
local task_metatable = { __name = "firecracker.task", __index = task_methods }

function task_metatable.__tostring (task)
  return ("<task %s>"):format(task.done and (task.err and "failed" or "done") or task.cancelled and "cancelled" or "running")
end

local function finish (task)
  task.done = true
  tasks[task.thread] = nil
  if task.timer then
    task.timer:close()
  end
  local scope = task.scope
  scope.live = scope.live - 1
  local as_asked = task.cancelled and task.err and task.err.code == "cancelled"
  if task.err and not task.awaited and not as_asked then
    if scope == state.root then
      warn("firecracker: a task failed: " .. tostring(task.err))
    else
      scope.failed = scope.failed or {}
      scope.failed[#scope.failed + 1] = task    -- somebody may still come and wait for it
    end
  end
  loop.fire(task)
  loop.fire(scope)
end

local function traceback (raised)
  return errors.from(raised, debug.traceback(nil, 2))
end

-- What follows a task's turn, also when Ctrl-C raises on the main thread the moment the turn is over, or before it began:
-- then the task gets another, which does it no harm.
local turn_metatable = {
  __close = function (turn, raised)
    local task = turn.task
    queue[turn.at] = nil
    queue.first = turn.at + 1
    state.current = turn.before
    if coroutine.status(task.thread) ~= "dead" then
      if raised or not task.waiting then   -- a plain coroutine.yield: the others' turn, then this one's again
        enqueue(task)
      end
    elseif not task.done then
      if not task.results and not task.err then
        task.err = errors.from(turn.problem)
      end
      finish(task)
    end
  end,
}

local function resume (task, at)
  local turn <close> = setmetatable({ task = task, at = at, before = state.current }, turn_metatable)
  task.queued = false
  if not task.done then
    state.current = task
    local _, problem = coroutine.resume(task.thread)
    turn.problem = problem
  end
end

-- Resume what is queued now; what these queue is left for the next turn.
local function run_ready ()
  for at = queue.first, queue.last do
    resume(queue[at], at)
  end
end

local function spawn (scope, deadline, fn, ...)
  local task = setmetatable({ scope = scope, deadline = deadline, shield = 0, where = errors.where(2) }, task_metatable)
  local arguments = table.pack(...)
  task.thread = coroutine.create(function ()
    local results = table.pack(xpcall(fn, traceback, table.unpack(arguments, 1, arguments.n)))
    if results[1] then
      task.results = results
    else
      task.err = results[2]
    end
  end)
  tasks[task.thread] = task
  scope.live = scope.live + 1
  enqueue(task)
  return task
end

--- Start a function as a task. It begins at the next wait of whoever spawned it.
-- @tparam function fn
-- @param ... its arguments
-- @treturn table task, with `wait` and `cancel`
function loop.spawn (fn, ...)
  if type(fn) ~= "function" and not (getmetatable(fn) or {}).__call then
    errors.raise(2, { code = "usage", message = ("spawn: function expected, got %s"):format(type(fn)) })
  end
  local above = state.current
  return spawn(above and above.scope or state.root, context().deadline, fn, ...)
end

--- Start a function as a task of its own: no `run` waits for its end, and no deadline of the caller's bounds it.
-- @tparam function fn
-- @param ... its arguments
-- @treturn table task
function loop.background (fn, ...)
  return spawn(state.root, NEVER, fn, ...)
end

---------------------------------------------------------------------------------------------------
-- Waiting
---------------------------------------------------------------------------------------------------

local function check_cancelled (task)
  if task.cancelled and not task.told and task.shield == 0 then
    task.told = true
    error(errors.new { code = "cancelled", message = "the task was cancelled" }, 0)
  end
end

local function park_task (task, wait, deadline)
  check_cancelled(task)
  wait.task = task
  task.waiting = wait
  if deadline < NEVER then
    task.timer = task.timer or assert(reactor:timer())
    wait.timer_key = task.timer:key()
    add(wait.timer_key, wait)
    task.timer:arm(deadline)
  end
  repeat
    coroutine.yield()
    check_cancelled(task)
  until wait.fired or now() >= deadline
end

local function step (deadline)
  local ok, err = reactor:step(deadline)
  if ok == nil then
    error(err, 0)
  end
  drain()   -- after an interruption too; Lua's own hook raises for Ctrl-C
end

-- Counts while something moves the loop, however that ends.
local moving_metatable = {
  __close = function ()
    state.moving = state.moving - 1
    kick()
  end,
}
local function moving ()
  state.moving = state.moving + 1
  if state.kicked then
    state.kicked = nil
    state.kick:disarm()
  end
  return setmetatable({}, moving_metatable)
end

-- Move I/O until the wait is fired; other tasks too when `all`.
local function drive (wait, deadline, all)
  local _ <close> = moving()
  while true do
    if all then
      run_ready()
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

--- Wait until one of the keys is fired or a deadline comes. Whoever waits looks himself whether what he waits for is
-- true now, and waits again if not.
-- @tparam number deadline a time of core.now(); the deadline that holds for the caller applies as well
-- @param ... keys
-- @treturn boolean false when the deadline came first
function loop.park (deadline, ...)
  deadline = math.min(deadline, context().deadline)
  local wait <close> = setmetatable({ n = select("#", ...), ... }, wait_metatable)
  for i = 1, wait.n do
    add(wait[i], wait)
  end
  local thread, is_main = coroutine.running()
  local task, cqueues = tasks[thread], outer.cqueues()
  if task and coroutine.isyieldable() then
    park_task(task, wait, deadline)
  elseif cqueues then
    outer.poll(cqueues, loop, wait, deadline, now)
  elseif is_main then
    drive(wait, deadline, true)
  else
    for i = 1, wait.n do
      if math.type(wait[i]) ~= "integer" then
        errors.raise(3, { code = "usage", message = "cannot wait for a task here: no other task moves inside a " ..
          "comparison, a metamethod or a coroutine that is no task" })
      end
    end
    drive(wait, deadline, false)
  end
  return wait.fired or false
end

--- The deadline of a time limit.
-- @tparam ?number timeout seconds from now; nil: only what holds for the caller already
-- @treturn number a time of core.now()
function loop.deadline (timeout)
  local inherited = context().deadline
  return timeout and math.min(now() + timeout, inherited) or inherited
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
    errors.raise(2, { code = "usage", message = ("sleep: seconds expected, got %s"):format(tostring(seconds)) })
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
function task_methods:wait (options)
  self.awaited = true
  local deadline = loop.deadline(options and options.timeout)
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

--- Ask a task to end: what it waits for, or its next wait, raises an error with code "cancelled", once. Cleaning up is
-- not disturbed.
-- @treturn boolean false when it has ended already
function task_methods:cancel ()
  if self.done then
    return false
  end
  self.cancelled = true
  if self.shield == 0 then
    enqueue(self)
  end
  return true
end

local function end_scope (scope)
  for _, task in pairs(tasks) do
    if task.scope == scope then
      task:cancel()
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
  local task = spawn(scope, context().deadline, fn, ...)
  scope.task, task.awaited = task, true
  loop.without_deadline(await_scope, scope)   -- it bounds the tasks; a wait bounded by a past one would spin
  if task.err then
    error(task.err, 0)
  end
  for _, failed in ipairs(scope.failed or {}) do
    if not failed.awaited then
      error(failed.err, 0)
    end
  end
  return table.unpack(task.results, 2, task.results.n)
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
  run_ready()
  step(queue.first <= queue.last and 0 or now() + (timeout or 0))
  run_ready()
  return true
end

return loop
