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

-- By signal: its descriptor, and whose VMMs get it. One descriptor for all: of several, one would get the signal.
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
  return ("<forwarding %s%s>"):format(table.concat(self.list, " "), self.closed and ", closed" or "")
end

--- Stop forwarding and put the signal mask back. What came until now is still forwarded. Closing twice is no error.
-- @function forwarding:close
function methods:close ()
  if self.closed then
    return
  end
  self.closed = true
  for _, name in ipairs(self.list) do
    local channel = channels[name]
    deliver(channel)
    channel.handles[self] = nil
    if not next(channel.handles) then
      channels[name] = nil
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

local function open_channel (name)
  local ok, opened, err = pcall(core.signals.open, { name })
  if not ok then
    errors.raise(3, { code = "usage", message = "forward_signals: " .. (tostring(opened):match "%((.*)%)$" or tostring(opened)) })
  elseif not opened then
    return nil, err
  end
  local channel = { signals = opened, handles = {} }
  channels[name] = channel
  return channel
end

local function names_of (list)
  local names, seen = {}, {}
  for i, name in ipairs(list) do
    name = type(name) == "string" and name:upper():gsub("^SIG", "") or name
    if name == "KILL" or name == "STOP" or name == 9 or name == 19 then
      errors.raise(3, { code = "usage", message = ("forward_signals: [%d]: %s cannot be caught"):format(i, name) })
    elseif not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  return names
end

--- Forward signals of this process to a machine's VMM, until it ends or the forwarding is closed.
-- @tparam table vm a machine that has a VMM
-- @tparam {string,...} list names; default INT, QUIT, TERM, HUP, ABRT
-- @tparam function tell gets events
-- @treturn[1] table forwarding; close it
-- @return[2] nil
-- @treturn[2] err
function signals.forward (vm, list, tell)
  local self = setmetatable({ list = {}, process = vm.process, tell = tell }, metatable)
  for _, name in ipairs(names_of(list or DEFAULT)) do
    local returned, channel, err = pcall(function ()
      local have = channels[name]
      if have then
        return have
      end
      return open_channel(name)
    end)
    if not returned or not channel then
      self:close()
      if not returned then
        error(channel, 0)
      end
      return nil, err
    end
    local is_new = not next(channel.handles)
    channel.handles[self] = true
    self.list[#self.list + 1] = name
    if is_new then
      loop.background(serve, channel)
    end
  end
  loop.background(await_end, self)
  vm:defer("signals", function () self:close() end)
  return self
end

return signals
