--- How machines end: by themselves, stopped, killed, closed, or dropped. Whatever the way, the undo stack is unwound.
-- @module firecracker.machine.ending

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local process = require "firecracker.machine.process"
local undo = require "firecracker.undo"

local ending = {}

--- Methods of a machine.
ending.methods = {}

local methods = ending.methods

-- Somebody else is at the undo stack: unwinding it, or adding to it. A step that ends its own machine waits for nobody.
local function is_taken (self)
  return self.settling or self.starting and self.starting ~= loop.context()
end

local settled = { __close = function (mark)
  mark.vm.settling = nil
  loop.fire(mark.vm)
end }

-- Unwind all there is, and tell of it; nobody else does meanwhile.
local function unwind (self)
  self.settling = true
  local _ <close> = setmetatable({ vm = self }, settled)
  local names, failures = self.undo:unwind(0, self)
  self.undo_errors = #failures > 0 and failures or self.undo_errors
  return names, failures
end

-- Unwind what there is, once nobody else is at it; false when the deadline came first.
local function settle (self, deadline)
  while is_taken(self) do
    if self.servants and self.servants[loop.context()] then
      return true
    elseif not loop.park(deadline, self) and is_taken(self) then
      return false
    end
  end
  if #self.undo == 0 then
    return true
  end
  local names, failures = unwind(self)
  self:emit { event = "undo", level = #failures > 0 and "error" or "debug", undone = names, errors = failures }
  local interruption = undo.interruption(failures)
  if interruption then
    error(interruption, 0)
  end
  return true
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
  local exit = process.exit(self) or {}
  return setmetatable({ by = by, exited = exit.exited, signal = exit.signal, unknown = exit.unknown, reason = exit.reason,
                        undo_errors = self.undo_errors }, outcome_metatable)
end

-- Wait for the VMM's end; a connection to it, which it takes time to give up, is given up meanwhile.
local function await_end (self, deadline)
  if self.api and self.api.rest then
    self.api:rest()
  end
  return process.await(self, deadline)
end

--- Wait for the VMM's end and clean up after it.
-- @function vm:wait
-- @tparam[opt] table options `timeout` in seconds
-- @treturn[1] table `{ exited = status }`, `{ signal = number }` or `{ unknown = true }` (somebody else reaped it), with `reason`
-- where one is known (out of memory, a limit, the seccomp filter); `undo_errors` when cleaning up failed in part
-- @return[2] nil
-- @treturn[2] err code "timeout" or "state"
function methods:wait (options)
  local began, deadline = core.now(), loop.limit("wait", options)
  if self.process and not (await_end(self, deadline) and settle(self, deadline)) then
    return nil, errors.new { code = "timeout", message = ("machine %s did not end within %.3g s"):format(self.id, core.now() - began) }
  elseif not self.process then   -- nor is there one whose start failed meanwhile
    return process.refuse(self, "wait for", "started")
  end
  return outcome(self)
end

-- Ask the guest to shut down; true when it was asked.
local function ask_guest (self, deadline)
  if self.phase ~= "running" or not self.api then
    return false
  end
  return self.api:put_actions({ action_type = "SendCtrlAltDel" }, { timeout = deadline - core.now() })
end

local SHUTDOWN_OPTIONS <const> = { timeout = "seconds", stop = "boolean" }

--- Ask the guest to shut down (Ctrl-Alt-Del) and wait for its end.
-- @function vm:shutdown
-- @tparam[opt] table options `timeout` (seconds, default `timeouts.shutdown`); `stop = true`: stop it when it does not obey
-- @treturn[1] table as of `vm:stop`
-- @return[2] nil
-- @treturn[2] err code "timeout", "state" or "api"
function methods:shutdown (options)
  options = loop.options("shutdown", options, SHUTDOWN_OPTIONS)
  if self.state ~= "running" then
    return process.refuse(self, "shut down", "running")
  end
  local deadline = loop.deadline(options.timeout or self.config.timeouts.shutdown)
  local ok, err = ask_guest(self, deadline)
  if ok and not await_end(self, deadline) then
    ok, err = nil, errors.new { code = "timeout", message = ("the guest of machine %s did not shut down in time"):format(self.id) }
  end
  if ok or process.exit(self) then
    settle(self, math.huge)
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
  if process.exit(self) then
    return "itself"
  end
  local patience = options.shutdown or timeouts.shutdown
  if patience > 0 then
    local deadline = within(patience)
    if ask_guest(self, deadline) and await_end(self, deadline) then
      return "shutdown"
    end
  end
  local jailer = self.config.jailer
  local deaf = jailer and jailer.new_pid_ns   -- the first process of a namespace hears of the signals from outside SIGKILL alone
  for _, try in ipairs { { "TERM", deaf and 0 or options.term or timeouts.term }, { "KILL", process.REAP } } do
    local signal, seconds = table.unpack(try)
    local ok, err = true, nil
    if seconds > 0 then
      ok, err = self.process:signal(signal)
    end
    if not ok then
      return nil, err
    elseif seconds > 0 and await_end(self, signal == "KILL" and core.now() + process.REAP or within(seconds)) then
      return signal:lower()
    end
  end
  return nil, errors.new { code = "timeout", message = ("process %d does not end, not even by SIGKILL"):format(self.process:pid()) }
end

local STOP_OPTIONS <const> = { timeout = "seconds", shutdown = "seconds", term = "seconds" }

--- End the machine and clean up: the guest's shutdown, then SIGTERM, then SIGKILL. Stopping twice, or one that never
-- started, is no error. A start under way fails: it begins no further step, and the end of the one it is at is waited for.
-- @function vm:stop
-- @tparam[opt] table options `timeout` (seconds until SIGKILL, default `timeouts.stop`), `shutdown` (seconds for the guest,
-- default `timeouts.shutdown`; 0 does not ask it), `term` (seconds after SIGTERM, default `timeouts.term`; 0 sends none)
-- @treturn[1] table `by` ("shutdown", "term", "kill"; "itself": it had ended; "nothing": there was no VMM), and how it
-- ended as of `vm:wait`
-- @return[2] nil
-- @treturn[2] err
function methods:stop (options)
  options = loop.options("stop", options, STOP_OPTIONS)
  local by, err = "nothing", nil
  if self.starting then
    self.given_up = true
  end
  if self.process then
    by, err = loop.shielded(escalate, self, options)
  end
  if not by then
    return nil, err
  elseif not loop.shielded(settle, self, core.now() + self.config.timeouts.stop) then
    return nil, errors.new { code = "timeout", message = ("a step or an undo of machine %s does not end"):format(self.id) }
  end
  return outcome(self, by)
end

--- Send a signal to the VMM and do not wait.
-- @function vm:kill
-- @tparam[opt="KILL"] integer|string signal
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:kill (signal)
  if signal ~= nil then
    signal = select(2, require "firecracker.signals".find("kill", signal))
  end
  if not self.process then
    return process.refuse(self, "signal", "started")
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

-- A task closes it. Where the state closes before that has ended, the finalizer, set anew, comes once more, and first of all.
local function close_later (self)
  self.dropped = loop.background(self.close, self)
  setmetatable(self, getmetatable(self))
end

--- The finalizer of machines. Nothing waits in it. A dropped machine is killed now, and a task cleans up after it when
-- the loop moves, at the latest when the state closes. One that is dropped only then has lost its process's handle already
-- (whose own finalizer has killed the VMM): what needs no waiting is undone here. In a child that the host program forked,
-- the machine is the parent's.
function ending.collect (self)
  if self.closed or #self.undo == 0 or not self.process or not core.reactor():ours() then
    return
  elseif self.dropped then
    return self.dropped.done or self:close()
  end
  local open, ended = pcall(self.process.poll, self.process)
  if ended and open then
    return close_later(self)
  end
  local kill = self.config.when_dropped == "kill"
  warn(("firecracker: machine %s was dropped while it ran; it %s. Close machines."):format(self.id,
    kill and "is killed" or "goes on"))
  if kill and open then
    self.process:signal "KILL"
    close_later(self)
  elseif kill then
    self.undo:unwind(0, self)
  end
end

return ending
