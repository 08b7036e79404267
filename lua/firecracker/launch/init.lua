--- The ways to start a VMM. Each has `find(config)`, `start(vm [, arguments])` and `await(vm)`.
-- @module firecracker.launch

local direct = require "firecracker.launch.direct"

local launch = {}

--- The way of a machine.
-- @tparam table config
-- @treturn table @{firecracker.launch.direct}, or the jailer's
function launch.of (config)
  return config.jailer and require "firecracker.launch.jailer" or direct
end

return launch
