--- Waiting inside somebody else's event loop: cqueues. (Any other loop polls `loop:pollfd()` and calls `loop:step()`.)
-- @module firecracker.loop.outer

local outer = {}

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
-- @tparam function now the clock
function outer.poll (cqueues, loop, wait, deadline, now)
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

return outer
