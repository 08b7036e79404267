--- The SHA-256 of a large file, by sha256sum in a process of its own: the loop goes on.
-- @module firecracker.snapshot.hash

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local program = require "firecracker.launch.program"

local files = core.files

-- However it is left, the program does not stay.
local ending = {
  __close = function (guard)
    local process = guard.process
    if not process:poll() then
      process:signal "KILL"
      loop.shielded(function ()
        while not process:poll() do
          loop.park(math.huge, process:key())
        end
      end)
    end
    process:close()
  end,
}

-- Everything a stream has until its end.
local function read_all (stream)
  local parts = {}
  while true do
    local bytes, err = stream:read()
    if bytes then
      parts[#parts + 1] = bytes
    elseif bytes == nil then
      return table.concat(parts), err
    elseif not loop.park(math.huge, stream:key()) then
      return nil, errors.new { code = "timeout", message = "hashing did not end in time" }
    end
  end
end

--- Hash a file.
-- @tparam string path
-- @treturn[1] string 64 hexadecimal digits
-- @return[2] nil
-- @treturn[2] err code "spawn", "system", "timeout"
return function (path)
  local sum = program.search "sha256sum"
  local input <close>, problem = files.open(path, "r")
  if not sum or not input then
    return nil, problem or errors.new { code = "spawn", message = "sha256sum is not on PATH" }
  end
  local master, slave = files.open_pty()
  if not master then
    return nil, slave
  end
  local stream <close> = assert(core.stream.open(master))
  local null <close> = assert(files.open("/dev/null", "r+"))
  local process, err = core.process.spawn { path = sum, argv = { sum }, environment = { "LC_ALL=C" }, cwd = "/",
                                      stdio = { input, slave, null }, kill_when_dropped = true }
  slave:close()
  if not process then
    return nil, err
  end
  local _ <close> = setmetatable({ process = process }, ending)
  local text
  text, err = read_all(stream)
  local hash = text and text:match "^(%x+)  %-%s*$"
  if not hash or #hash ~= 64 then
    return nil, errors.context(err or errors.new { code = "system", message = "sha256sum said: " .. text }, path)
  end
  return hash
end
