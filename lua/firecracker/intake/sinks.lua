--- What takes the lines of a log or of metrics: files, a function, the machine's events.
-- @module firecracker.intake.sinks

local events = require "firecracker.events"
local places = require "firecracker.intake.places"

local sinks = {}
sinks.__index = sinks

-- Whether a function has a place for a second argument; else nothing is made for it.
local function takes_two (fn)
  local info = debug.getinfo(fn, "u")
  return info.isvararg or info.nparams > 1
end

-- A sink that fails is told of once; the others and the FIFO go on.
function sinks:drop (what, problem)
  self[what] = nil
  if self.given_up then
    return
  end
  self.tell { event = self.section, level = "error", err = problem,
              message = ("config.%s.%s failed: %s"):format(self.section, self.names[what], tostring(problem)) }
end

-- An event of a log line. Firecracker logs what it is sent, with all secrets.
function sinks:announce (record)
  local message = record.message
  if not self.bodies and message:find("^The API server received a ") then
    message = message:gsub(" with body .*$", "")
  end
  local ok = self.tell { event = "log", level = record.level or "info", message = message, stamp = record.time,
                         thread = record.thread, module = record.module, file = record.file, line = record.line }
  self.announces = self.announces and ok
end

local take = {}

function take.logger (self, line)
  if not self.parses then
    return nil
  end
  local record, second = self.parse(line)
  if self.announces then
    self:announce(record)
    if second then
      self:announce(second)
    end
  end
  return record
end

function take.metrics (self, line)
  return self.parses and require "firecracker.metrics".decode(line) or nil
end

--- Hand lines on to all that take them.
-- @tparam table lines from 1 to `n`
function sinks:hand_on (lines)
  local parse = take[self.section]
  for i = 1, lines.n do
    local line = lines[i]
    for _, what in ipairs(self.files) do
      local ok, problem = true, nil
      if self[what] then
        ok, problem = self[what]:write(line, "\n")
      end
      if not ok then
        self:drop(what, problem)
      end
    end
    local record = parse(self, line)
    if self.to then
      local ok, problem = pcall(self.to, line, record)
      if not ok then
        self:drop("to", problem)
      end
    end
  end
  for _, what in ipairs(self.files) do
    local ok, problem = true, nil
    if self[what] then
      ok, problem = self[what]:flush()
    end
    if not ok then
      self:drop(what, problem)
    end
  end
end

--- Close the files.
function sinks:close ()
  for _, what in ipairs(self.files) do
    if self[what] then
      self[what]:close()
      self[what] = nil
    end
  end
end

--- Open what takes the lines of a section.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @tparam string path_field the section's field that names a file
-- @treturn[1] table sinks
-- @return[2] nil
-- @treturn[2] err
function sinks.new (vm, section, path_field)
  local config = vm.config[section]
  local self = setmetatable({
    section = section, tell = events.unfailing(vm.config, vm.id), files = {},
    names = { to = "to", to_file = "to", tee = path_field },
    bodies = vm.config.log_level == "trace",
  }, sinks)
  local paths = { to_file = type(config.to) == "string" and config.to or nil, tee = config[path_field] }
  for what, path in pairs(paths) do
    local file, err = places.open(("%s.%s"):format(section, self.names[what]), path)
    if not file then
      self:close()
      return nil, err
    end
    self[what] = file
    self.files[#self.files + 1] = what
  end
  self.to = type(config.to) == "function" and config.to or nil
  self.announces = section == "logger" and vm.config.log ~= nil
  self.parses = self.announces or self.to ~= nil and takes_two(self.to)
  if section == "logger" then
    self.parse = self.parses and require "firecracker.logs".reader() or nil
  end
  return self
end

return sinks
