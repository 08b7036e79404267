--- Inside somebody else's event loop (cqueues, luv): one descriptor, the time of the next step, and the step. Under cqueues
-- waits yield to its controller by themselves.
-- @module firecracker.loop.outer

local core = require "firecracker.core"
local keys = require "firecracker.loop.keys"
local task = require "firecracker.loop.task"

local outer = {}

local reactor = core.reactor()
local state, now <const> = keys.state, core.now
local queue, moving, step = state.queue, keys.moving, keys.step

--- The cqueues module, where the caller is a coroutine that its controller resumes.
-- @treturn ?table cqueues
function outer.cqueues ()
  local cqueues = package.loaded.cqueues
  if cqueues then
    local _, inside = cqueues.running()
    return inside and cqueues or nil
  end
end

--- Let cqueues' controller wait, until a wait of ours is fired or a deadline comes. Many coroutines may: whoever is
-- resumed steps for all, and who has been fired is told by a condition.
-- @tparam table cqueues
-- @tparam table loop
-- @tparam table wait gets `signal`, to be called when it is fired
-- @tparam number deadline a time of core.now()
function outer.poll (cqueues, loop, wait, deadline)
  local condition = require "cqueues.condition".new()
  function wait.signal ()
    condition:signal()
  end
  loop:step()
  while not wait.fired and now() < deadline do
    if deadline < math.huge then
      cqueues.poll(loop, condition, math.max(0, deadline - now()))
    else
      cqueues.poll(loop, condition)
    end
    loop:step()
  end
end

--- A descriptor that is readable when a step would do something.
-- @function loop:pollfd
-- @treturn[1] integer
-- @return[2] nil
-- @treturn[2] err
function outer.pollfd ()
  state.kick = state.kick or assert(reactor:timer())
  return reactor:pollfd()
end

--- What to wait for on it.
-- @function loop:events
-- @treturn string "r"
function outer.events ()
  return "r"
end

--- When to step even if it is not readable.
-- @function loop:timeout
-- @treturn ?number seconds; nil: not before it is readable
function outer.timeout ()
  if queue.first <= queue.last then
    return 0
  end
  return reactor:timeout()
end

--- Do what there is to do.
-- @function loop:step
-- @tparam[opt=0] number timeout seconds to wait for something
-- @treturn boolean true
function outer.step (_, timeout)
  local _ <close> = moving()
  task.run_ready()
  step(queue.first <= queue.last and 0 or now() + (timeout or 0))
  task.run_ready()
  return true
end

return outer
