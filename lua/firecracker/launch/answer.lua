--- Having a program say something. The other tasks go on meanwhile; however it ends, the program does not stay.
-- @module firecracker.launch.answer

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local files = core.files

local AFTER_KILL <const> = 10   -- seconds until a killed process is reaped

local function finish (process, deadline)
  while not process:poll() and loop.park(deadline, process:key()) do end
  return process:poll()
end

local ending = {
  __close = function (guard)
    local process <close> = guard.process
    if not process:poll() then
      process:signal "KILL"
      loop.shielded(finish, process, core.now() + AFTER_KILL)
    end
  end,
}

-- Everything a stream has until its end.
local function read_all (stream, deadline, name)
  local parts = {}
  while true do
    local bytes, err = stream:read()
    if bytes then
      parts[#parts + 1] = bytes
    elseif bytes == nil then
      return not err and table.concat(parts) or nil, err
    elseif not loop.park(deadline, stream:key()) then
      return nil, errors.new { code = "timeout", message = name .. " does not end in time" }
    end
  end
end

-- The process, and the stream of what it says.
local function spawn (argv, environment, input)
  local null <close>, err = files.open("/dev/null", "r+")
  if not null then
    return nil, err
  end
  local master, slave = files.open_pty()
  if not master then
    return nil, slave
  end
  local output <close> = slave
  local stream, process
  stream, err = core.stream.open(master)
  if stream then
    process, err = core.process.spawn {
      path = argv[1], argv = argv, environment = environment, cwd = "/", stdio = { input or null, output, null },
      kill_when_dropped = true,
    }
  end
  if stream and not process then
    stream:close()
  end
  return process, err or stream
end

--- Run a program and give what it writes to its standard output.
-- @function answer
-- @tparam {string,...} argv its path first
-- @tparam {string,...} environment
-- @tparam ?fd input absent: none
-- @tparam number deadline a time of core.now()
-- @treturn[1] string
-- @return[2] nil
-- @treturn[2] err code "spawn", "system" or "timeout"
return function (argv, environment, input, deadline)
  local process, stream = spawn(argv, environment, input)
  if not process then
    return nil, stream
  end
  local output <close> = stream
  local _ <close> = setmetatable({ process = process }, ending)
  local text, err = read_all(output, deadline, argv[1]:match "[^/]*$")
  if text then
    finish(process, deadline)
  end
  return text, err
end
