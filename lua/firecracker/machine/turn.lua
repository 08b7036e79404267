--- Whose turn it is to change the state of a machine's guest: one that is paused for a snapshot stays so until that is written.
-- @module firecracker.machine.turn

local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local turn = {}

local metatable = {
  __close = function (own)
    own.vm.turn = nil
    loop.fire(own)
  end,
}

local nested = setmetatable({}, { __close = function () end })

--- Wait until nobody else changes the state. Who has the turn already waits for nobody.
-- @tparam table vm
-- @tparam string verb
-- @tparam number deadline a time of core.now()
-- @treturn[1] table for a `<close>` variable
-- @return[2] nil
-- @treturn[2] err code "timeout"
function turn.take (vm, verb, deadline)
  local here = loop.context()
  while vm.turn do
    local other = vm.turn
    if other.context == here then
      return nested
    elseif not loop.park(deadline, other) and vm.turn then
      return nil, errors.new { code = "timeout", operation = verb,
        message = ("cannot %s machine %s: another task's %s of it does not end in time"):format(verb, vm.id, other.verb) }
    end
  end
  vm.turn = setmetatable({ vm = vm, verb = verb, context = here }, metatable)
  return vm.turn
end

return turn
