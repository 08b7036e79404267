--- Firecracker microVMs from Lua.
-- What fails in the world returns `nil, err`; misuse raises. Time limits are seconds, given as `timeout`.
-- @module firecracker

local api_client = require "firecracker.api.client"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local flow = require "firecracker.flow"
local handler = require "firecracker.handler"
local handlers = require "firecracker.handlers"
local lazy = require "firecracker.lazy"
local loop = require "firecracker.loop"
local machine = require "firecracker.machine"
local version = require "firecracker.version"

if core.version ~= version.string then
  error(("firecracker %s found a C core of version %s: reinstall it"):format(version.string, core.version), 0)
end

local config_file = lazy "firecracker.config.file"

local fc = {
  _VERSION = "firecracker " .. version.string,
  version = version,
  handlers = handlers,
  handler = handler.new,
  config = {
    load = function (...) return config_file.load(...) end,
    dump = function (...) return config_file.dump(...) end,
  },
  null = core.json.null,
  loop = loop,
  sleep = loop.sleep,
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

--- Make a machine of a snapshot: run the flow of scripts/restore.lua.
-- @tparam table config its section `snapshot` says what is loaded
-- @tparam[opt="restore"] table|string wanted a flow, its name or its path; or options: `flow`
-- @treturn[1] table vm, its guest paused unless `snapshot.resume_vm`
-- @return[2] nil
-- @treturn[2] err with `handler`, `done`, `undone`
function fc.restore (config, wanted)
  if type(wanted) == "table" and not flow.is(wanted) then
    if wanted.via == "config_file" then
      errors.raise(2, { code = "usage", message = "options.via: 'config_file': Firecracker's file loads no snapshot" })
    end
    local options = { flow = "restore" }
    for name, value in pairs(wanted) do
      options[name] = value
    end
    wanted = options
  end
  return fc.boot(config, wanted or "restore")
end

local CLIENT_OPTIONS <const> = { timeout = "seconds", log = true }

--- A client of the API at a socket, without a machine.
-- @tparam string path
-- @tparam[opt] table options `timeout` in seconds, `log` (function of an event)
-- @treturn table client; close it
function fc.client (path, options)
  if type(path) ~= "string" then
    errors.raise(2, { code = "usage", message = ("client: path expected, got %s"):format(type(path)) })
  end
  options = loop.options("client", options, CLIENT_OPTIONS)
  return api_client.new(path, { timeout = options.timeout, log = options.log })
end

--- Hand signals of this process on to a machine's VMM. They are blocked for this thread, and read in the loop, until the VMM
-- ends or the forwarding is closed; no handler is installed.
-- @tparam table vm a machine that has a VMM
-- @tparam[opt={"INT","QUIT","TERM","HUP","ABRT"}] {string|integer,...} list names or numbers
-- @treturn[1] table forwarding; close it
-- @return[2] nil
-- @treturn[2] err
function fc.forward_signals (vm, list)
  if not machine.is(vm) then
    errors.raise(2, { code = "usage", message = ("forward_signals: machine expected, got %s"):format(errors.shown(vm)) })
  end
  return vm:forward_signals(list)
end

-- What only some programs need is loaded when it is asked for: a module, or a field of one.
local LATER <const> = {
  command = { "firecracker.launch", "command" },
  run = { "firecracker.loop.scope", "run" }, spawn = { "firecracker.loop.scope", "spawn" },
  all = { "firecracker.loop.many", "all" }, map = { "firecracker.loop.many", "map" },
  drives = { "firecracker.drives" }, jail = { "firecracker.jail" }, net = { "firecracker.network" },
  testing = { "firecracker.testing" }, vsock = { "firecracker.vsock" },
  logs = { "firecracker.logs" }, metrics = { "firecracker.metrics" }, snapshot = { "firecracker.snapshot" },
  kernel_args = { "firecracker.kernel_args", "new" }, rate_limiter = { "firecracker.rate_limiter", "new" },
}

return setmetatable(fc, { __index = function (self, name)
  local later = LATER[name]
  if later then
    local module, field = require(later[1]), later[2]
    self[name] = field and module[field] or module
    return self[name]
  end
end })
