--- What a restore is made of: the configuration's section, the manifest, the devices of both.
-- @module firecracker.snapshot.source

local direct = require "firecracker.launch.direct"
local errors = require "firecracker.errors"
local manifest = require "firecracker.snapshot.manifest"
local models = require "firecracker.api.models"
local release = require "firecracker.release"

local source = {}

--- How errors of a manifest that does not fit end.
source.IGNORE = "snapshot.ignore_manifest = true goes on all the same"

--- Sections of devices: what names one, what of it may be other than in the snapshot, how its limits are put again.
source.DEVICES = {
  { section = "drives", id = "drive_id", other = { path_on_host = true, rate_limiter = true }, patch = "patch_drive" },
  { section = "network_interfaces", id = "iface_id", patch = "patch_network_interface",
    other = { host_dev_name = true, rx_rate_limiter = true, tx_rate_limiter = true } },
  { section = "pmem", id = "id", other = { rate_limiter = true }, patch = "patch_pmem" },
}

--- The item of a list that has a name.
-- @tparam ?{table,...} list
-- @tparam string id field of the name
-- @tparam string value
-- @treturn ?table
function source.find (list, id, value)
  for _, item in ipairs(list or {}) do
    if item[id] == value then
      return item
    end
  end
end

--- The release of the VMM that loads it.
-- @tparam table vm
-- @treturn[1] string
-- @return[2] nil
-- @treturn[2] err
function source.release (vm)
  if not vm.vmm_release then
    local binary, err = direct.find(vm.config)
    if not binary then
      return nil, err
    end
    vm.vmm_release, err = release.of_binary(binary)
    return vm.vmm_release, err
  end
  return vm.vmm_release
end

--- Where a path of the VMM's is: its working directory is the machine's own. In a jail those of a manifest are another's;
-- without one the VMM itself said it.
-- @tparam table vm
-- @tparam string path
-- @treturn ?string
function source.here (vm, path)
  if vm.jail and not vm.manifest then
    return vm.jail.root .. "//" .. path:gsub("^/+", "")
  end
  return path:sub(1, 1) == "/" and path or vm.directory and vm.directory .. "/" .. path
end

--- Where a device's file of the snapshot is on this host: as the configuration says, else where it was.
-- @tparam table vm
-- @tparam string section
-- @tparam string id the device
-- @tparam ?string there its path in the snapshot
-- @treturn ?string
function source.host_path (vm, section, id, there)
  local kind = source.find(source.DEVICES, "section", section)
  local given = source.find(vm.config[section], kind.id, id)
  local known = vm.manifest and vm.manifest.host and vm.manifest.host[section] or {}
  return given and given.path_on_host or known[id] or there and source.here(vm, there)
end

-- The manifest, when there is one and it counts; false: none.
local function read_manifest (given)
  if given.ignore_manifest then
    return false
  end
  local found, err = manifest.read(given.snapshot_path)
  if not found and err.errno == "ENOENT" then
    return false
  elseif not found then
    err.hint = source.IGNORE
  end
  return found, err
end

-- What a manifest names is brought into a jail, and given to its user, by root: somebody else's names nothing.
local function unnamed (vm, field, what)
  local path = manifest.path_of(vm.config.snapshot.snapshot_path)
  local _, err = errors.config(field, "%s must be named here: %s is not ours alone to write to", what, path)
  err.hint = "a jail gets what the manifest names where that is root's, mode 0600"
  return nil, err
end

local function check_devices (vm)
  for _, kind in ipairs(source.DEVICES) do
    for _, device in ipairs(kind.other.host_dev_name and {} or vm.manifest.config[kind.section] or {}) do
      local given = source.find(vm.config[kind.section], kind.id, device[kind.id])
      if device.path_on_host and not (given and given.path_on_host) then
        return unnamed(vm, kind.section, ("path_on_host of '%s'"):format(device[kind.id]))
      end
    end
  end
  return true
end

--- Learn the manifest, `vm.manifest` (false: none), once; without a word of where the memory is it is where the manifest says.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err
function source.learn (vm)
  local given = vm.config.snapshot
  local found = vm.manifest
  if found == nil then
    local err
    found, err = read_manifest(given)
    if found == nil then
      return nil, err
    end
    vm.manifest = found
  end
  local foreign = found and vm.config.jailer and not manifest.is_ours(found)
  if given.mem_backend or given.mem_file_path then
    if foreign then
      return check_devices(vm)
    end
    return true
  elseif foreign then
    return unnamed(vm, "snapshot.mem_backend", "the memory")
  elseif not found then
    return errors.config("snapshot.mem_backend", "required where no manifest says it: table expected, got nil")
  end
  given.mem_backend = { backend_type = "File", backend_path = found.memory.path }
  return true
end

--- The file that the memory is read from; nil: it comes from a handler.
-- @tparam table given `config.snapshot`
-- @treturn ?string
function source.memory_file (given)
  local backend = given.mem_backend
  if backend then
    return backend.backend_type == "File" and backend.backend_path or nil
  end
  return given.mem_file_path
end

--- The fields of the request among those of the section, for a release.
-- @tparam table vm
-- @tparam ?string have the release
-- @treturn table
function source.request (vm, have)
  local given, body = vm.config.snapshot, {}
  for _, field in ipairs(models.SnapshotLoadParams.fields) do
    body[field.name] = given[field.name]
  end
  local vsock, theirs = vm.config.vsock, vm.manifest and vm.manifest.config.vsock
  if vsock and not (theirs and theirs.uds_path == vsock.uds_path) then
    body.vsock_override = body.vsock_override or { uds_path = vsock.uds_path }
  end
  local number = have and release.number(have)
  if number and number < release.number "1.13" and body.track_dirty_pages ~= nil then
    body.enable_diff_snapshots = body.enable_diff_snapshots or body.track_dirty_pages   -- its name there
    body.track_dirty_pages = nil
  end
  if number and number < release.number "1.1" and source.memory_file(given) then
    body.mem_file_path, body.mem_backend = source.memory_file(given), nil
  end
  return body
end

return source
