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
  stream:close()
end

local function open_pump (vm, sink)
  local master, slave = files.open_pty()
  if not master then
    return nil, slave
  end
  local stream, err = core.stream.open(master)
  if not stream then
    slave:close()
    return nil, err
  end
  local task = loop.background(pump, events.teller(vm.config, vm.id), stream, sink)
  vm:defer("console", function ()
    slave:close()   -- a VMM that never started left it open
    local _, problem = task:wait { timeout = LAST_BYTES }
    stream:close()
    return problem == nil, problem
  end)
  return slave
end

--- Open what `config.console` names.
-- @tparam table vm
-- @tparam[opt] fd null /dev/null, where it is open for both
-- @treturn[1] fd for the VMM's descriptor 1, perhaps `null`; the caller closes it once the VMM has it
-- @return[2] nil
-- @treturn[2] err
function console.open (vm, null)
  local wanted = vm.config.console
  if type(wanted) == "function" then
    return open_pump(vm, wanted)
  elseif wanted == "null" then
    return null or files.open("/dev/null", "r+")
  elseif wanted == "inherit" then
    return files.reopen(1)
  end
  return files.open(wanted, "a")
end

return console
