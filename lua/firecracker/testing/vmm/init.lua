--- The VMM's side of the API without a machine behind it: what is configured, in which state the guest is, and what a
-- real one would answer. Which operations and fields there are, and in which phase, it takes from the table; here stands
-- what each of them does. It opens no file: `world` says which paths and taps fail, and how.
-- @module firecracker.testing.vmm

local deserialize = require "firecracker.testing.deserialize"
local common = require "firecracker.testing.vmm.common"
local json = require "firecracker.testing.json"
local models = require "firecracker.api.models"
local release = require "firecracker.release"
local router = require "firecracker.testing.router"

local vmm = {}

local methods = {}
local metatable = { __index = methods }

local BEFORE <const> = "The requested operation is not supported before starting the microVM."
local AFTER <const> = "The requested operation is not supported after starting the microVM."
local BODY <const> = "An error occurred when deserializing the json body of a request: "

local refuse = common.refuse

local run = {}
for _, part in ipairs { "instance", "drives", "network", "devices", "snapshot" } do
  for name, operation in pairs(require("firecracker.testing.vmm." .. part)) do
    run[name] = operation
  end
end

--- Make one.
-- @tparam[opt] table options `release` ("1.16.1"), `id`, `pci` (as with --enable-pci), `mmds_limit` (bytes), `drivers`
-- (false: the guest has none for balloon and memory), `world` (path or tap -> the system's words for what fails there, or
-- a table of them by purpose: "kernel", "initrd", "start", "drive", "socket", "pmem", "tap", "vsock", "log", "metrics",
-- "snapshot", "memory", "uffd", "serial"), `snapshots` (a table: what is saved by path; several may share one)
-- @treturn table
function vmm.new (options)
  options = options or {}
  local text = (options.release or "1.16.1"):gsub("^v", "")     -- a real one says it without
  local self = setmetatable({
    release = text, number = assert(release.number(text), "a release expected"), id = options.id or "anonymous-instance",
    pci = options.pci, mmds_limit = options.mmds_limit or 51200, world = options.world or {},
    snapshots = options.snapshots or {},
    drivers = options.drivers ~= false,
    phase = "vmm", boots = false,
    machine = { vcpu_count = 1, mem_size_mib = 128, smt = false, track_dirty_pages = false, huge_pages = "None" },
    boot = { kernel_image_path = "" }, drives = {}, interfaces = {}, pmem = {},
    store = json.null, hinting = 0, plugged = 0,
  }, metatable)
  self.plus = self:is "1.14" and "+" or ""   -- before an exponent
  self.has = function (record)
    return (not record.since or release.number(record.since) <= self.number)
      and (not record.removed or release.number(record.removed) > self.number)
      and (not record.unless or not record.unless[text]) and record.arch ~= "arm"
  end
  return self
end

-- Whether this is at least a release.
function methods:is (text)
  return release.number(text) <= self.number
end

-- Fail as the system does at this path.
function methods:open (purpose, path, message, after)
  local fault = self:fault(path, purpose)
  if fault then
    refuse("%s%s%s", message, fault, after or "")
  end
end

-- What the world says of a path, by what it is to be used for.
function methods:fault (path, purpose)
  local fault = self.world[path]
  if type(fault) == "table" then
    return fault[purpose]
  end
  return fault
end

-- Requests --------------------------------------------------------------------------------------------------------------

-- What is left out of a reply when there is none, rather than null.
local OMITTED <const> = { cpu_template = true, vsock_id = true }

--- Write a reply.
function methods:write (model, value)
  return json.of_model(models[model], value, function (field, of)
    local statistic = model == "BalloonStats" and not field.required
    return self.has(field) and not (of[field.name] == nil and (OMITTED[field.name] or statistic))
  end)
end

-- Whether a body uses what is deprecated.
function methods:deprecates (operation, body)
  for _, field in ipairs(models[operation.body] and models[operation.body].fields or {}) do
    local how, value = field.deprecated, body[field.name]
    if value == nil and how and how.value then
      value = field.absent
    end
    if how and value ~= nil and self:is(how.since) and self.has(field) and (not how.value or how.value == value)
      and (value ~= false or how.value) then
      return true
    end
  end
  return false
end

local function check_phase (self, operation, body)
  local phase = operation.phase
  if type(phase) == "table" then
    phase = phase[body[phase[1]]]
  end
  local started = self.phase ~= "vmm"
  if phase == "before" and started or phase == "hotplug" and started and not self:is(operation.hotplug_since) then
    refuse(AFTER)
  elseif (phase == "after" or phase == "paused") and not started then
    refuse(BEFORE)
  elseif phase == "hotplug" and started and not self.pci then
    refuse "PCI is not enabled"
  end
end

-- The body against its model, and the id in it against the path's.
local function read (self, operation, text, id)
  if not operation.body or not text then
    return {}
  end
  local body, problem = deserialize(text, operation.body, self.has,
    { partial = operation.partial, plus = self.plus })
  if problem then
    refuse("%s", BODY .. problem)
  elseif operation.partial and next(body) == nil then
    refuse("Empty %s request.", operation.method)
  elseif operation.name == "put_snapshot_load" and (body.mem_backend == nil) == (body.mem_file_path == nil) then
    refuse(BODY .. (body.mem_backend and "too many fields: either `mem_backend` or `mem_file_path` exclusively is required."
      or "missing field: either `mem_backend` or `mem_file_path` is required."))
  end
  local field = operation.path:match "{([%w_]+)}"
  if field and body[field] ~= id then
    refuse(field == "iface_id" and ("The id from the path [%s] does not match the id from the body [%s]!"):format(id, body[field])
      or "The id from the path does not match the id from the body!")
  end
  return body
end

--- Answer a request.
-- @tparam string method
-- @tparam string target
-- @tparam ?string text the body
-- @treturn int status
-- @treturn ?string the reply's body
-- @treturn boolean whether the reply tells of something deprecated
function methods:answer (method, target, text)
  local deprecated = false
  local ok, reply = pcall(function ()
    local operation, id = router.find(method, target, text ~= nil, self.has)
    if not operation then
      refuse("%s", id)
    end
    local body = read(self, operation, text, id)
    deprecated = type(body) == "table" and self:deprecates(operation, body)
    check_phase(self, operation, body)
    if operation.boots then
      self.boots = true
    end
    return run[operation.name](self, body, id)
  end)
  if ok then
    return reply and 200 or 204, reply, deprecated
  elseif type(reply) ~= "table" then
    error(reply, 0)
  end
  return reply[1], '{"fault_message":' .. json.string(reply[2]) .. "}", deprecated
end

return vmm
