--- One microVM: its state and its verbs.
-- A machine owns its configuration, its flow, the VMM's process and one stack of what has to be undone. However it ends,
-- the stack is unwound in reverse. It knows no paths of the API: handlers and the client do.
-- @module firecracker.machine

local config = require "firecracker.config"
local core = require "firecracker.core"
local ending = require "firecracker.machine.ending"
local errors = require "firecracker.errors"
local flow = require "firecracker.flow"
local lazy = require "firecracker.lazy"
local loop = require "firecracker.loop"
local paths = require "firecracker.machine.paths"
local process = require "firecracker.machine.process"
local undo = require "firecracker.undo"

local events = lazy "firecracker.events"
local text = lazy "firecracker.text"
local turn = lazy "firecracker.machine.turn"

local files = core.files
local machine = {}

local methods = {}
local metatable = { __name = "firecracker.vm", __close = ending.methods.close, __gc = ending.collect }

for _, part in ipairs { process, ending, paths } do
  for name, method in pairs(part.methods) do
    methods[name] = method
  end
end

-- What few programs need is loaded when it is called.
for name, module in pairs { dial = "vsock", listen = "vsock", console = "console" } do
  methods[name] = function (...)
    local method = require("firecracker." .. module).of_machine[name]
    methods[name] = method
    return method(...)
  end
end

local OPTIONS <const> = { "flow", "via" }

local function refuse (message, ...)
  errors.raise(2, { code = "usage", message = message:format(...) })
end

-- A flow, its name or path, or options of which it is one: the flow, and whether the start is by file.
local function wanted_start (wanted)
  if flow.is(wanted) or type(wanted) ~= "table" then
    return wanted, false
  end
  for key in pairs(wanted) do
    if key ~= "flow" and key ~= "via" then
      refuse("options.%s: unknown key%s", tostring(key), text.suggest(key, OPTIONS))
    end
  end
  local via = wanted.via
  if via ~= nil and via ~= "api" and via ~= "config_file" then
    refuse("options.via: 'api' or 'config_file' expected, got %s", type(via) == "string" and ("'%s'"):format(via) or type(via))
  end
  return wanted.flow, via == "config_file"
end

local function own_flow (wanted)
  if flow.is(wanted) then
    return wanted:copy()
  elseif type(wanted) == "string" then
    return flow.load(wanted)
  end
  refuse("flow: a flow, its name or its path expected, got %s", type(wanted))
end

--- Make a machine. Nothing is started or created.
-- @tparam[opt] table settings configuration; checked, completed and copied
-- @tparam[opt="boot"] table|string wanted a flow, its name or its path; copied. Or options: `flow`, the same, and `via`: "api", or
-- "config_file" to start the VMM with Firecracker's own file instead of a request for each section
-- @treturn[1] table vm
-- @return[2] nil
-- @treturn[2] err code "flow": the flow cannot be loaded
function machine.new (settings, wanted)
  local checked = config.check(settings or {}, 2)
  local by_file
  wanted, by_file = wanted_start(wanted)
  local steps, err = own_flow(wanted or "boot")
  if not steps then
    return nil, err
  end
  if checked.jailer then
    steps = require("firecracker.jail").adapt(steps, checked.jailer.chroot_strategy)
    if not flow.is(steps) then
      refuse("config.jailer.chroot_strategy: a flow expected of it, got %s", type(steps))
    end
  end
  local id = checked.id
  if not id then
    id, err = files.random_hex(4)
    if not id then
      return nil, err
    end
  end
  return setmetatable({
    id = id, config = checked, flow = steps, by_file = by_file, undo = undo.new(), quiet = not checked.log,
    phase = "new",   -- "new", "vmm" (its API answers), "running", "paused"; what ended it is in `exit`
  }, metatable)
end

local computed = {}

-- "new", "starting", "vmm", "running", "paused", "exited", "failed", "closed".
function computed.state (self)
  if self.closed then
    return "closed"
  elseif self.failed then
    return "failed"
  end
  return process.exit(self) and "exited" or self.starting and "starting" or self.phase
end

-- Process id of the VMM while it runs.
function computed.pid (self)
  return self.process and not process.exit(self) and self.process:pid() or nil
end

-- Where the VMM's log goes: the file or FIFO of `config.logger`, else a file in the machine's directory.
function computed.log_path (self)
  local logger, fifo = self.config.logger, self.fifos and self.fifos.logger
  return logger and (logger.log_path or fifo and fifo.path or logger.fifo) or self.vmm_log_path
end

-- Down to which level it logs.
function computed.log_level (self)
  return self.config.logger and (self.config.logger.level or "Info") or "Warning"
end

-- What a start or a restore asks for while it is absent; any other name may be a verb, and few programs use one.
local FIELDS <const> = {
  closed = true, dropped = true, failed = true, starting = true, given_up = true, settling = true, undo_errors = true,
  process = true, exit = true, api = true, directory = true, has_directory = true, netns = true, socket_path = true,
  vmm_log_path = true, stderr_path = true, vsock_path = true, addresses = true, ip_argument = true, leased = true, nat = true,
  taps = true, hung = true, jail = true, jailer_process = true, readers = true, fifos = true,
  attachments = true, manifest = true, vmm_release = true, servants = true, listeners = true,
  turn = true, staging_turn = true,
}

function metatable.__index (self, key)
  local method = methods[key]
  if method then
    return method
  end
  local compute = computed[key]
  if compute then
    return compute(self)
  elseif not FIELDS[key] then
    return require("firecracker.machine.verbs").methods[key]
  end
end

function metatable.__tostring (self)
  local parts = { ("<vm %s %s"):format(self.id, self.state) }
  local size = self.config.machine_config
  parts[#parts + 1] = ("%d vCPU"):format(size.vcpu_count)
  parts[#parts + 1] = ("%d MiB"):format(size.mem_size_mib)
  if self.pid then
    parts[#parts + 1] = "pid " .. self.pid
  end
  return table.concat(parts, ", ") .. ">"
end

--- Tell `config.log` of something.
-- @function vm:emit
-- @tparam table event `event` and what fits; `id`, `time` and `level` are filled
function methods:emit (event)
  if self.quiet then
    return
  end
  local may_fail = self.starting == loop.context() and event.event ~= "exit"   -- who learns of the end cleans up next
  local tell = (may_fail and events.teller or events.unfailing)(self.config, self.id)
  tell(event)
end

--- Remember how to take back what was just acquired. Unwinding runs these in reverse, each once.
-- @function vm:defer
-- @tparam string name for reports
-- @tparam function fn called as `fn(vm, record)`; fails by raising or by `nil, err`
-- @param[opt] record what would be needed to do the same after a crash
-- @treturn table entry for `vm.undo:undo`, @{firecracker.undo}
function methods:defer (name, fn, record)
  return self.undo:push(name, fn, record)
end

--- Make the machine's own directory, `vm.directory`, in `config.run_dir`; a second call finds it made. An id of ours that
-- is taken is drawn anew: whoever derives a name from `vm.id` calls this first.
-- @function vm:own_directory
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:own_directory ()
  if self.has_directory then
    return true
  end
  local base = self.config.run_dir
  local ok, err = files.mkdir_private(base)
  if not ok then
    return nil, errors.context(err, "config.run_dir")
  end
  while true do
    local path = base .. "/" .. self.id
    ok, err = files.mkdir(path)
    if ok then
      self.directory, self.has_directory = path, true
      self:defer("run directory", function ()
        self.has_directory = nil
        return files.remove_directory(path)
      end, { path = path })
      return true
    elseif err.errno ~= "EEXIST" or self.config.id then
      err.hint = err.errno == "EEXIST" and "another machine has this id, or one that is gone left it" or nil
      return nil, err
    end
    self.id = assert(files.random_hex(4))
  end
end

--- Run the flow: from nothing to a running guest. When a step fails all before it are undone.
-- @function vm:start
-- @tparam[opt] table options `timeout` in seconds (default `timeouts.start`)
-- @treturn[1] table vm
-- @return[2] nil
-- @treturn[2] err with `handler`, `done`, `undone`
function methods:start (options)
  if self.state ~= "new" then
    return process.refuse(self, "start", "new")
  end
  local deadline = loop.limit("start", options, self.config.timeouts.start)
  self.starting = loop.context()
  local returned, ok, err = pcall(loop.under, deadline, self.flow.run, self.flow, self)
  self.starting, self.failed = nil, not (returned and ok) or nil
  loop.fire(self)
  if not self.failed then
    return self
  end
  if not returned then   -- cancelled, or Ctrl-C; undone as well
    error(ok, 0)
  end
  return nil, err
end

-- The VMM takes it twice as well, and has the word on the state: who gave up waiting for a change knows less.
local function change_state (self, verb, from, to, value, options)
  local deadline = loop.deadline(options.timeout or self.config.timeouts.request)
  local own <close>, err = turn.take(self, verb, deadline)
  if not own then
    return nil, err
  elseif self.state ~= from and self.state ~= to then
    return process.refuse(self, verb, from)
  end
  local ok
  ok, err = loop.under(deadline, self.api.patch_vm, self.api, { state = value }, options)
  if ok then
    self.phase = to
  end
  return ok, err
end

--- Stop the vCPUs. This and `resume` wait for the end of a snapshot that another task takes.
-- @function vm:pause
-- @tparam[opt] table options `timeout` in seconds
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:pause (options)
  return change_state(self, "pause", "running", "paused", "Paused", loop.options("pause", options))
end

--- Let the vCPUs go on.
-- @function vm:resume
-- @tparam[opt] table options `timeout` in seconds
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:resume (options)
  return change_state(self, "resume", "paused", "running", "Resumed", loop.options("resume", options))
end

--- Tell a machine from other values; one of another copy of this library is one.
-- @param value anything
-- @treturn boolean
function machine.is (value)
  return (getmetatable(value) or {}).__name == metatable.__name
end

return machine
