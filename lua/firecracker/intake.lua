--- The VMM's log and metrics: the files and FIFOs they go to, and reading the FIFOs.
-- A FIFO is opened for reading and writing before the VMM starts: so nobody waits for a peer and no reader's end can
-- hang the VMM. A file must exist, or releases before 1.14 refuse it. No link is followed.
-- One task drains a FIFO always, another hands its lines on: who takes them may be slow, what waits for him is bounded.
-- @module firecracker.intake

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local events = require "firecracker.events"
local keys = require "firecracker.loop.keys"
local loop = require "firecracker.loop"

local files = core.files
local intake = {}

-- The field of each section that names its file.
local PATH_FIELD <const> = { logger = "log_path", metrics = "metrics_path" }

local WAITING <const> = 16      -- batches, of what a stream holds at most, that wait for a slow function
local LAST_LINES <const> = 5    -- seconds for who takes the last lines of a VMM that is gone
local TAIL <const> = 2048       -- bytes of the last lines kept for an error

local function refuse (field, path, fault, hint)
  return nil, errors.new { code = "config", field = field, path = path, message = ("config.%s: %s %s"):format(field, path, fault),
                           hint = hint }
end

-- What takes the lines ----------------------------------------------------------------------------------------------

local reader = {}
reader.__index = reader

-- Whether a function has a place for a second argument; else nothing is made for it.
local function takes_two (fn)
  local info = debug.getinfo(fn, "u")
  return info.isvararg or info.nparams > 1
end

-- A sink that fails is told of once; the others and the FIFO go on.
function reader:drop (what, problem)
  self[what] = nil
  if self.given_up then
    return
  end
  self.tell { event = self.section, level = "error", err = problem,
              message = ("config.%s.%s failed: %s"):format(self.section, self.names[what], tostring(problem)) }
end

-- An event of a log line. Firecracker logs what it is sent, with all secrets.
function reader:announce (record)
  local message = record.message
  if not self.bodies and message:find("^The API server received a ") then
    message = message:gsub(" with body .*$", "")
  end
  local ok = pcall(self.tell, { event = "log", level = record.level or "info", message = message, stamp = record.time,
                                thread = record.thread, module = record.module, file = record.file, line = record.line })
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

function reader:hand_on (lines)
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

function reader:close_files ()
  for _, what in ipairs(self.files) do
    if self[what] then
      self[what]:close()
      self[what] = nil
    end
  end
end

-- A task: hand on what waits, until the end.
local function work (self)
  while true do
    while self.first <= self.last do
      local lines = self.queue[self.first]
      self.queue[self.first], self.first = nil, self.first + 1
      self:hand_on(lines)
    end
    if not self.open then
      return self:close_files()
    end
    loop.park(math.huge, self)
  end
end

-- What comes --------------------------------------------------------------------------------------------------------

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
    self.tell { event = self.section, level = "warn",
                message = ("config.%s.to is too slow: lines are dropped"):format(self.section) }
  end
  self.dropped = self.dropped + lines.n
end

--- Take what has come; true while there may be more.
function reader:drain ()
  while true do
    local lines = {}
    local n = self.stream:batch(lines)
    if not n then
      return n == false
    end
    lines.n = n
    self:accept(lines)
  end
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
  self.given_up = true
  for i = self.first, self.last do
    self.dropped = self.dropped + self.queue[i].n
  end
  self.first = self.last + 1
  self.worker:cancel()
  self:close_files()
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
    self.tell { event = self.section, level = "warn", dropped = self.dropped,
                message = ("config.%s.to was too slow: %d lines were dropped"):format(self.section, self.dropped) }
  end
end

-- A file of the user's to append to. The name is opened once, and through it no other file: a link may have been planted.
local function open_file (field, path)
  local fd <close>, err = files.open(path, "a", true)
  if not fd then
    if err.errno == "ELOOP" then
      return refuse(field, path, "is a symbolic link", "name what it leads to")
    end
    return nil, errors.context(err, "config." .. field)
  end
  local name = "/proc/self/fd/" .. fd:number()
  local look = files.look(name, true)
  if look and look.type ~= "file" and look.type ~= "character" then
    return refuse(field, path, ("is a %s, no file"):format(look.type))
  end
  local file, problem = io.open(name, "a")
  return file or refuse(field, path, "cannot be written: " .. problem)
end

local function new_reader (vm, section, stream)
  local config = vm.config[section]
  local self = setmetatable({
    section = section, tell = events.teller(vm.config, vm.id), stream = stream, open = true,
    queue = {}, first = 1, last = 0, dropped = 0, objects = 0, files = {},
    names = { to = "to", to_file = "to", tee = PATH_FIELD[section] },
    bodies = vm.config.log_level == "trace",
  }, reader)
  local paths = { to_file = type(config.to) == "string" and config.to or nil, tee = config[PATH_FIELD[section]] }
  for what, path in pairs(paths) do
    local file, err = open_file(("%s.%s"):format(section, self.names[what]), path)
    if not file then
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
  else
    self.sum = require "firecracker.metrics".new()
  end
  return self
end

-- Files and FIFOs ---------------------------------------------------------------------------------------------------

-- Whether lines are ours to read. A FIFO that is only named has its reader elsewhere.
local function reads (config, section)
  local own = config[section]
  return own.to ~= nil or (not own.fifo and not own[PATH_FIELD[section]] and (section == "metrics" or config.log ~= nil))
end

local function same_file (path, look)
  local there = files.look(path)
  return there and there.inode == look.inode and there.device == look.device, there
end

local function make_fifo (vm, section, path)
  local field = section .. (vm.config[section].fifo and ".fifo" or "")
  local there = files.look(path)
  if there then
    return refuse(field, path, ("exists already (a %s)"):format(there.type), "it is made, and removed at the end")
  end
  local ok, err = files.mkfifo(path)
  if not ok then
    return nil, err
  end
  local fd = files.open(path, "r+", true)
  local look = fd and files.look("/proc/self/fd/" .. fd:number(), true)
  if not look or look.type ~= "fifo" then
    return refuse(field, path, "was replaced as soon as it was made")
  end
  vm.fifos = vm.fifos or {}
  vm.fifos[section] = { path = path, field = field, look = look, fd = fd }
  vm:defer(section .. " FIFO", function ()
    fd:close()   -- unless a reader has it
    local same, other = same_file(path, look)
    if other and not same then
      return refuse(field, path, "was replaced: it is left alone")
    end
    return files.unlink(path)
  end, { path = path })
  return fd
end

local function read_fifo (vm, section, fd)
  local stream, err = core.stream.open(fd)
  if not stream then
    return nil, err
  end
  local self
  self, err = new_reader(vm, section, stream)
  if not self then
    stream:close()
    return nil, err
  end
  vm.readers = vm.readers or {}
  vm.readers[section] = self
  self.worker = loop.background(work, self)
  loop.background(pump, self)
  vm:defer(section .. " reader", function () self:close() end)
  return true
end

-- Metrics in a file: what the VMM adds is read when it is asked for. It writes from the file's beginning, over what is
-- there: only objects younger than that are its own.
local file_reader = {}
file_reader.__index = file_reader

function file_reader:finish ()
  local metrics = require "firecracker.metrics"
  local fd <close> = files.open(self.path, "r", true)
  local file <close> = fd and io.open("/proc/self/fd/" .. fd:number())
  if not file or not file:seek("set", self.offset) then
    return
  end
  for line in file:lines "L" do
    local object = line:sub(-1) == "\n" and metrics.decode(line)
    if not object or object.utc_timestamp_ms < self.since then
      return
    end
    self.since, self.offset = object.utc_timestamp_ms, self.offset + #line
    metrics.add(self.sum, object)
    self.objects = self.objects + 1
  end
end

-- A file that we made and that nobody wrote to is taken back.
local function make_file (vm, section, path)
  local there = files.look(path, true)
  if section == "metrics" then
    vm.readers = vm.readers or {}
    vm.readers.metrics = setmetatable({ path = path, offset = 0, objects = 0, sum = require "firecracker.metrics".new(),
                                        since = there and there.mtime * 1000 or 0 }, file_reader)
  end
  if there then
    return true
  end
  local ok, err = files.create(path)
  if not ok then
    return nil, err
  end
  vm:defer(section .. " file", function ()
    local look = files.look(path)
    return not look or look.size > 0 or files.unlink(path)
  end, { path = path })
  return true
end

--- Make what `config.logger` or `config.metrics` names.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function intake.prepare (vm, section)
  local config = vm.config[section]
  if not config then
    return true
  end
  local mine, file = reads(vm.config, section), config[PATH_FIELD[section]]
  if not mine and not config.fifo then
    if file then
      return make_file(vm, section, file)
    end
    return true
  end
  local fd, err = make_fifo(vm, section, config.fifo or ("%s/%s.fifo"):format(vm.directory, section))
  if not fd then
    return nil, err
  end
  if mine then
    return read_fifo(vm, section, fd)
  end
  return true
end

--- What the VMM is told of a section.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @treturn ?table body of the request; nil when the section is absent
function intake.body (vm, section)
  local config = vm.config[section]
  if not config then
    return nil
  end
  local body = {}
  for field, value in pairs(config) do
    if field ~= "fifo" and field ~= "to" then
      body[field] = value
    end
  end
  local fifo = vm.fifos and vm.fifos[section]
  if fifo then
    body[PATH_FIELD[section]] = fifo.path
  end
  if section == "logger" and body.show_level == nil and vm.readers and vm.readers.logger then
    body.show_level = true   -- who reads the lines wants to tell them apart
  end
  return body
end

--- Check that a section's FIFO is still the one that was made: the VMM writes into whatever it finds there.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config"
function intake.check (vm, section)
  local fifo = vm.fifos and vm.fifos[section]
  if not fifo then
    return true
  end
  local same, other = same_file(fifo.path, fifo.look)
  if not same then
    return refuse(fifo.field, fifo.path, other and ("was replaced by a %s"):format(other.type) or "is gone")
  end
  return true
end

--- The VMM's last log lines, as far as they came through a FIFO of ours.
-- @tparam table vm
-- @treturn string empty when there are none
function intake.last_lines (vm)
  local self = vm.readers and vm.readers.logger
  if not self then
    return ""
  end
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

local OPTIONS <const> = { flush = "boolean", timeout = "number", format = "string", labels = "table" }

local function check_options (options)
  for key, value in pairs(options) do
    if type(value) ~= OPTIONS[key] then
      errors.raise(3, { code = "usage", message = ("metrics: options.%s: %s, got %s"):format(tostring(key),
        OPTIONS[key] and OPTIONS[key] .. " expected" or "unknown key", type(value)) })
    end
  end
  if options.format ~= nil and options.format ~= "prometheus" then
    errors.raise(3, { code = "usage", message = ("metrics: options.format: 'prometheus' expected, got '%s'"):format(options.format) })
  end
end

-- Have the VMM write an object and wait for it.
local function flush (vm, self, deadline)
  local before = self.objects
  local ok, err = vm:flush_metrics { timeout = deadline - core.now() }
  if not ok then
    return nil, err
  end
  self:finish()   -- the reply comes after the object
  while self.objects == before do
    if not loop.park(deadline, self.sum) and self.objects == before then
      return nil, errors.new { code = "timeout", operation = "metrics",
                               message = ("the VMM of machine %s wrote no metrics in time"):format(vm.id) }
    end
  end
  return true
end

--- The metrics of a machine, see `vm:metrics`.
-- @tparam table vm
-- @tparam[opt] table options
-- @treturn[1] table|string
-- @return[2] nil
-- @treturn[2] err
function intake.metrics (vm, options)
  options = options or {}
  check_options(options)
  local self = vm.readers and vm.readers.metrics
  if not self then
    local fifo = vm.config.metrics and vm.config.metrics.fifo
    return nil, errors.new {
      code = "state", operation = "metrics",
      message = ("machine %s: %s"):format(vm.id, fifo and "its metrics go to who reads " .. fifo
        or vm.config.metrics and "its metrics have no place yet: run fcinit.CreateLogFilesHandler" or "config.metrics is absent"),
      hint = not (vm.config.metrics and not fifo) and (fifo and "metrics = { fifo =, to = }" or "metrics = {}") or nil,
    }
  end
  local state = vm.state
  if options.flush ~= false and state ~= "exited" and state ~= "closed" and state ~= "failed" then
    local ok, err = flush(vm, self, loop.deadline(options.timeout or vm.config.timeouts.request))
    if not ok then
      return nil, err
    end
  else
    self:finish()
  end
  local metrics = require "firecracker.metrics"
  local values = metrics.values(self.sum)
  if options.format == "prometheus" then
    return metrics.prometheus(values, options.labels or { id = vm.id })
  end
  return values
end

return intake
