--- The VMM's log and metrics: the files and FIFOs they go to, and reading the FIFOs.
-- A FIFO is opened for reading and writing before the VMM starts: so nobody waits for a peer and no reader's end can
-- hang the VMM. A file must exist, or releases before 1.14 refuse it.
-- @module firecracker.intake

local core = require "firecracker.core"
local events = require "firecracker.events"
local loop = require "firecracker.loop"

local files = core.files
local intake = {}

-- The field of each section that names its file.
local PATH_FIELD <const> = { logger = "log_path", metrics = "metrics_path" }

-- Hand lines on as they come, until the stream is closed. A sink that fails is told of once; the FIFO is drained on.
local function hand_on (vm, section, stream)
  local sink, tell = vm.config[section].to, events.teller(vm.config, vm.id)
  local function take ()
    while true do
      local line = stream:line()
      if not line then
        return line
      elseif sink then
        local ok, problem = pcall(sink, line)
        if not ok then
          sink = nil
          tell { event = section, level = "error", err = problem,
                 message = ("config.%s.to failed: %s"):format(section, tostring(problem)) }
        end
      end
    end
  end
  return take
end

local function read_fifo (vm, section, path)
  local fd, err = files.open(path, "r+")
  if not fd then
    return nil, err
  end
  local stream
  stream, err = core.stream.open(fd)
  if not stream then
    return nil, err
  end
  local take = hand_on(vm, section, stream)
  local open = true
  loop.background(function ()
    while open and take() == false do
      loop.park(math.huge, stream:key())
    end
  end)
  local key = stream:key()
  vm:defer(section .. " reader", function ()
    stream:fill()   -- the VMM's last lines
    take()
    open = false
    stream:close()
    loop.fire(key)
  end)
  return true
end

local function make_fifo (vm, section, path)
  local ok, err = files.mkfifo(path)
  if not ok then
    return nil, err
  end
  vm:defer(section .. " FIFO", function ()
    return files.unlink(path)
  end, { path = path })
  return read_fifo(vm, section, path)
end

-- A file that we made and that nobody wrote to is taken back.
local function make_file (vm, section, path)
  if files.look(path) then
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

-- Where the section's output goes: its FIFO, one of ours when only a reader is given, or its file.
local function destination (vm, section)
  local config = vm.config[section]
  if config.fifo then
    return config.fifo, "fifo"
  elseif config.to then
    return vm.directory .. "/" .. section .. ".fifo", "fifo"
  end
  return config[PATH_FIELD[section]], "file"
end

--- Make what `config.logger` or `config.metrics` names.
-- @tparam table vm
-- @tparam string section "logger" or "metrics"
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function intake.prepare (vm, section)
  if not vm.config[section] then
    return true
  end
  local path, kind = destination(vm, section)
  if not path then
    return true
  end
  return (kind == "fifo" and make_fifo or make_file)(vm, section, path)
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
  body[PATH_FIELD[section]] = destination(vm, section)
  return body
end

return intake
