--- The VMM's process as a machine owns it: how it ended, its last words, and ending it.
-- @module firecracker.machine.process

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local lazy = require "firecracker.lazy"
local loop = require "firecracker.loop"

local events = lazy "firecracker.events"
local last_words = lazy "firecracker.machine.last_words"

local files = core.files
local process = {}

--- Seconds that ending it may take: after SIGKILL only the kernel can delay the end.
process.REAP = 10

--- The reason of an end that somebody else was told of.
process.UNKNOWN = "whoever reaped it has its exit status"

-- Ends that Firecracker has numbers for.
local SECCOMP <const> = "it made a system call that its seccomp filter forbids"
local REASONS <const> = {
  [148] = SECCOMP,
  [149] = "SIGBUS: a file that it maps was cut short, or no memory was left for it",
  [151] = "SIGXFSZ: a file of its would have grown beyond its limit (ulimit -f, jailer.resource_limits.fsize)",
  [154] = "SIGXCPU: it has used up its processor time (ulimit -t)",
}

local LAST_MOMENT <const> = 1   -- seconds from a guest's end to its VMM's

--- Methods of a machine.
process.methods = {}

-- Why, as far as Firecracker does not say it itself.
local function reason (self, exit)
  local oom = (exit.signal == 9 or exit.unknown) and self.jail and require("firecracker.launch.cgroups").oom(self)
  return oom or exit.signal == 31 and SECCOMP or REASONS[exit.exited]
    or exit.unknown and process.UNKNOWN or nil
end

--- How the process ended, once it has: `{ exited = n }`, `{ signal = n }` or `{ unknown = true }`.
-- @tparam table self the machine
-- @treturn ?table
function process.exit (self)
  if not self.exit and self.process then
    local how, n = self.process:poll()
    if how then
      self.exit = how == "exited" and { exited = n } or how == "signaled" and { signal = n } or { unknown = true }
      self.exit.reason = reason(self, self.exit)
      loop.anchor(self.process, nil)
      self:emit { event = "exit", exited = self.exit.exited, signal = self.exit.signal, unknown = self.exit.unknown }
    end
  end
  return self.exit
end

--- The error of a verb in the wrong state.
-- @tparam table self the machine
-- @tparam string verb
-- @tparam string wanted the state it needs
-- @return nil
-- @treturn table err code "state"
function process.refuse (self, verb, wanted)
  return nil, errors.new {
    code = "state", operation = verb,
    message = ("cannot %s machine %s: it is %s, not %s"):format(verb, self.id, self.state, wanted),
  }
end

--- Whether a process has a thread of a name: "fc_api", or "fc_vcpu" until the guest ends, of which nobody else knows.
-- @tparam int pid
-- @tparam string name how it begins
-- @treturn ?boolean nil: it is gone itself
function process.has_thread (pid, name)
  local tasks = ("/proc/%d/task/"):format(pid)
  local threads = files.list(tasks)
  for _, thread in ipairs(threads or {}) do
    local comm <close> = io.open(tasks .. thread .. "/comm")
    if comm and (comm:read "l" or ""):sub(1, #name) == name then
      return true
    end
  end
  return threads and false
end

-- Whether a guest's end left its VMM behind. A program that only started the VMM (`vmm.binary`) never had a vCPU.
local function is_left_behind (pid)
  return process.has_thread(pid, "fc_api") and process.has_thread(pid, "fc_vcpu") == false
end

--- Wait for its end.
-- @tparam table self the machine
-- @tparam number deadline a time of core.now()
-- @treturn boolean false when the deadline came first
function process.await (self, deadline)
  local child = self.process   -- one whose start fails is forgotten meanwhile
  while not child:poll() do
    if not loop.park(deadline, child:key()) and not child:poll() then
      return false
    end
  end
  process.exit(self)
  return true
end

local function end_process (self)
  if process.exit(self) then
    if self.phase == "new" then   -- StartVMM did not succeed; called by hand it may be tried again
      self.process, self.exit = nil, nil
    end
    return true
  end
  local ok, err = self.process:signal "KILL"
  if not ok then
    return nil, err
  elseif not process.await(self, core.now() + process.REAP) then
    return nil, errors.new { code = "timeout", message = ("process %d does not end"):format(self.process:pid()) }
  end
  return end_process(self)
end

--- Take over a VMM's process: it is ended when the machine is unwound. For launchers.
-- @function vm:own_process
-- @tparam process child
-- @tparam {string,...} argv its command line
function process.methods:own_process (child, argv)
  self.process = child
  loop.anchor(child, true)
  self:defer("process", end_process, { pid = child:pid() })
  if self.given_up then   -- it comes too late
    child:signal "KILL"
  end
  self:emit { event = "spawn", level = "debug", pid = child:pid(), argv = argv }
end

--- Start a task that hands what the VMM says to a function of the user's, for launchers and readers. Whoever unwinds the
-- machine waits for its end; so where that function ends the machine, the task waits for nobody who does so already.
-- @function vm:serve
-- @tparam function fn
-- @param ... its arguments
-- @treturn table task
function process.methods:serve (fn, ...)
  local task = loop.background(fn, ...)
  self.servants = self.servants or {}
  self.servants[task] = true
  return task
end

--- Hand signals of this process on to the VMM, see `fc.forward_signals`.
-- @function vm:forward_signals
-- @tparam[opt] {string,...} list
-- @treturn[1] table forwarding; close it
-- @return[2] nil
-- @treturn[2] err
function process.methods:forward_signals (list)
  if not self.process or process.exit(self) then
    return process.refuse(self, "forward signals to", "started")
  end
  return require "firecracker.signals".forward(self, list, events.unfailing(self.config, self.id))
end

--- The error of a VMM that ended: how, and its last words.
-- @function vm:exited_error
-- @treturn table err code "exited", with `exited` or `signal`, and `stderr`
function process.methods:exited_error ()
  return last_words.error(self, process.exit(self))
end

--- The same of an end that is known.
-- @function vm:ended_error
-- @tparam table exit `exited`, `signal` or `unknown`
-- @tparam[opt="the VMM"] string who ended, unless its last words are the jailer's
-- @treturn table err
function process.methods:ended_error (exit, who)
  return last_words.error(self, exit, who)
end

--- End a VMM that hangs. Where a request comes as the guest ends, Firecracker (1.12) never answers it and never ends: its
-- main thread waits for the API's, which waits for the answer. For the API client, when an answer is late.
-- @function vm:hangs
-- @treturn boolean
function process.methods:hangs ()
  if process.exit(self) then
    return true
  elseif (self.phase ~= "running" and self.phase ~= "paused") or not is_left_behind(self.process:pid()) then
    return false
  elseif not process.await(self, core.now() + LAST_MOMENT) then
    local told = self.hung
    self.hung = "its guest had ended; a request of that moment keeps Firecracker from ending too: it was killed"
    if not told then
      self:emit { event = "warning", level = "warn", message = "the VMM hangs: " .. self.hung }
      self.process:signal "KILL"
    end
    return process.await(self, core.now() + process.REAP)
  end
  return true
end

--- Why the API does not answer, if it is because the VMM has ended. For the API client.
-- @function vm:gone
-- @tparam number patience seconds; a connection breaks a moment before its process is gone
-- @treturn ?table err
function process.methods:gone (patience)
  if process.await(self, core.now() + patience) then
    return self:exited_error()
  end
end

return process
