--- Running a program to its end, without a shell: what it reads is text, what it says comes back as text.
-- @module firecracker.network.command

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local program = require "firecracker.launch.program"

local files = core.files
local command = {}

local LARGEST <const> = 1 << 20   -- bytes of an answer
local AFTER_KILL <const> = 10     -- seconds until a killed process is reaped

-- Where programs for the network are, also for a user whose PATH lacks them.
local ALSO <const> = "/usr/local/sbin:/usr/sbin:/sbin"

--- The PATH that programs get: ours, and where those for the network are.
-- @treturn string
function command.path ()
  local path = os.getenv "PATH"
  return path and path ~= "" and path .. ":" .. ALSO or "/usr/local/bin:/usr/bin:/bin:" .. ALSO
end

--- Find a program.
-- @tparam string name
-- @tparam[opt] {string,...} directories absent: those of @{path}
-- @treturn[1] string absolute path
-- @return[2] nil
-- @treturn[2] err code "spawn"
function command.find (name, directories)
  local path = directories and table.concat(directories, ":") or command.path()
  local found = program.search(name, path)
  return found, not found and errors.new { code = "spawn", message = ("no program %s in %s"):format(name, path) } or nil
end

local function read (path)
  local file <close> = io.open(path, "rb")
  return file and file:read(LARGEST + 1) or ""
end

local function spawn (options, base, input)
  local file <close>, problem = io.open(base .. ".in", "wb")
  if not file or not file:write(input) or not file:close() then
    return nil, errors.new { code = "system", path = base, message = problem or "cannot write " .. base .. ".in" }
  end
  local stdin, stdout, stderr, err
  stdin, err = files.open(base .. ".in", "r")
  local _ <close> = stdin
  if stdin then
    stdout, err = files.open(base .. ".out", "w")
  end
  local _ <close> = stdout
  if stdout then
    stderr, err = files.open(base .. ".err", "w")
  end
  local _ <close> = stderr
  if not stderr then
    return nil, err
  end
  return core.process.spawn {
    path = options.path, argv = options.argv, environment = options.environment, cwd = "/",
    stdio = { stdin, stdout, stderr }, netns = options.netns, kill_when_dropped = true,
  }
end

-- Wait for its end; when the wait ends otherwise, so does the process.
local function finish (process, deadline)
  local _ <close> = setmetatable({}, { __close = function ()
    if not process:poll() then
      process:signal "KILL"
      loop.shielded(function ()
        local last = core.now() + AFTER_KILL
        while not process:poll() and core.now() < last do
          loop.park(last, process:key())
        end
      end)
    end
  end })
  while not process:poll() do
    if not loop.park(deadline, process:key()) and not process:poll() then
      return nil
    end
  end
  return process:poll()
end

--- Run a program to its end.
-- Its input and its answers are files in a directory of ours while it runs.
-- @tparam table options `path`; `argv`; `environment`, a list of "NAME=value"; `input`, text; `directory`, private to us; `netns`, a
-- descriptor; `timeout` in seconds
-- @treturn[1] string what it wrote to its standard output
-- @treturn[1] int its exit status, 0 where it says success
-- @treturn[1] string what it wrote to its standard error
-- @return[2] nil
-- @treturn[2] err code "spawn", "timeout" or "system"
function command.run (options)
  local suffix, err = files.random_hex(4)
  if not suffix then
    return nil, err
  end
  local base = ("%s/%s"):format(options.directory, suffix)
  local deadline = loop.deadline(options.timeout)
  local _ <close> = setmetatable({}, { __close = function ()
    for _, ending in ipairs { ".in", ".out", ".err" } do
      files.unlink(base .. ending)
    end
  end })
  local process
  process, err = spawn(options, base, options.input or "")
  if not process then
    return nil, errors.new { code = err.code == "system" and "spawn" or err.code, path = options.path, errno = err.errno,
                             message = ("cannot run %s: %s"):format(options.path, err.message) }
  end
  local _ <close> = process
  local how, status = finish(process, deadline)
  if not how then
    return nil, errors.new { code = "timeout", path = options.path, message = options.path .. " does not end in time" }
  end
  local out = read(base .. ".out")
  if #out > LARGEST then
    return nil, errors.new { code = "system", path = options.path, message = options.path .. " says too much" }
  end
  return out, how == "exited" and status or -1, read(base .. ".err"):sub(1, 4096)
end

return command
