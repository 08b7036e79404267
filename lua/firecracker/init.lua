--- Firecracker microVMs from Lua.
-- What fails in the world returns `nil, err`; misuse raises. Time limits are seconds, given as `timeout`.
-- @module firecracker

local api_client = require "firecracker.api.client"
local config_file = require "firecracker.config.file"
local core = require "firecracker.core"
local drives = require "firecracker.drives"
local errors = require "firecracker.errors"
local flow = require "firecracker.flow"
local handler = require "firecracker.handler"
local handlers = require "firecracker.handlers"
local kernel_args = require "firecracker.kernel_args"
local loop = require "firecracker.loop"
local machine = require "firecracker.machine"
local many = require "firecracker.loop.many"
local rate_limiter = require "firecracker.rate_limiter"
local version = require "firecracker.version"

if core.version ~= version.string then
  error(("firecracker %s found a C core of version %s: reinstall it"):format(version.string, core.version), 0)
end

local fc = {
  _VERSION = "firecracker " .. version.string,
  version = version,
  handlers = handlers,
  handler = handler.new,
  config = { load = config_file.load, dump = config_file.dump },
  drives = drives,
  kernel_args = kernel_args.new,
  rate_limiter = rate_limiter.new,
  null = core.json.null,
  loop = loop,
  run = loop.run, spawn = loop.spawn, sleep = loop.sleep,
  all = many.all, map = many.map,
}

--- The time on the clock that all time limits use.
-- @treturn number seconds of CLOCK_MONOTONIC
fc.now = core.now

--- Mark a table as a JSON array; an empty table is an object otherwise.
-- @function array
-- @tparam[opt] table list
-- @treturn table the same table
fc.array = core.json.array

--- A flow: made of lists, or a fresh copy loaded by name or path.
-- @tparam table|string wanted `{ validation = {…}, fcinit = {…} }`, "boot", or a path
-- @tparam[opt] table arguments handed to the script as `...`
-- @treturn[1] table flow
-- @return[2] nil
-- @treturn[2] err code "flow"
function fc.flow (wanted, arguments)
  if type(wanted) == "string" then
    return flow.load(wanted, arguments)
  end
  return flow.new(wanted)
end

--- Make a machine; nothing is started or created.
-- @tparam table config
-- @tparam[opt="boot"] table|string wanted a flow, its name or its path; or options: `flow`, and `via`: "api" or "config_file"
-- @treturn[1] table vm
-- @return[2] nil
-- @treturn[2] err
fc.new = machine.new

--- Make a machine and start it.
-- @tparam table config
-- @tparam[opt="boot"] table|string wanted a flow, its name or its path; or options: `flow`, and `via`: "api" or "config_file"
-- @treturn[1] table vm, its guest running
-- @return[2] nil
-- @treturn[2] err with `handler`, `done`, `undone`
function fc.boot (config, wanted)
  local vm, err = machine.new(config, wanted)
  if not vm then
    return nil, err
  end
  return vm:start()
end

--- A client of the API at a socket, without a machine.
-- @tparam string path
-- @tparam[opt] table options `timeout` in seconds, `log` (function of an event)
-- @treturn table client; close it
function fc.client (path, options)
  if type(path) ~= "string" then
    errors.raise(2, { code = "usage", message = ("client: path expected, got %s"):format(type(path)) })
  end
  return api_client.new(path, { timeout = options and options.timeout, log = options and options.log })
end

--- The command that a configuration starts, @{firecracker.launch.command.show}; nothing is started or made.
-- @tparam table config
-- @treturn[1] table `argv`, and of a jailed machine `root` and `staging`; prints as lines
-- @return[2] nil
-- @treturn[2] err
function fc.command (config)
  return require("firecracker.launch.command").show(config)
end

-- What only some programs need is loaded when it is asked for.
local LATER <const> = { jail = "firecracker.jail", testing = "firecracker.testing" }

return setmetatable(fc, { __index = function (self, name)
  local module = LATER[name] and require(LATER[name])
  rawset(self, name, module)
  return module
end })
