--- What waits and what is to be resumed: the loop's state, which all copies of this library in a Lua state share.
-- A key is what the core fires (an integer), or any Lua value given to @{fire}. A wait is a table of its `key` and the
-- `other`; `fired` becomes true with the first of them. The one who waits is a task (`wait.task`) or has a function (`wait.signal`).
-- @module firecracker.loop.keys

local core = require "firecracker.core"
local errors = require "firecracker.errors"

local keys = {}

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

local waits, queue = state.waits, state.queue

keys.state = state

--- What deadline and cancelling apply to: the task that runs, the main thread, or a coroutine of another loop's.
-- @treturn table with `deadline` and `shield`
function keys.context ()
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

--- Have a wait fired by a key.
-- @param key
-- @tparam table wait
function keys.add (key, wait)
  local have = waits[key]
  if not have then
    waits[key] = wait
  elseif have.list then
    have.list[#have.list + 1] = wait
  else
    waits[key] = { list = { have, wait } }
  end
end

--- Take that back.
-- @param key
-- @tparam table wait
function keys.drop (key, wait)
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

--- Have a task resumed in the next turn.
-- @tparam table task
function keys.enqueue (task)
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
    keys.enqueue(wait.task)
  elseif wait.signal then
    wait.signal()
  end
end

--- Wake whoever waits for a key.
-- @param key any value but nil
function keys.fire (key)
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

-- Counts while something moves the loop, however that ends.
local function stop_moving ()
  state.moving = state.moving - 1
  if state.kick then
    kick()
  end
end
local moving = setmetatable({}, { __close = stop_moving })
--- Say that the loop is being moved, until the value returned is closed, or a wait with `moves`.
-- @treturn table for a `<close>` variable
function keys.moving ()
  state.moving = state.moving + 1
  if state.kicked then
    state.kicked = nil
    state.kick:disarm()
  end
  return moving
end

-- A wait leaves nothing behind, however it ends (an error from Ctrl-C included).
keys.wait_metatable = {
  __close = function (wait)
    if wait.moves then
      stop_moving()
    end
    if wait.key ~= nil then
      keys.drop(wait.key, wait)
    end
    if wait.other ~= nil then
      keys.drop(wait.other, wait)
    end
    local task = wait.task
    if task then
      if wait.timer_key then
        keys.drop(wait.timer_key, wait)
        task.timer:disarm()
      end
      task.waiting = nil
    end
  end,
}

--- Let the core wait until something happens or a deadline comes, and tell who waited for it: after an interruption too,
-- Lua's own hook raises for Ctrl-C. A key is taken off the core's queue once who waits for it has been told: Ctrl-C in
-- between loses nothing.
-- @tparam number deadline a time of core.now()
function keys.step (deadline)
  local ok, key = reactor:step(deadline)
  if ok == nil then
    error(key, 0)
  end
  while key do
    keys.fire(key)
    key = reactor:told(key)
  end
end

--- Keep a value from being collected, or stop keeping it.
-- @param value
-- @tparam ?boolean keep
function keys.anchor (value, keep)
  state.anchors[value] = keep or nil
end

return keys
