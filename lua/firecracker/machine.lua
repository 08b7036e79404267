--- One microVM: its state and its verbs.
-- A machine owns its configuration, its flow, the VMM's process and one stack of what has to be undone. However it ends,
-- the stack is unwound in reverse. It knows no paths of the API: handlers and the client do.
-- @module firecracker.machine

local config = require "firecracker.config"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local events = require "firecracker.events"
local flow = require "firecracker.flow"
local loop = require "firecracker.loop"
local undo = require "firecracker.undo"

local files = core.files
local machine = {}

local methods = {}
local metatable = { __name = "firecracker.vm" }

-- After SIGKILL only the kernel can delay the end.
local REAP <const> = 10
local TAIL <const> = 2048   -- bytes of the VMM's last words kept in an error

--- Make a machine. Nothing is started or created.
-- @tparam[opt] table settings configuration; checked, completed and copied
-- @tparam[opt="boot"] table|string wanted a flow, its name or its path; copied
-- @treturn[1] table vm
-- @return[2] nil
-- @treturn[2] err code "flow": the flow cannot be loaded
function machine.new (settings, wanted)
  local checked = config.check(settings or {}, 2)
  local steps, err = wanted or "boot"
  if flow.is(steps) then
    steps = steps:copy()
  elseif type(steps) == "string" then
    steps, err = flow.load(steps)
    if not steps then
      return nil, err
    end
  else
    errors.raise(2, { code = "usage", message = ("flow: a flow, its name or its path expected, got %s"):format(type(steps)) })
  end
  local id = checked.id
  if not id then
    id, err = files.random_hex(4)
    if not id then
      return nil, err
    end
  end
  return setmetatable({
    id = id, config = checked, flow = steps, undo = undo.new(),
    phase = "new",   -- "new", "vmm" (its API answers), "running", "paused"; what ended it is in `exit`
  }, metatable)
end

---------------------------------------------------------------------------------------------------
-- State
---------------------------------------------------------------------------------------------------

-- How the process ended, once it has: { exited = n }, { signal = n } or { unknown = true }.
local function look_for_exit (self)
  if not self.exit and self.process then
    local how, n = self.process:poll()
    if how then
      self.exit = how == "exited" and { exited = n } or how == "signaled" and { signal = n } or { unknown = true }
      loop.anchor(self.process, nil)
      self:emit { event = "exit", exited = self.exit.exited, signal = self.exit.signal, unknown = self.exit.unknown }
    end
  end
  return self.exit
end

local computed = {}

-- "new", "starting", "vmm", "running", "paused", "exited", "failed", "closed".
function computed.state (self)
  if self.closed then
    return "closed"
  elseif self.failed then
    return "failed"
  end
  return look_for_exit(self) and "exited" or self.starting and "starting" or self.phase
end

-- Process id of the VMM while it runs.
function computed.pid (self)
  return self.process and not look_for_exit(self) and self.process:pid() or nil
end

function metatable.__index (self, key)
  local method = methods[key]
  if method then
    return method
  end
  local compute = computed[key]
  return compute and compute(self)
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
  events.teller(self.config, self.id)(event)
end

--- Remember how to take back what was just acquired. Unwinding runs these in reverse, each once.
-- @function vm:defer
-- @tparam string name for reports
-- @tparam function fn called as `fn(vm, record)`; fails by raising or by `nil, err`
-- @param[opt] record what would be needed to do the same after a crash
function methods:defer (name, fn, record)
  self.undo:push(name, fn, record)
end

local function state_error (self, verb, wanted)
  return nil, errors.new {
    code = "state", operation = verb,
    message = ("cannot %s machine %s: it is %s, not %s"):format(verb, self.id, self.state, wanted),
  }
end

---------------------------------------------------------------------------------------------------
-- The process
---------------------------------------------------------------------------------------------------

-- Wait for its end; true, or false when the deadline came first.
local function await_exit (self, deadline)
  while not look_for_exit(self) do
    if not loop.park(deadline, self.process:key()) and not look_for_exit(self) then
      return false
    end
  end
  return true
end

local end_process
function end_process (self)
  if look_for_exit(self) then
    if self.phase == "new" then   -- StartVMM did not succeed; called by hand it may be tried again
      self.process, self.exit = nil, nil
    end
    return true
  end
  local ok, err = self.process:signal "KILL"
  if not ok then
    return nil, err
  elseif not await_exit(self, core.now() + REAP) then
    return nil, errors.new { code = "timeout", message = ("process %d does not end"):format(self.process:pid()) }
  end
  return end_process(self)
end

--- Take over a VMM's process: it is ended when the machine is unwound. For launchers.
-- @function vm:own_process
-- @tparam process process
-- @tparam {string,...} argv its command line
function methods:own_process (process, argv)
  self.process = process
  loop.anchor(process, true)
  self:defer("process", end_process, { pid = process:pid() })
  self:emit { event = "spawn", level = "debug", pid = process:pid(), argv = argv }
end

local function tail (path)
  local text = path and files.tail(path, TAIL)
  return text and text:match "^%s*(.-)%s*$" or ""
end

--- The error of a VMM that ended: how, and its last words.
-- @function vm:exited_error
-- @treturn table err code "exited", with `exited` or `signal`, and `stderr`
function methods:exited_error ()
  local exit = look_for_exit(self)
  local words = tail(self.stderr_path)
  if words == "" then
    words = tail(self.log_path)
  end
  local how = exit.exited and "exited with status " .. exit.exited or exit.signal and "was ended by signal " .. exit.signal
    or "ended, and somebody else took its exit status"
  local last = words:match "[^\n]*$"
  return errors.new {
    code = "exited", exited = exit.exited, signal = exit.signal, stderr = words ~= "" and words or nil,
    message = ("the VMM %s%s"):format(how, last ~= "" and ": " .. last or ""),
  }
end

--- Why the API does not answer, if it is because the VMM has ended. For the API client.
-- @function vm:gone
-- @tparam number patience seconds; a connection breaks a moment before its process is gone
-- @treturn ?table err
function methods:gone (patience)
  if await_exit(self, core.now() + patience) then
    return self:exited_error()
  end
end

---------------------------------------------------------------------------------------------------
-- Ending
---------------------------------------------------------------------------------------------------

-- Unwind once; whoever else asks meanwhile waits for the outcome.
local function settle (self)
  while self.settling do
    loop.park(math.huge, self)
  end
  if self.settled then
    return
  end
  self.settling = true
  local names, failures = self.undo:unwind(0, self)
  self.undo_errors = #failures > 0 and failures or self.undo_errors
  self:emit { event = "undo", level = #failures > 0 and "error" or "debug", undone = names, errors = failures }
  self.settling, self.settled = nil, true
  loop.fire(self)
end

local outcome_metatable = {
  __name = "firecracker.outcome",
  __tostring = function (self)
    local how = self.exited and "exited " .. self.exited or self.signal and "signal " .. self.signal
      or self.unknown and "ended, status unknown" or "never started"
    return ("<%s%s>"):format(how, self.by and ", by " .. self.by or "")
  end,
}

local function outcome (self, by)
  local exit = look_for_exit(self) or {}
  return setmetatable({ by = by, exited = exit.exited, signal = exit.signal, unknown = exit.unknown,
                        undo_errors = self.undo_errors }, outcome_metatable)
end

--- Wait for the VMM's end and clean up after it.
-- @function vm:wait
-- @tparam[opt] table options `timeout` in seconds
-- @treturn[1] table `{ exited = status }`, `{ signal = number }` or `{ unknown = true }` (somebody else reaped it);
-- `undo_errors` when cleaning up failed in part
-- @return[2] nil
-- @treturn[2] err code "timeout" or "state"
function methods:wait (options)
  if not self.process then
    return state_error(self, "wait for", "started")
  end
  local began = core.now()
  if not await_exit(self, loop.deadline(options and options.timeout)) then
    return nil, errors.new { code = "timeout", message = ("machine %s did not end within %.3g s"):format(self.id, core.now() - began) }
  end
  settle(self)
  return outcome(self)
end

-- Ask the guest to shut down; true when it was asked.
local function ask_guest (self, deadline)
  if self.phase ~= "running" or not self.api or self.api.closed then
    return false
  end
  return self.api:put_actions({ action_type = "SendCtrlAltDel" }, { timeout = deadline - core.now() })
end

--- Ask the guest to shut down (Ctrl-Alt-Del) and wait for its end.
-- @function vm:shutdown
-- @tparam[opt] table options `timeout` (seconds, default `timeouts.shutdown`); `stop = true`: stop it when it does not obey
-- @treturn[1] table as of `vm:stop`
-- @return[2] nil
-- @treturn[2] err code "timeout", "state" or "api"
function methods:shutdown (options)
  options = options or {}
  if self.state ~= "running" then
    return state_error(self, "shut down", "running")
  end
  local deadline = loop.deadline(options.timeout or self.config.timeouts.shutdown)
  local ok, err = ask_guest(self, deadline)
  if ok and not await_exit(self, deadline) then
    ok, err = nil, errors.new { code = "timeout", message = ("the guest of machine %s did not shut down in time"):format(self.id) }
  end
  if ok or look_for_exit(self) then
    settle(self)
    return outcome(self, "shutdown")
  elseif options.stop then
    return self:stop { shutdown = 0 }
  end
  return nil, err
end

-- The ways to end a process, mildest first. Returns the name of the one that did.
local function escalate (self, options)
  local timeouts = self.config.timeouts
  local last = core.now() + (options.timeout or timeouts.stop)
  local function within (seconds)
    return math.min(core.now() + seconds, last)
  end
  if look_for_exit(self) then
    return "itself"
  end
  local patience = options.shutdown or timeouts.shutdown
  if patience > 0 then
    local deadline = within(patience)
    if ask_guest(self, deadline) and await_exit(self, deadline) then
      return "shutdown"
    end
  end
  for _, try in ipairs { { "TERM", options.term or timeouts.term }, { "KILL", REAP } } do
    local signal, seconds = table.unpack(try)
    local ok, err = true, nil
    if seconds > 0 then
      ok, err = self.process:signal(signal)
    end
    if not ok then
      return nil, err
    elseif seconds > 0 and await_exit(self, signal == "KILL" and core.now() + REAP or within(seconds)) then
      return signal:lower()
    end
  end
  return nil, errors.new { code = "timeout", message = ("process %d does not end, not even by SIGKILL"):format(self.process:pid()) }
end

--- End the machine and clean up: the guest's shutdown, then SIGTERM, then SIGKILL. Stopping twice, or one that never
-- started, is no error.
-- @function vm:stop
-- @tparam[opt] table options `timeout` (seconds until SIGKILL, default `timeouts.stop`), `shutdown` (seconds for the guest,
-- default `timeouts.shutdown`; 0 does not ask it), `term` (seconds after SIGTERM, default `timeouts.term`; 0 sends none)
-- @treturn[1] table `by` ("shutdown", "term", "kill"; "itself": it had ended; "nothing": there was no VMM), and how it
-- ended as of `vm:wait`
-- @return[2] nil
-- @treturn[2] err
function methods:stop (options)
  local by, err = "nothing", nil
  if self.process then
    by, err = loop.shielded(escalate, self, options or {})
  end
  if not by then
    return nil, err
  end
  settle(self)
  return outcome(self, by)
end

--- Send a signal to the VMM and do not wait.
-- @function vm:kill
-- @tparam[opt="KILL"] integer|string signal
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:kill (signal)
  if not self.process then
    return state_error(self, "signal", "started")
  end
  return self.process:signal(signal or "KILL")
end

--- Kill what runs, clean up, and give everything up. Closing twice is no error.
-- @function vm:close
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:close ()
  if self.closed then
    return true
  end
  local ended, err = self:stop { shutdown = 0, term = 0 }
  if self.api then
    self.api:close()
  end
  if not ended then
    return nil, err
  end
  self.closed = true
  if ended.undo_errors then
    return nil, ended.undo_errors[1].err
  end
  return true
end

metatable.__close = methods.close

-- Nothing waits in a finalizer. A dropped machine is killed now, and a task cleans up after it when the loop moves. When
-- the whole state closes, the process's handle is gone already (its own finalizer has killed the VMM): what needs no
-- waiting is undone here.
function metatable.__gc (self)
  if self.closed or self.settled or not self.process then
    return
  end
  local open, ended = pcall(self.process.poll, self.process)
  if ended and open then
    loop.background(self.close, self)
    return
  end
  local kill = self.config.when_dropped == "kill"
  warn(("firecracker: machine %s was dropped while it ran; it %s. Close machines."):format(self.id,
    kill and "is killed" or "goes on"))
  if kill and open then
    self.process:signal "KILL"
    loop.background(self.close, self)
  elseif kill then
    self.undo:unwind(0, self)
  end
end

---------------------------------------------------------------------------------------------------
-- Living
---------------------------------------------------------------------------------------------------

--- Run the flow: from nothing to a running guest. When a step fails all before it are undone.
-- @function vm:start
-- @tparam[opt] table options `timeout` in seconds (default `timeouts.start`)
-- @treturn[1] table vm
-- @return[2] nil
-- @treturn[2] err with `handler`, `done`, `undone`
function methods:start (options)
  if self.state ~= "new" then
    return state_error(self, "start", "new")
  end
  self.starting = true
  local deadline = loop.deadline(options and options.timeout or self.config.timeouts.start)
  local returned, ok, err = pcall(loop.under, deadline, self.flow.run, self.flow, self)
  self.starting = nil
  if returned and ok then
    return self
  end
  self.failed = true
  if not returned then   -- cancelled; undone as well
    error(ok, 0)
  end
  return nil, err
end

local function change_state (self, verb, from, to, value)
  if self.state ~= from then
    if self.state == to then
      return true   -- the VMM takes it twice as well
    end
    return state_error(self, verb, from)
  end
  local ok, err = self.api:patch_vm { state = value }
  if not ok then
    return nil, err
  end
  self.phase = to
  return true
end

--- Stop the vCPUs.
-- @function vm:pause
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:pause ()
  return change_state(self, "pause", "running", "paused", "Paused")
end

--- Let the vCPUs go on.
-- @function vm:resume
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:resume ()
  return change_state(self, "resume", "paused", "running", "Resumed")
end

--- What the VMM says of itself.
-- @function vm:info
-- @treturn[1] table `id`, `state` ("Not started", "Running", "Paused"), `vmm_version`, `app_name`
-- @return[2] nil
-- @treturn[2] err
function methods:info ()
  if not self.api then
    return state_error(self, "ask", "started")
  end
  return self.api:get_instance_info()
end

--- Tell a machine from other values.
-- @param value anything
-- @treturn boolean
function machine.is (value)
  return getmetatable(value) == metatable
end

return machine
