--- Signals of this process handed on to its VMMs: only where asked for, by a signalfd in the loop.
-- While a forwarding is open its signals are blocked for the thread that opened it, so no handler runs and none ends this
-- process; no disposition is changed. What was blocked before is put back at the end. Signals are forwarded when the loop
-- moves: a program that computes without waiting is not interrupted.
-- @module firecracker.signals

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"

local signals = {}

local DEFAULT <const> = { "INT", "QUIT", "TERM", "HUP", "ABRT" }

local WEAK <const> = { __mode = "v" }   -- the loop has a hold on a forwarding: not on the machine, which may be dropped

-- By a signal's number: its descriptor, and whose VMMs get it. One descriptor for all: of several, one would get the signal.
local channels = {}

local function deliver (channel)
  local name, number = channel.signals:next()
  while name do
    for handle in pairs(channel.handles) do
      local ok, err = true, nil
      if not handle.process:poll() then
        ok, err = handle.process:signal(number)
      end
      handle.tell { event = "signal", level = ok and "debug" or "error", signal = name, err = err,
                    message = err and ("SIG%s: %s"):format(name, err.message) }
    end
    name, number = channel.signals:next()
  end
end

local function serve (channel)
  while next(channel.handles) do
    deliver(channel)
    loop.park(math.huge, channel.signals:key(), channel)
  end
end

local methods = {}
local metatable = { __name = "firecracker.forwarding", __index = methods }

function metatable:__tostring ()
  local names = {}
  for i, channel in ipairs(self.channels) do
    names[i] = channel.name
  end
  return ("<forwarding %s%s>"):format(table.concat(names, " "), self.closed and ", closed" or "")
end

--- Stop forwarding and put the signal mask back. What came until now is still forwarded. Closing twice is no error.
-- @function forwarding:close
function methods:close ()
  if self.closed then
    return
  end
  self.closed = true
  local undo = self.machine.undo
  if undo then
    undo:undo(self.entry)   -- a machine's life may see many
  end
  for _, channel in ipairs(self.channels) do
    deliver(channel)
    channel.handles[self] = nil
    if not next(channel.handles) then
      channels[channel.number] = nil
      loop.fire(channel)
      channel.signals:close()
    end
  end
  loop.fire(self)
end

metatable.__close = methods.close

-- With its VMM a forwarding ends; a signal that comes for nobody must not be held back.
local function await_end (handle)
  while not handle.closed and not handle.process:poll() do
    loop.park(math.huge, handle.process:key(), handle)
  end
  handle:close()
end

--- Look a signal up; an unknown one raises.
-- @tparam string verb
-- @tparam integer|string signal 15, "TERM", "SIGterm"
-- @treturn string its name
-- @treturn integer its number
function signals.find (verb, signal)
  local known, name, number = pcall(core.signals.find, type(signal) == "string" and signal:upper() or signal)
  if not known then
    errors.raise(2, { code = "usage", message = ("%s: %s"):format(verb, name:match "%((.*)%)$" or name) })
  end
  return name, number
end

local function channel_of (number, name)
  if not channels[number] then
    local opened, err = core.signals.open { number }
    if not opened then
      return nil, err
    end
    channels[number] = { signals = opened, handles = {}, number = number, name = name }
  end
  return channels[number]
end

-- As many as there are different ones: { number, name }. Each is checked before any is blocked.
local function wanted (list)
  if type(list) ~= "table" or (#list == 0 and next(list) ~= nil) then
    errors.raise(3, { code = "usage", message = ("forward_signals: list of signals expected, got %s"):format(errors.shown(list)) })
  end
  local found, seen = {}, {}
  for i, signal in ipairs(list) do
    local name, number = signals.find("forward_signals", signal)
    if name == "KILL" or name == "STOP" then
      errors.raise(3, { code = "usage", message = ("forward_signals: [%d]: %s cannot be caught"):format(i, name) })
    elseif not seen[number] then
      seen[number] = true
      found[#found + 1] = { number, name }
    end
  end
  return found
end

--- Forward signals of this process to a machine's VMM, until it ends or the forwarding is closed.
-- @tparam table vm a machine that has a VMM
-- @tparam {string|integer,...} list names or numbers; default INT, QUIT, TERM, HUP, ABRT
-- @tparam function tell gets events
-- @treturn[1] table forwarding; close it
-- @return[2] nil
-- @treturn[2] err
function signals.forward (vm, list, tell)
  local self = setmetatable({ channels = {}, process = vm.process, tell = tell, machine = setmetatable({}, WEAK) }, metatable)
  for _, signal in ipairs(wanted(list or DEFAULT)) do
    local returned, channel, err = pcall(channel_of, table.unpack(signal))
    if not returned or not channel then
      self:close()
      if not returned then
        error(channel, 0)
      end
      return nil, err
    end
    local is_new = not next(channel.handles)
    channel.handles[self] = true
    self.channels[#self.channels + 1] = channel
    if is_new then
      loop.background(serve, channel)
    end
  end
  loop.background(await_end, self)
  self.machine.undo, self.entry = vm.undo, vm:defer("signals", function () self:close() end)
  return self
end

return signals
