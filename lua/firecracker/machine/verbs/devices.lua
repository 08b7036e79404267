--- Verbs: drives, persistent memory, network interfaces.
-- @module firecracker.machine.verbs.devices

local asking = require "firecracker.machine.verbs.asking"
local lazy = require "firecracker.lazy"
local loop = require "firecracker.loop"
local paths = require "firecracker.machine.paths"

local staging = lazy "firecracker.launch.staging"
local turn = lazy "firecracker.machine.turn"

local body_of, call, check = asking.body, asking.call, asking.check
local methods = {}

-- What the VMM says of a drive; empty when it has none of that id.
local function drive_of (self, id, options)
  local seen, err = self:full_config(options)
  for _, drive in ipairs(seen and seen.drives or {}) do
    if drive.drive_id == id then
      return drive
    end
  end
  return seen and {}, err
end

-- Whether a device has a file; nil, err where the VMM does not say.
local function has_file (self, seen)
  local config, err = self:full_config()
  for _, section in ipairs(config and { "drives", "pmem" } or {}) do
    for _, device in ipairs(config[section] or {}) do
      if device.path_on_host == seen then
        return true
      end
    end
  end
  return config and false, err
end

-- The VMM has another file in its place: it is out of the jail and its owner's again, unless another device has it.
local function let_go (self, seen)
  local kept, err = has_file(self, seen)
  local ok = kept
  if kept == false then
    ok, err = staging.let_go(self, seen)
  end
  if not ok then
    self:emit { event = "warning", level = "warn", path = seen, message = ("%s stays in the jail: %s"):format(seen, err.message) }
  end
end

local function update_drive (self, id, changes, options)
  local body, err = body_of(self, "update_drive", changes or {}, { drive_id = id })
  local drive
  if body and (not changes or self.config.jailer and body.path_on_host) then
    drive, err = drive_of(self, id, options)
    body = drive and body
  end
  if body and not changes then
    body.path_on_host = drive.path_on_host   -- as the VMM sees it; none for a vhost-user drive
  elseif body and (not drive or drive.drive_id) then
    body, err = paths.body(self, "drives", body, drive)
  end
  if not body then
    return nil, err
  end
  local ok
  ok, err = call(self, "update a drive of", "patch_drive", id, body, options)
  local former = self.jail and changes and drive and drive.path_on_host
  if ok and former and former ~= body.path_on_host then
    let_go(self, former)
  end
  return ok, err
end

-- In the verb's time; in a jail one after the other, so that none lets go of what another is about to take.
local function in_turn (self, verb, options, fn, ...)
  local deadline = loop.limit(verb, options)
  if not self.config.jailer then
    return loop.under(deadline, fn, self, ...)
  end
  local own <close>, err = turn.take(self, verb, deadline, "staging_turn")
  if not own then
    return nil, err
  end
  return loop.under(deadline, fn, self, ...)
end

--- Change a drive of a guest that runs, or have the guest look at it again.
-- @function vm:update_drive
-- @tparam string id
-- @tparam[opt] table changes `path_on_host` (another file), `rate_limiter` (a bucket that is given is replaced whole). Absent:
-- rescan; the file's size is read anew and the guest told
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_drive (id, changes, options)
  return in_turn(self, "update_drive", options, update_drive, id, changes, options)
end

local function add (self, verb, section, item, options)
  local body, err = body_of(self, verb, item, nil, section)
  if not body then
    return nil, err
  elseif section == "drives" then
    return call(self, "add a drive to", "put_drive", body.drive_id, body, options)
  end
  return call(self, "add pmem to", "put_pmem", body.id, body, options)
end

--- Add a drive, before the start or, from release 1.16 with `--enable-pci`, to a guest that runs.
-- @function vm:add_drive
-- @tparam table drive as in `config.drives`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:add_drive (drive, options)
  return in_turn(self, "add_drive", options, add, "add_drive", "drives", drive, options)
end

--- Take a drive from a guest that runs and has let go of it (release 1.16).
-- @function vm:remove_drive
-- @tparam string id
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:remove_drive (id, options)
  return call(self, "remove a drive of", "delete_drive", id, options)
end

--- Add a persistent memory device, as `vm:add_drive` (release 1.14; to a guest that runs 1.16).
-- @function vm:add_pmem
-- @tparam table pmem as in `config.pmem`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:add_pmem (pmem, options)
  return in_turn(self, "add_pmem", options, add, "add_pmem", "pmem", pmem, options)
end

--- Change a persistent memory device's limits (release 1.16).
-- @function vm:update_pmem
-- @tparam string id
-- @tparam table changes `rate_limiter`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_pmem (id, changes, options)
  return call(self, "update pmem of", "patch_pmem", id, body_of(self, "update_pmem", changes, { id = id }), options)
end

--- Take a persistent memory device from a guest that runs and has let go of it (release 1.16).
-- @function vm:remove_pmem
-- @tparam string id
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:remove_pmem (id, options)
  return call(self, "remove pmem of", "delete_pmem", id, options)
end

--- Change the limits of a network interface of a guest that runs.
-- @function vm:update_network_interface
-- @tparam string id
-- @tparam table changes `rx_rate_limiter` (towards the guest), `tx_rate_limiter` (from it); a bucket that is given is
-- replaced whole, one of size 0 lifts its limit
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:update_network_interface (id, changes, options)
  local body = body_of(self, "update_network_interface", changes, { iface_id = id })
  return call(self, "update an interface of", "patch_network_interface", id, body, options)
end

--- Add a network interface, as `vm:add_drive`. Its tap must exist: the VMM would make a missing one.
-- @function vm:add_network_interface
-- @tparam table interface the API's fields, as in `config.network_interfaces`
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:add_network_interface (interface, options)
  check("add_network_interface", interface, "table")
  local tap = interface.host_dev_name
  if type(tap) == "string" then
    local found, err = require "firecracker.network.setup".find_tap(self, tap)
    if not found then
      return nil, err
    end
  end
  return call(self, "add an interface to", "put_network_interface", interface.iface_id, interface, options)
end

--- Ask the CNI plugins of the machine's interfaces whether their networks are as they made them.
-- @function vm:check_network
-- @tparam[opt] table options `timeout` in seconds (default `timeouts.request`)
-- @treturn[1] boolean true, also where there are none
-- @return[2] nil
-- @treturn[2] err code "cni" or "timeout"
function methods:check_network (options)
  local deadline = loop.limit("check_network", options, self.config.timeouts.request)
  return loop.under(deadline, require "firecracker.network.setup".check, self)
end

--- Take a network interface from a guest that runs and has let go of it (release 1.16).
-- @function vm:remove_network_interface
-- @tparam string id
-- @tparam[opt] table options
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function methods:remove_network_interface (id, options)
  return call(self, "remove an interface of", "delete_network_interface", id, options)
end

return methods
