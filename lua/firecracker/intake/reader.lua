--- Reading a FIFO: one task drains it always, another hands its lines on: who takes them may be slow, what waits for him
-- is bounded.
-- @module firecracker.intake.reader

local core = require "firecracker.core"
local keys = require "firecracker.loop.keys"
local loop = require "firecracker.loop"
local sinks = require "firecracker.intake.sinks"

local WAITING <const> = 16      -- batches, of what a stream holds at most, that wait for a slow function
local LAST_LINES <const> = 5    -- seconds for who takes the last lines of a VMM that is gone
local TAIL <const> = 2048       -- bytes of the last lines kept for an error

local reader = {}
reader.__index = reader

-- A task: hand on what waits, until the end.
local function work (self)
  while true do
    while self.first <= self.last do
      local lines = self.queue[self.first]
      self.queue[self.first], self.first = nil, self.first + 1
      self.sinks:hand_on(lines)
    end
    if not self.open then
      return self.sinks:close()
    end
    loop.park(math.huge, self)
  end
end

function reader:count (lines)
  local metrics = require "firecracker.metrics"
  for i = 1, lines.n do
    local object = metrics.decode(lines[i])
    if object then
      metrics.add(self.sum, object)
      self.objects = self.objects + 1
    end
  end
  loop.fire(self.sum)
end

function reader:accept (lines)
  self.before, self.latest = self.latest, lines
  if self.sum then
    self:count(lines)
  end
  if self.last - self.first + 1 < WAITING then
    self.last = self.last + 1
    self.queue[self.last] = lines
    loop.fire(self)
    return
  end
  if self.dropped == 0 then
    self.sinks.tell { event = self.section, level = "warn",
                      message = ("config.%s.to is too slow: lines are dropped"):format(self.section) }
  end
  self.dropped = self.dropped + lines.n
end

--- Take what has come; true while there may be more.
function reader:drain ()
  while self.stream do   -- who is told of lines that are dropped may end the machine
    local lines = {}
    local n = self.stream:batch(lines)
    if not n then
      return n == false
    end
    lines.n = n
    self:accept(lines)
  end
  return false
end

-- A task: drain the FIFO.
local function pump (self)
  while self.open and self:drain() do
    loop.park(math.huge, self.stream:key())
  end
end

-- The VMM's last lines, the very last perhaps cut.
function reader:finish ()
  if not self.stream then
    return
  end
  self.stream:fill()
  self:drain()
  local rest = self.stream:read()
  if rest then
    self:accept { rest, n = 1 }
  end
end

-- Its function does not return.
function reader:give_up ()
  self.sinks.given_up = true
  for i = self.first, self.last do
    self.dropped = self.dropped + self.queue[i].n
  end
  self.first = self.last + 1
  self.worker:cancel()
  self.sinks:close()
end

function reader:close ()
  self:finish()
  self.open = false
  local key = self.stream:key()
  self.stream:close()
  self.stream = nil
  loop.fire(key)
  loop.fire(self)
  if keys.context() ~= self.worker then   -- who takes a line may end the machine: the rest comes behind it
    local _, problem = self.worker:wait { timeout = LAST_LINES }
    if problem then
      self:give_up()
    end
  end
  if self.dropped > 0 then
    self.sinks.tell { event = self.section, level = "warn", dropped = self.dropped,
                      message = ("config.%s.to was too slow: %d lines were dropped"):format(self.section, self.dropped) }
  end
end

--- Read a section's FIFO, until the machine ends.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @tparam string path_field the section's field that names a file
-- @tparam fd fd
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function reader.start (vm, section, path_field, fd)
  local stream, err = core.stream.open(fd)
  if not stream then
    return nil, err
  end
  local taking
  taking, err = sinks.new(vm, section, path_field)
  if not taking then
    stream:close()
    return nil, err
  end
  local self = setmetatable({
    section = section, sinks = taking, stream = stream, open = true,
    queue = {}, first = 1, last = 0, dropped = 0, objects = 0,
    sum = section == "metrics" and require "firecracker.metrics".new() or nil,
  }, reader)
  vm.readers = vm.readers or {}
  vm.readers[section] = self
  self.worker = vm:serve(work, self)
  loop.background(pump, self)
  vm:defer(section .. " reader", function () self:close() end)
  return true
end

--- The last lines that came.
-- @treturn string
function reader:last_lines ()
  if self.stream then
    self.stream:fill()
    self:drain()
  end
  local parts, size = {}, 0
  for _, lines in ipairs { self.latest or false, self.before or false } do
    for i = lines and lines.n or 0, 1, -1 do
      local room = TAIL - size
      if room <= 0 then
        break
      end
      table.insert(parts, 1, lines[i]:sub(-room))
      size = size + #lines[i] + 1
    end
  end
  return table.concat(parts, "\n")
end

return reader
