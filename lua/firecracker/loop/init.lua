--- Tasks and the one place to wait.
-- Code that waits looks as if it blocked. In a task it yields and the others go on; on the main thread it drives the
-- loop, all tasks moving; where a task cannot yield (table.sort, a metamethod, a coroutine that is no task) it drives
-- I/O for its own wait only. Time limits are seconds, turned once into a deadline, and bound everything called below.
-- It starts no thread and installs no signal handler.
-- @module firecracker.loop

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local keys = require "firecracker.loop.keys"
local lazy = require "firecracker.lazy"

local outer = lazy "firecracker.loop.outer"
local task = lazy "firecracker.loop.task"
local text = lazy "firecracker.text"

local loop = {}

local now <const> = core.now
local NEVER <const> = math.huge

local state = keys.state
local tasks, queue = state.tasks, state.queue
local context, add, step, moving, wait_metatable = keys.context, keys.add, keys.step, keys.moving, keys.wait_metatable
local running <const>, math_type <const> = coroutine.running, math.type
local reactor <const>, waits <const> = core.reactor(), state.waits

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

---------------------------------------------------------------------------------------------------
-- Waiting
---------------------------------------------------------------------------------------------------

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

-- Whether nobody else is to be told of this key, the core's own: then the core can wait for it.
local function untold (key)
  return waits[key] == nil and math_type(key) == "integer"
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
  if is_main and queue.first > queue.last and key ~= nil and untold(key) and (other == nil or untold(other)) and
      reactor:await(deadline, key, other) then
    return true
  end
  local wait <close> = setmetatable({ fired = false, moves = false, key = key, other = other }, wait_metatable)
  if key ~= nil then
    add(key, wait)
  end
  if other ~= nil then
    add(other, wait)
  end
  local self, cqueues = tasks[thread], not is_main and package.loaded.cqueues and outer.cqueues()
  if is_main then
    drive(wait, deadline, true)
  elseif self and coroutine.isyieldable() then
    task.park(self, wait, deadline)
  elseif cqueues then
    outer.poll(cqueues, loop, wait, deadline)
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
local TIMEOUT <const> = { timeout = "seconds" }

local function refuse_option (verb, name, value, known)
  local message
  if known[name] then
    message = ("%s expected, got %s"):format(known[name], errors.shown(value))
  else
    local names = {}
    for each in pairs(known) do
      names[#names + 1] = each
    end
    message = "unknown key" .. text.suggest(name, names)
  end
  errors.raise(3, { code = "usage", message = ("%s: %s: %s"):format(verb, tostring(name), message) })
end

--- Check what a verb is given as its options: a table or nil, each of its keys known. What is wrong raises.
-- @tparam string verb
-- @tparam ?table options
-- @tparam[opt] table known name -> type of the value, "integer", "seconds" for a time limit, true for what the verb checks itself;
-- absent: `timeout` alone
-- @treturn table options; where there are none an empty table, not to be written to
function loop.options (verb, options, known)
  if options == nil then
    return NONE
  elseif type(options) ~= "table" then
    errors.raise(2, { code = "usage",
      message = ("%s: table of options expected, got %s"):format(verb, type(options)) })
  end
  known = known or TIMEOUT
  for name, value in next, options do
    local kind, given = known[name], type(value)
    local fits = given == kind or kind == true or kind == "seconds" and given == "number" and value == value
      or kind == "integer" and math.type(value) == kind
    if not fits then
      refuse_option(verb, name, value, known)
    end
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

-- What only programs with tasks, or with another event loop, need.
local LATER <const> = {
  spawn = "firecracker.loop.scope", background = "firecracker.loop.scope", run = "firecracker.loop.scope",
  pollfd = "firecracker.loop.outer", events = "firecracker.loop.outer", timeout = "firecracker.loop.outer",
  step = "firecracker.loop.outer",
}

return setmetatable(loop, { __index = function (self, name)
  local module = LATER[name]
  if module then
    self[name] = require(module)[name]
    return rawget(self, name)
  end
end })
