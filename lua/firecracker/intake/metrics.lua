--- What a machine's VMM has counted: `vm:metrics`, and reading it from a file.
-- @module firecracker.intake.metrics

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local loop = require "firecracker.loop"
local metrics = require "firecracker.metrics"
local process = require "firecracker.machine.process"

local files = core.files
local counts = {}

-- Metrics in a file: what the VMM adds is read when it is asked for. It writes from the file's beginning, over what is
-- there: only objects younger than that are its own.
local file_reader = {}
file_reader.__index = file_reader

function file_reader:finish ()
  local fd <close> = files.open(self.path, "r")     -- a link is followed, as the VMM does; what it leads to is only read
  local name = fd and "/proc/self/fd/" .. fd:number()
  local look = name and files.look(name, true)
  local file <close> = look and look.type == "file" and io.open(name) or nil     -- a FIFO may let nobody open it
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

--- Read the metrics of a file.
-- @tparam string path
-- @tparam number since what is not younger is another VMM's; milliseconds
-- @treturn table
function counts.of_file (path, since)
  return setmetatable({ path = path, offset = 0, objects = 0, sum = metrics.new(), since = since }, file_reader)
end

local OPTIONS <const> = { flush = "boolean", timeout = "seconds", format = true, labels = "table" }

local function check_options (options)
  options = loop.options("metrics", options, OPTIONS)
  if options.format ~= nil and options.format ~= "prometheus" then
    errors.raise(3, { code = "usage",
      message = ("metrics: format: 'prometheus' expected, got %s"):format(errors.shown(options.format)) })
  end
  return options
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
    if process.exit(vm) then
      return nil, vm:exited_error()
    elseif not loop.park(deadline, self.sum, vm.process and vm.process:key()) and self.objects == before and not process.exit(vm) then
      return nil, errors.new { code = "timeout", operation = "metrics",
                               message = ("the VMM of machine %s wrote no metrics in time"):format(vm.id) }
    end
  end
  return true
end

-- The FIFO whose reader is somebody else.
local function fifo_of (config)
  local path = config and config.metrics_path
  local look = path and files.look(path, true)
  return config and config.fifo or look and look.type == "fifo" and path
end

--- The metrics of a machine, see `vm:metrics`.
-- @tparam table vm
-- @tparam[opt] table options
-- @treturn[1] table|string
-- @return[2] nil
-- @treturn[2] err
function counts.of (vm, options)
  options = check_options(options)
  local self = vm.readers and vm.readers.metrics
  if not self then
    local fifo = fifo_of(vm.config.metrics)
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
  local values = metrics.values(self.sum)
  if options.format == "prometheus" then
    return metrics.prometheus(values, options.labels or { id = vm.id })
  end
  return values
end

return counts
