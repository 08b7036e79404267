--- The ways to start a VMM. Each has `find(config)`, `start(vm [, arguments])`, which returns a watch on the API's
-- socket, to be closed, and `await(vm, watch)`.
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
-- @treturn[1] {string,...} argv, which prints as a line for a shell; of a jailed machine with `root` and `staging`, see
-- @{firecracker.launch.command}
-- @return[2] nil
-- @treturn[2] err code "spawn": the program is not there
function launch.command (settings)
  local vm, err = require "firecracker.machine".new(settings)
  if not vm then
    return nil, err
  end
  local command = require "firecracker.launch.command"
  return (vm.config.jailer and command.jailed or command.plain)(vm)
end

return launch
