--- The VMM's log and metrics: the files and FIFOs they go to, and reading the FIFOs.
-- @module firecracker.intake

local paths = require "firecracker.machine.paths"
local places = require "firecracker.intake.places"

local intake = {}

local OUTPUTS <const> = { "logger", "metrics" }

-- The field of each section that names its file.
local PATH_FIELD <const> = { logger = "log_path", metrics = "metrics_path" }

-- Whether lines are ours to read. A FIFO that is only named has its reader elsewhere.
local function reads (config, section)
  local own = config[section]
  return own.to ~= nil or (not own.fifo and not own[PATH_FIELD[section]] and (section == "metrics" or config.log ~= nil))
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
      return places.make_file(vm, section, file)
    end
    return true
  end
  local fd, err = places.make_fifo(vm, section, config.fifo or ("%s/%s.fifo"):format(vm.directory, section))
  if not fd then
    return nil, err
  end
  if mine then
    return require "firecracker.intake.reader".start(vm, section, PATH_FIELD[section], fd)
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
intake.check = places.check

--- Make what both sections name.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function intake.prepare_all (vm)
  for _, section in ipairs(OUTPUTS) do
    local ok, err = intake.prepare(vm, section)
    if not ok then
      return nil, err
    end
  end
  return true
end

-- Tell the VMM of one of its outputs.
local function put (vm, api, section)
  local body = intake.body(vm, section)
  if not body then
    return true
  end
  local ok, err
  body, err = paths.body(vm, section, body)
  if body then
    ok, err = intake.check(vm, section)
  end
  if ok then
    ok, err = api["put_" .. section](api, body, { at = section })
  end
  if ok then
    ok, err = intake.check(vm, section)
  end
  return ok, err
end

--- Tell the VMM of both outputs.
-- @tparam table vm
-- @tparam table api its client
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function intake.put_all (vm, api)
  for _, section in ipairs(OUTPUTS) do
    local ok, err = put(vm, api, section)
    if not ok then
      return nil, err
    end
  end
  return true
end

--- The VMM's last log lines, as far as they came through a FIFO of ours.
-- @tparam table vm
-- @treturn string empty when there are none
function intake.last_lines (vm)
  local self = vm.readers and vm.readers.logger
  return self and self:last_lines() or ""
end

--- The metrics of a machine, see `vm:metrics`.
-- @tparam table vm
-- @tparam[opt] table options
-- @treturn[1] table|string
-- @return[2] nil
-- @treturn[2] err
function intake.metrics (vm, options)
  return require "firecracker.intake.metrics".of(vm, options)
end

return intake
