--- The ways to start a VMM. Each has `find(config)`, `command(vm, binary [, arguments])`, `start(vm [, arguments])`
-- and `await(vm)`.
-- @module firecracker.launch

local direct = require "firecracker.launch.direct"

local launch = {}

--- The way of a machine.
-- @tparam table config
-- @treturn table @{firecracker.launch.direct}, or the jailer's
function launch.of (config)
  return config.jailer and require "firecracker.launch.jailer" or direct
end

--- The command line that starts a machine's VMM; nothing is started or made.
-- @tparam table settings configuration
-- @treturn[1] {string,...} argv
-- @return[2] nil
-- @treturn[2] err code "spawn": the program is not there
function launch.command (settings)
  local vm, err = require "firecracker.machine".new(settings)
  if not vm then
    return nil, err
  end
  local way = launch.of(vm.config)
  local binary
  binary, err = way.find(vm.config)
  if not binary then
    return nil, err
  end
  return way.command(vm, binary)
end

return launch
