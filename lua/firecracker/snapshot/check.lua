--- Whether a snapshot can be loaded, as far as can be seen without a VMM.
-- @module firecracker.snapshot.check

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local gate = require "firecracker.api.gate"
local host = require "firecracker.host"
local manifest = require "firecracker.snapshot.manifest"
local operations = require "firecracker.api.operations"
local paths = require "firecracker.machine.paths"
local source = require "firecracker.snapshot.source"
local writers = require "firecracker.snapshot.writers"

local files, find, refuse = core.files, source.find, errors.config
local check = {}

-- Sections that a snapshot brings itself.
local REFUSED <const> = { "boot_source", "cpu_config", "balloon", "entropy", "memory_hotplug", "mmds_config" }

local function incompatible (field, message, ...)
  return nil, errors.new { code = "snapshot", field = field, message = message:format(...), hint = source.IGNORE }
end

local function check_sections (config)
  for _, name in ipairs(REFUSED) do
    if config[name] ~= nil then
      return refuse(name, "the snapshot brings its own: leave it out")
    end
  end
  local size = config.machine_config
  local alone = size.vcpu_count == 1 and size.mem_size_mib == 128   -- what fc.new fills in
  for name in pairs(size) do
    if not alone or (name ~= "vcpu_count" and name ~= "mem_size_mib") then
      return refuse("machine_config", "the snapshot brings its own: leave it out")
    end
  end
  return true
end

local function check_file (field, path)
  local look, err = files.look(path, true)
  if look and look.type ~= "file" then
    return refuse(field, "%s is a %s, no file", path, look.type)
  end
  local ok = look
  if look then
    ok, err = files.access(path, "r")
  end
  if not ok then
    err = errors.new { code = "config", field = field, path = path, errno = err.errno,
                       message = ("config.%s: %s"):format(field, err.message) }
    return nil, err
  end
  return true
end

-- The memory's file, or the socket of who serves it.
local function check_memory (given)
  local backend = given.mem_backend
  local path = backend and backend.backend_path or given.mem_file_path
  local field = backend and "snapshot.mem_backend.backend_path" or "snapshot.mem_file_path"
  if not backend or backend.backend_type == "File" then
    return check_file(field, path)
  end
  local look, err = files.look(path, true)
  if not look then
    return refuse(field, "%s", err.message)
  elseif look.type ~= "socket" then
    return refuse(field, "%s is a %s, no socket of a page fault handler", path, look.type)
  end
  return true
end

local function check_host (vm, found)
  local have, err = source.release(vm)
  if not have then
    return nil, err
  elseif not manifest.reads(have, found.release) then
    return incompatible("release", "%s: it was made by Firecracker %s, which this one (%s) does not read",
      found.state.path, found.release, have)
  elseif found.architecture ~= host.arch() then
    return incompatible("architecture", "%s: it was made on another processor (%s, this is %s)", found.state.path,
      found.architecture, host.arch() or "unknown")
  end
  return true
end

local function check_snapshot_files (vm, found)
  local given = vm.config.snapshot
  local memory = source.memory_file(given)
  local ok, err = manifest.check_files(found, { hashes = given.verify, memory = memory or false })
  if ok and found.type == "Diff" and memory == found.memory.path then
    return incompatible("type", "%s: it holds what changed since the snapshot before it: merge it by fc.snapshot.rebase", memory)
  elseif not ok and err.code == "snapshot" then
    err.hint = source.IGNORE
  end
  return ok, err
end

-- The VMM writes addresses in small letters.
local function same (a, b)
  return a == b or (type(a) == "string" and type(b) == "string" and a:lower() == b:lower() and a:find "^%x%x:" ~= nil)
end

-- Devices that are named are the snapshot's, and as they are there.
local function check_devices (vm, found)
  local config = vm.config
  for _, kind in ipairs(source.DEVICES) do
    for i, device in ipairs(config[kind.section] or {}) do
      local at = ("%s[%d]"):format(kind.section, i)
      local theirs = find(found.config[kind.section], kind.id, device[kind.id])
      if not theirs then
        return refuse(("%s.%s"):format(at, kind.id), "the snapshot has no '%s'", device[kind.id])
      end
      for name, value in pairs(device) do
        local there = theirs[name]
        local other = kind.other[name] or (name == "path_on_host" and vm.config.jailer)
        if not other and type(value) ~= "table" and there ~= nil and not same(there, value) then
          return refuse(("%s.%s"):format(at, name), "the snapshot has %s, got %s", tostring(there), tostring(value))
        end
      end
    end
  end
  local vsock = config.vsock
  local theirs = found.config.vsock
  if (vsock or config.snapshot.vsock_override) and not theirs then
    return refuse(vsock and "vsock" or "snapshot.vsock_override", "the snapshot has no vsock")
  elseif vsock and theirs.guest_cid ~= vsock.guest_cid then
    return refuse("vsock.guest_cid", "the snapshot has %s, got %d", tostring(theirs.guest_cid), vsock.guest_cid)
  end
  for i, override in ipairs(config.snapshot.network_overrides or {}) do
    if not find(found.config.network_interfaces, "iface_id", override.iface_id) then
      return refuse(("snapshot.network_overrides[%d].iface_id"):format(i), "the snapshot has no '%s'", override.iface_id)
    end
  end
  return true
end

-- The VMM opens each at the place it had, even one that is exchanged afterwards.
local function check_drives (vm, found)
  for _, drive in ipairs(found.config.drives or {}) do
    local path = drive.path_on_host and source.here(vm, drive.path_on_host)   -- relative ones come with the machine's directory
    local used = path and source.host_path(vm, "drives", drive.drive_id, path)
    path = vm.config.jailer and used or path
    if path then
      local ok, err = files.access(path, drive.is_read_only and "r" or "rw")
      if not ok then
        return incompatible("drives", "drive '%s' of the snapshot: %s", drive.drive_id, err.message)
      end
      local writer = not drive.is_read_only and writers.of(used, vm)
      if writer then
        return incompatible("drives", "drive '%s' of the snapshot: machine %s writes to %s; name a copy in config.drives",
          drive.drive_id, writer.id, used)
      elseif not drive.is_read_only then
        paths.note(vm, used)
      end
    end
  end
  return true
end

-- Whether a tap is where the VMM will be; of a namespace that is still to be made none is.
local function has_tap (vm, tap)
  local netns = vm.config.netns
  if not netns then
    return files.look("/sys/class/net/" .. tap)
  end
  local net <close> = netns ~= true and require("firecracker.network").open(netns) or nil
  return net and net:link(tap)
end

-- The VMM would make one that is not there; one in a jail may not.
local function check_taps (vm, found)
  if vm.config.jailer then
    return true
  end
  local overrides = vm.config.snapshot.network_overrides
  for _, interface in ipairs(found.config.network_interfaces or {}) do
    local id, tap = interface.iface_id, interface.host_dev_name
    local given = find(vm.config.network_interfaces, "iface_id", id)
    local override = find(overrides, "iface_id", id)
    tap = override and override.host_dev_name or tap
    if not given and tap and not has_tap(vm, tap) then
      return incompatible("network_interfaces", "interface '%s' of the snapshot: no tap '%s' %s; name another in " ..
        "config.network_interfaces", id, tap, vm.config.netns and "in its namespace" or "on this host")
    end
  end
  return true
end

local operation
for _, each in ipairs(operations) do
  operation = each.name == "put_snapshot_load" and each or operation
end

local function check_release (vm)
  local have, err = source.release(vm)
  if not have then
    return nil, err
  end
  local lacking = gate.check(gate.of(operation), source.request(vm, have), have, "snapshot")
  if lacking then
    return nil, errors.new(lacking)
  end
  return true
end

--- Check that a machine's snapshot can be loaded, as far as can be seen without a VMM: validate.LoadSnapshotCfg.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config", "snapshot" (the manifest says that it does not fit) or "release"
function check.run (vm)
  local given = vm.config.snapshot
  if not given then
    return refuse("snapshot", "required to restore: table expected, got nil")
  end
  local ok, err = check_sections(vm.config)
  if ok then
    ok, err = check_file("snapshot.snapshot_path", given.snapshot_path)
  end
  if ok then
    ok, err = source.learn(vm)
  end
  if ok then
    ok, err = check_memory(given)
  end
  for _, fits in ipairs(ok and vm.manifest and { check_host, check_snapshot_files, check_devices, check_drives, check_taps } or {}) do
    if ok then
      ok, err = fits(vm, vm.manifest)
    end
  end
  if ok then
    ok, err = check_release(vm)
  end
  return ok, err
end

return check
