--- Whose turn it is: to change the state of a machine's guest (one that is paused for a snapshot stays so until that is written), or
-- which files are in its jail.
-- @module firecracker.machine.turn

local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local turn = {}

local metatable = {
  __close = function (own)
    own.vm[own.field] = nil
    loop.fire(own)
  end,
}

local nested = setmetatable({}, { __close = function () end })

--- Wait until nobody else has the turn. Who has it already waits for nobody.
-- @tparam table vm
-- @tparam string verb
-- @tparam number deadline a time of core.now()
-- @tparam[opt="turn"] string field of the machine: "turn", or "staging_turn" for the jail's files
-- @treturn[1] table for a `<close>` variable
-- @return[2] nil
-- @treturn[2] err code "timeout"
function turn.take (vm, verb, deadline, field)
  field = field or "turn"
  local here = loop.context()
  while vm[field] do
    local other = vm[field]
    if other.context == here then
      return nested
    elseif not loop.park(deadline, other) and vm[field] then
      return nil, errors.new { code = "timeout", operation = verb,
        message = ("cannot %s machine %s: another task's %s of it does not end in time"):format(verb, vm.id, other.verb) }
    end
  end
  vm[field] = setmetatable({ vm = vm, field = field, verb = verb, context = here }, metatable)
  return vm[field]
end

return turn
