--- Driving the reactor itself, below the loop: what specs of the C core wait with.
-- reactor.wait(ready): steps until ready() returns something true, which it returns; fails after ten seconds. What fires
-- meanwhile is told to the loop, whose tasks do not move.
-- reactor.poll(ready): the same for what nothing tells of: looks every millisecond
-- reactor.fired([seconds]): the keys that fire within that time (default: what has fired already), in order; of what this
-- file's specs have made, not of what others dropped
-- reactor.settle(): moves the loop until the tasks that other files' specs left have ended, as those of what is closed do,
-- and their timers have run out
-- reactor.seen[key]: whether it has fired in any of these
-- reactor.steps(fn): how many steps, and waits for a key, are made while fn runs, whoever makes them

local core = require "firecracker.core"
local loop = require "firecracker.loop"

local reactor = { seen = {} }

local PATIENCE <const> = 10

-- Keys grow: those of what this file's specs make are beyond one that is made before.
local first
do
  local timer <close> = assert(core.reactor():timer())
  first = timer:key()
end

function reactor.wait (ready)
  local it, deadline = core.reactor(), core.now() + PATIENCE
  while true do
    local result = ready()
    if result then
      return result
    end
    assert(core.now() < deadline, "nothing came in ten seconds")
    assert(it:step(deadline) ~= nil)
    for key in it.fired, it do
      reactor.seen[key] = true
      loop.fire(key)
    end
  end
end

function reactor.poll (ready)
  local timer <close> = assert(core.reactor():timer())
  return reactor.wait(function ()
    timer:arm(core.now() + 1e-3)
    return ready()
  end)
end

function reactor.fired (seconds)
  local it, deadline, keys = core.reactor(), core.now() + (seconds or 0), {}
  repeat
    assert(it:step(deadline))
    for key in it.fired, it do
      reactor.seen[key] = true
      if key > first then
        keys[#keys + 1] = key
      end
    end
  until core.now() >= deadline
  return keys
end

function reactor.settle ()
  local it, deadline = core.reactor(), core.now() + PATIENCE
  local state = it:state()
  while (next(state.tasks) or next(state.waits) or it:timeout()) and core.now() < deadline do
    loop.sleep(0.001)
  end
end

function reactor.steps (fn)
  local methods = debug.getmetatable(core.reactor()).__index
  local own, n = { step = methods.step, await = methods.await }, 0
  local function put (wrap)
    for name, method in pairs(own) do
      methods[name] = wrap(method)
    end
  end
  local _ <close> = setmetatable({}, { __close = function () put(function (method) return method end) end })
  put(function (method)
    return function (...)
      n = n + 1
      return method(...)
    end
  end)
  fn()
  return n
end

return reactor
