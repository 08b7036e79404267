--- A task: a coroutine with a deadline, a scope that waits for its end, and a shield against being cancelled.
-- @module firecracker.loop.task

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local keys = require "firecracker.loop.keys"
local loop = require "firecracker.loop"

local task = {}

local now <const> = core.now
local NEVER <const> = math.huge

local reactor = core.reactor()
local state = keys.state
local tasks, queue = state.tasks, state.queue

--- The methods of tasks.
task.methods = {}

local metatable = { __name = "firecracker.task", __index = task.methods }

function metatable.__tostring (self)
  return ("<task %s>"):format(self.done and (self.err and "failed" or "done") or self.cancelled and "cancelled" or "running")
end

local function finish (self)
  self.done = true
  tasks[self.thread] = nil
  if self.timer then
    self.timer:close()
  end
  local scope = self.scope
  scope.live = scope.live - 1
  local as_asked = self.cancelled and self.err and self.err.code == "cancelled"
  if self.err and self.waiters == 0 and not as_asked then
    if scope == state.root then
      warn("firecracker: a task failed: " .. tostring(self.err))
    else
      scope.failures = (scope.failures or 0) + 1
      scope.failed = scope.failed or {}
      scope.failed[self] = scope.failures    -- somebody may still come and wait for it
    end
  end
  keys.fire(self)
  keys.fire(scope)
end

local function traceback (raised)
  return errors.from(raised, debug.traceback(nil, 2))
end

-- Twice does no harm: Ctrl-C may come in between. A step within a turn (another loop's, run by a task) has gone further.
local function take_off (at)
  local self = queue[at]
  if self then
    self.queued = false
    queue[at] = nil
  end
  queue.first = math.max(queue.first, at + 1)
end

-- What follows a task's turn, also when Ctrl-C raises on the main thread the moment the turn is over, or before it began:
-- then the task gets another, which does it no harm.
local turn_metatable = {
  __close = function (turn, raised)
    local self = turn.task
    take_off(turn.at)
    state.current = turn.before
    local status = coroutine.status(self.thread)
    if status == "normal" and not turn.over then   -- os.exit(code, true) in it: it never goes on
      self.cancelled, self.err = true, errors.new { code = "cancelled", message = "the task ended the process" }
      finish(self)
    elseif status ~= "dead" then
      if raised or not self.waiting then   -- a plain coroutine.yield: the others' turn, then this one's again
        keys.enqueue(self)
      end
    elseif not self.done then
      if not self.results and not self.err then
        self.err = errors.from(turn.problem)
      end
      finish(self)
    end
  end,
}

local function resume (self, at)
  local turn <close> = setmetatable({ task = self, at = at, before = state.current }, turn_metatable)
  take_off(at)
  if not self.done then
    state.current = self
    local _, problem = coroutine.resume(self.thread)
    turn.over, turn.problem = true, problem
  end
end

--- Resume what is queued now; what these queue is left for the next turn.
function task.run_ready ()
  for at = queue.first, queue.last do
    local self = queue[at]
    local status = self and coroutine.status(self.thread)
    if status == "running" or status == "normal" then   -- it steps the loop itself; its next wait tells it of a cancel
      take_off(at)
    elseif self then
      resume(self, at)
    end
  end
end

--- Make a task and have it resumed in the next turn.
-- @tparam table scope `live` counts its tasks; the scope itself is fired when one ends
-- @tparam number deadline a time of core.now()
-- @tparam function fn
-- @param ... its arguments
-- @treturn table task
function task.spawn (scope, deadline, fn, ...)
  local self = setmetatable({ scope = scope, deadline = deadline, shield = 0, waiters = 0,
    where = errors.where(2) }, metatable)
  local arguments = table.pack(...)
  self.thread = coroutine.create(function ()
    local results = table.pack(xpcall(fn, traceback, table.unpack(arguments, 1, arguments.n)))
    if results[1] then
      self.results = results
    else
      self.err = results[2]
    end
  end)
  tasks[self.thread] = self
  scope.live = scope.live + 1
  keys.enqueue(self)
  return self
end

local function check_cancelled (self)
  if self.cancelled and not self.told and self.shield == 0 then
    self.told = true
    error(errors.new { code = "cancelled", message = "the task was cancelled" }, 0)
  end
end

--- Wait in a task, for @{firecracker.loop.park}.
-- @tparam table self
-- @tparam table wait
-- @tparam number deadline a time of core.now()
function task.park (self, wait, deadline)
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

-- Who gives up waiting has not learned how it ended.
local waiter = { __close = function (mark) mark.task.waiters = mark.task.waiters - 1 end }

--- Wait for a task's end.
-- @tparam[opt] table options `timeout` in seconds
-- @return[1] what its function returned
-- @return[2] nil
-- @treturn[2] err what it raised, or code "timeout"
function task.methods:wait (options)
  local deadline = loop.limit("wait", options)
  self.waiters = self.waiters + 1
  local _ <close> = setmetatable({ task = self }, waiter)
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

--- Ask a task to end: what it waits for, or its next wait, raises an error with code "cancelled", once. Cleaning up is
-- not disturbed.
-- @treturn boolean false when it has ended already
function task.methods:cancel ()
  if self.done then
    return false
  end
  self.cancelled = true
  if self.shield == 0 then
    keys.enqueue(self)
  end
  return true
end

return task
