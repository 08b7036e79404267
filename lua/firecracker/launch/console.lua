--- Where the VMM's standard output goes: the guest's serial port.
-- Never a bare pipe: a full one blocks the VMM's API, and one without a reader hangs it for ever.
-- @module firecracker.launch.console

local core = require "firecracker.core"
local lazy = require "firecracker.lazy"
local loop = require "firecracker.loop"

local events = lazy "firecracker.events"

local files = core.files
local console = {}

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

-- A pseudo-terminal that is always drained: by a pump into the sink, or into a ring for `vm:console()`.
local function open_terminal (vm, sink)
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
  local task = sink and loop.background(pump, events.teller(vm.config, vm.id), stream, sink)
  vm:defer("console", function ()
    slave:close()   -- a VMM that never started left it open
    if not task then
      return drain(stream)
    end
    local _, problem = task:wait { timeout = LAST_BYTES }
    stream:finish()
    return problem == nil, problem
  end)
  return slave, slave
end

--- Open what `config.console` names.
-- @tparam table vm gets `terminal`, the core's stream, where it is a pseudo-terminal
-- @tparam[opt] fd null /dev/null, where it is open for both
-- @treturn[1] fd for the VMM's descriptor 1, perhaps `null`; the caller closes it once the VMM has it
-- @treturn[1] ?fd for its descriptor 0, where that is not /dev/null
-- @return[2] nil
-- @treturn[2] err
function console.open (vm, null)
  local wanted = vm.config.console
  if type(wanted) == "function" or wanted == "pty" then
    return open_terminal(vm, wanted ~= "pty" and wanted or nil)
  elseif wanted == "null" then
    return null or files.open("/dev/null", "r+")
  elseif wanted == "inherit" then
    return files.reopen(1)
  end
  return files.open(wanted, "a")
end

return console
