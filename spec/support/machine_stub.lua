--- As much of a machine as a flow needs: an undo stack, a config, and what was told to `emit`.
local loop = require "firecracker.loop"
local undo = require "firecracker.undo"

return function (config)
  local vm = { undo = undo.new(), config = config or {}, events = {}, undone = {} }

  function vm:defer (...)
    self.undo:push(...)
  end

  function vm:emit (event)
    self.events[#self.events + 1] = event
  end

  function vm.serve (_, ...)
    return loop.background(...)
  end

  -- Push an entry that notes its name when it runs.
  function vm:acquire (name)
    self:defer(name, function () self.undone[#self.undone + 1] = name end)
  end

  return vm
end
