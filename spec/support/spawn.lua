--- Children of the core, for its specs.
-- spawn(program, options): program is shell text, or a list (argv; argv[1] is the path); options as of process.spawn, all
-- optional, stdio holds open fds or nil for /dev/null. Returns the process, or nil and err.
-- spawn.ended(process): waits for the end, returns what poll does
-- spawn.output(program, options): what it wrote to its standard output, and how it ended

local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local scratch = require "spec.support.scratch"

local spawn = {}

function spawn.start (program, options)
  options = options or {}
  local null <close> = assert(core.files.open("/dev/null", "r+"))
  local argv = type(program) == "table" and program or { "/bin/sh", "-c", program }
  local given = options.stdio or {}
  return core.process.spawn {
    path = options.path or argv[1],
    argv = argv,
    environment = options.environment or { "PATH=/usr/bin:/bin" },
    cwd = options.cwd,
    no_file = options.no_file,
    netns = options.netns,
    stdio = { given[1] or null, given[2] or null, given[3] or null },
  }
end

function spawn.ended (process)
  driver.wait(function () return process:poll() end)
  return process:poll()
end

function spawn.output (program, options)
  local name = scratch "output"
  local _ <close> = setmetatable({}, { __close = function () os.remove(name) end })
  assert(core.files.create(name))
  local file <close> = assert(core.files.open(name, "w"))
  options = options or {}
  options.stdio = { nil, file, file }
  local process <close> = assert(spawn.start(program, options))
  local how, status = spawn.ended(process)
  local written <close> = assert(io.open(name))
  return written:read "a", how, status
end

return setmetatable(spawn, { __call = function (_, ...) return spawn.start(...) end })
