--- The guest's serial port at a pseudo-terminal.
-- @module firecracker.launch.terminal

local core = require "firecracker.core"
local events = require "firecracker.events"
local loop = require "firecracker.loop"

local files = core.files
local terminal = {}

-- What the pump may take to hand over the last bytes of a VMM that is gone.
local LAST_BYTES <const> = 5

-- Hand on what the pseudo-terminal brings until its last writer is gone. A sink that fails is told of once and the
-- terminal is drained all the same: a full one would hold the VMM up.
local function pump (tell, stream, sink)
  while true do
    local bytes = stream:read()
    if bytes then
      local ok, problem = true, nil
      if sink then
        ok, problem = pcall(sink, bytes)
      end
      if not ok then
        sink = nil
        tell { event = "console", level = "error", err = problem, message = "config.console failed: " .. tostring(problem) }
      end
    elseif bytes == nil then
      break
    else
      loop.park(math.huge, stream:key())
    end
  end
  stream:finish()
end

-- The last bytes of a VMM that is gone; they stay with whoever holds the console.
local function drain (stream)
  local deadline = core.now() + LAST_BYTES
  while not select(2, stream:peek()) and (loop.park(deadline, stream:key()) or core.now() < deadline) do end
  stream:finish()
  loop.fire(stream:key())
end

--- Open a pseudo-terminal that is always drained: by a pump into the sink, or into a ring for `vm:console()`.
-- @tparam table vm gets `terminal`, the core's stream
-- @tparam[opt] function sink gets its bytes
-- @treturn[1] fd the VMM's end, for its descriptor 1
-- @treturn[1] fd the same, for its descriptor 0
-- @return[2] nil
-- @treturn[2] err
function terminal.open (vm, sink)
  local master, slave = files.open_pty()
  if not master then
    return nil, slave
  end
  local stream, err = core.stream.open(master, vm.config.console_size, not sink)
  if not stream then
    slave:close()
    return nil, err
  end
  vm.terminal, vm.terminal_stream = stream, nil
  local task = sink and vm:serve(pump, events.unfailing(vm.config, vm.id), stream, sink)
  vm:defer("console", function ()
    slave:close()   -- a VMM that never started left it open
    if not task then
      return drain(stream)
    end
    local problem
    if loop.context() == task then   -- the sink itself ends the machine: it gets the rest behind that
      stream:fill()
    else
      problem = select(2, task:wait { timeout = LAST_BYTES })
    end
    stream:finish()
    return problem == nil, problem
  end)
  return slave, slave
end

return terminal
