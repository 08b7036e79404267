--- The SHA-256 of a large file, by sha256sum in a process of its own: the loop goes on.
-- @module firecracker.snapshot.hash

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local files = core.files

local function find (name)
  for directory in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    local path = directory .. "/" .. name
    if files.access(path, "x") then
      return path
    end
  end
  return nil, errors.new { code = "spawn", message = name .. " is not on PATH" }
end

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
  local program, err = find "sha256sum"
  local input <close>, problem = files.open(path, "r")
  if not program or not input then
    return nil, err or problem
  end
  local master, slave = files.open_pty()
  if not master then
    return nil, slave
  end
  local stream <close> = assert(core.stream.open(master))
  local null <close> = assert(files.open("/dev/null", "r+"))
  local process
  process, err = core.process.spawn { path = program, argv = { program }, environment = { "LC_ALL=C" }, cwd = "/",
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
