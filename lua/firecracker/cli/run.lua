--- `fclua run`: boot a machine by a flow, hand its serial port on, end with it.
-- Standard output is the guest's alone, and what is typed is for the guest, but for Ctrl-C, unless Ctrl-] comes before it.
-- The first signal or Ctrl-C stops the machine as `vm:stop` does, the second kills it.
-- @module firecracker.cli.run

local flags = require "firecracker.cli.flags"
local report = require "firecracker.cli.report"

local run = {
  name = "run",
  summary = "Boot a machine by a flow and wait for its end.",
  description = "Boots a machine by a flow and waits for its end. Standard output gets the guest's serial port,\n" ..
    "standard error a line a step. What is typed, or comes from standard input, goes to the serial port.\n" ..
    "Ctrl-C stops the machine, twice kills it; Ctrl-] Ctrl-C is a Ctrl-C for the guest, Ctrl-] twice a Ctrl-].\n" ..
    "What follows -- are the flow's arguments.",
  usage = "[FLOW] [OPTION…] [-- ARG…]",
  arguments = true,
}

local SIGPIPE <const> = 13
local EPIPE <const> = 32
local CTRL_C <const>, QUOTE <const> = "\3", "\x1d"   -- Ctrl-]
local PATIENCE <const> = 0.05   -- seconds for the rest of a guest's line

function run.define (command)
  command:help_description_margin(36)
  command:argument("flow", "a name, or the path of a script; default: boot"):args "?"
  flags.define(command)
  command:flag("-d --debug", "show every event, and tracebacks")
end

---------------------------------------------------------------------------------------------------
-- A session: one machine from its boot to its end.
---------------------------------------------------------------------------------------------------

local session = {}
session.__index = session

-- End the machine, for a signal or because nobody takes what the guest writes. Again: kill it.
function session:interrupt (reason, status)
  self:end_line()
  if not self.status then
    self.status = status
    report.note(reason .. ": stopping; the next signal kills")
    if not self.boot:cancel() then
      self.stop = self.loop.spawn(self.vm.stop, self.vm)
    end
  elseif self.vm.pid then
    report.note(reason .. ": killing")
    self.vm:kill()
  end
end

-- A SIGPIPE comes with the failed write, which is dealt with there.
function session:watch (signals)
  while true do
    local name, number = signals:next()
    if not name then
      self.loop.park(math.huge, signals:key())
    elseif number ~= SIGPIPE then
      self:interrupt("SIG" .. name, 128 + number)
    end
  end
end

-- The guest's bytes, as they come.
function session:write (bytes)
  local ok, problem, number = io.stdout:write(bytes)
  if ok then
    ok, problem, number = io.stdout:flush()
  end
  if ok then
    self.mid_line = bytes:sub(-1) ~= "\n"
    self.loop.fire(self)
    return
  end
  self.write = function () end
  if number ~= EPIPE then
    report.failure("standard output: " .. problem)
  end
  self:interrupt("standard output is gone", number == EPIPE and 128 + SIGPIPE or 1)
end

-- What of the typed bytes is for the guest: Ctrl-C is ours, any key behind Ctrl-] the guest's as it is.
function session:typed (bytes)
  return (bytes:gsub(".", function (key)
    if self.quoted then
      self.quoted = nil
    elseif key == CTRL_C then
      self:interrupt("Ctrl-C", 130)
      return ""
    elseif key == QUOTE then
      self.quoted = true
      return ""
    end
  end))
end

-- A guest that has begun a line mostly ends it at once: its line and ours stay whole.
function session:await_line ()
  local deadline = self.now() + PATIENCE
  while self.mid_line and self.loop.park(deadline, self) do end
end

-- On a terminal, which shows both streams, a report begins its own line.
function session:end_line ()
  if self.mid_line and self.one_terminal == nil then
    local is_terminal <const> = require("firecracker.core").terminal.is
    self.one_terminal = is_terminal(1) and is_terminal(2)
  end
  if self.mid_line and self.one_terminal then
    io.stderr:write "\n"
  end
  self.mid_line = false
end

-- What a machine tells of itself.
function session:event (event)
  if event.event == "exit" and event.exited ~= 0 and not event.unknown then
    self.exit_error = self.vm:exited_error()      -- now: its last words go with its directory
  end
  if event.event == "step" and event.phase ~= "begin" then
    self:await_line()
    self:end_line()
    local cancelled = event.err and event.err.code == "cancelled"
    report.timed(event.elapsed, event.name .. (cancelled and "  cancelled" or event.err and "  failed" or ""))
    self.running_since = event.time
  elseif event.level == "error" and event.message and event.event ~= "log" then
    self:end_line()
    report.failure(event.message)
  elseif event.event ~= "step" and self.options.debug then
    self:end_line()
    report.event(event)
  end
end

local function how_it_ended (exit)
  if exit.exited == 0 then
    return "the guest ended"
  end
  return exit.exited and "the VMM exited with status " .. exit.exited
    or exit.signal and "the VMM was ended by signal " .. exit.signal
    or "the VMM ended, and somebody else took its exit status"
end

-- Wait for the end of a machine that runs; the exit status, and what is to be said of it.
function session:wait ()
  local exit, err = self.vm:wait()
  if self.stop then
    exit, err = self.stop:wait()
  end
  if not exit then
    return 1, err
  end
  self:end_line()
  report.timed(self.now() - self.running_since, how_it_ended(exit))
  report.leftovers(exit.undo_errors)
  if self.status then
    return self.status
  end
  return exit.exited == 0 and not exit.undo_errors and 0 or 1, self.exit_error
end

-- From a machine that is made to its end; as `wait`.
function session:boot_and_wait ()
  self.running_since = self.now()
  local booted, err = self.boot:wait()
  if not booted and self.status and err.code == "cancelled" then
    report.leftovers(err.undo_errors)
    return self.status
  elseif not booted then
    return self.status or err.code == "config" and 2 or 1, err
  elseif self.status and not self.stop then       -- cancelled when there was nothing left to cancel
    self.stop = self.loop.spawn(self.vm.stop, self.vm)
  end
  local console = self.vm:console()     -- none where a step of the flow's has changed that
  local _ <close> = console and require "firecracker.console".keyboard(console, function (bytes) return self:typed(bytes) end)
  return self:wait()
end

function session:drive ()
  local began = self.now()
  local vm <close> = self.vm
  self.boot = self.loop.spawn(vm.start, vm)
  local status, err = self:boot_and_wait()
  report.timed(self.now() - began, "total")
  if err then
    report.failure(flags.blame(err, self.options), self.options.debug)
  end
  return status
end

-- Whether we were started by nohup: then SIGHUP stays ignored.
local function hangup_is_ignored ()
  for line in io.lines "/proc/self/status" do
    local mask = line:match "^SigIgn:%s*(%x+)"
    if mask then
      return tonumber(mask, 16) & 1 ~= 0
    end
  end
end

-- The signals that end the machine, and SIGPIPE, so that a write fails instead of ending us.
local function signal_names ()
  local names = { "PIPE", "INT", "QUIT", "TERM" }
  if not hangup_is_ignored() then
    names[#names + 1] = "HUP"
  end
  return names
end

-- A machine by the words of the command line, not yet started.
local function make (fc, options, self)
  local config, err = flags.config(options)
  if not config then
    return nil, err
  end
  local flow
  flow, err = fc.flow(options.flow or "boot", options.arguments)
  if not flow then
    return nil, err
  end
  config.log = function (event) self:event(event) end
  if not (config.jailer and config.jailer.daemonize) then
    config.console = function (bytes) self:write(bytes) end
  end
  return fc.new(config, flow)
end

local function main (options)
  local core, errors, fc = require "firecracker.core", require "firecracker.errors", require "firecracker"
  local self = setmetatable({ options = options, loop = fc.loop, now = fc.now }, session)
  local ok, vm, err = errors.pcall(make, fc, options, self)
  if not ok and errors.is_stop(vm) then
    error(vm, 0)
  elseif not ok or not vm then
    report.failure(flags.blame(ok and err or vm, options), options.debug)
    return 2
  end
  self.vm = vm
  -- Before the VMM is there: no signal ends this process and leaves the VMM behind.
  local signals <close> = assert(core.signals.open(signal_names()))
  local watcher = fc.spawn(self.watch, self, signals)
  local status = self:drive()
  watcher:cancel()
  watcher:wait()
  while signals:next() do end   -- one that is still there would end us at the close
  return status
end

--- Run the sub-command.
-- @tparam table options what was parsed
-- @treturn int exit status
function run.main (options)
  return require("firecracker.loop").run(main, options)
end

return run
