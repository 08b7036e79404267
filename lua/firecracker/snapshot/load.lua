--- Loading a snapshot into a fresh VMM: what is checked before, what is asked of the VMM, what is put again after.
-- The sections drives, network_interfaces, pmem and vsock of a restore say where the snapshot's devices are on this host
-- and what their limits are; a device that is not named stays as it was.
-- @module firecracker.snapshot.load

local core = require "firecracker.core"
local direct = require "firecracker.launch.direct"
local errors = require "firecracker.errors"
local gate = require "firecracker.api.gate"
local host = require "firecracker.host"
local manifest = require "firecracker.snapshot.manifest"
local models = require "firecracker.api.models"
local operations = require "firecracker.api.operations"
local process = require "firecracker.machine.process"
local release = require "firecracker.release"
local writers = require "firecracker.snapshot.writers"

local files, refuse = core.files, errors.config
local load = {}

local PATIENCE <const> = 2   -- seconds that a VMM may take to end after it has refused a snapshot
local IGNORE <const> = "snapshot.ignore_manifest = true goes on all the same"

-- Sections that a snapshot brings itself.
local REFUSED <const> = { "boot_source", "cpu_config", "balloon", "entropy", "memory_hotplug", "mmds_config" }

-- Sections of devices: what names one, what of it may be other than in the snapshot, how its limits are put again.
local DEVICES <const> = {
  { section = "drives", id = "drive_id", other = { path_on_host = true, rate_limiter = true }, patch = "patch_drive" },
  { section = "network_interfaces", id = "iface_id", patch = "patch_network_interface",
    other = { host_dev_name = true, rx_rate_limiter = true, tx_rate_limiter = true } },
  { section = "pmem", id = "id", other = { rate_limiter = true }, patch = "patch_pmem" },
}

local function incompatible (field, message, ...)
  return nil, errors.new { code = "snapshot", field = field, message = message:format(...), hint = IGNORE }
end

local function find (list, id, value)
  for _, item in ipairs(list or {}) do
    if item[id] == value then
      return item
    end
  end
end

local function release_of (vm)
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

-- As the VMM sees it: its working directory is the machine's own.
local function from_vmm (vm, path)
  return path:sub(1, 1) == "/" and path or vm.directory and vm.directory .. "/" .. path
end

-- Where a device's file of the snapshot is on this host: as the configuration says, else where it was.
local function host_path (vm, section, id, there)
  local kind = find(DEVICES, "section", section)
  local given = find(vm.config[section], kind.id, id)
  local known = vm.manifest.host and vm.manifest.host[section] or {}
  return given and given.path_on_host or known[id] or there and from_vmm(vm, there)
end

---------------------------------------------------------------------------------------------------
-- Before
---------------------------------------------------------------------------------------------------

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

-- The manifest, when there is one and it counts; false: none.
local function read_manifest (given)
  if given.ignore_manifest then
    return false
  end
  local found, err = manifest.read(given.snapshot_path)
  if not found and err.errno == "ENOENT" then
    return false
  elseif not found then
    err.hint = IGNORE
  end
  return found, err
end

-- Learn the manifest, once; without a word of where the memory is it is where the manifest says.
local function take_manifest (vm)
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
  if given.mem_backend or given.mem_file_path then
    return true
  elseif not found then
    return refuse("snapshot.mem_backend", "required where no manifest says it: table expected, got nil")
  end
  given.mem_backend = { backend_type = "File", backend_path = found.memory.path }
  return true
end

-- The file that the memory is read from; nil: it comes from a handler.
local function memory_file (given)
  local backend = given.mem_backend
  if backend then
    return backend.backend_type == "File" and backend.backend_path or nil
  end
  return given.mem_file_path
end

local function check_host (vm, found)
  local have, err = release_of(vm)
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
  local memory = memory_file(given)
  local ok, err = manifest.check_files(found, { hashes = given.verify, memory = memory or false })
  if ok and found.type == "Diff" and memory == found.memory.path then
    return incompatible("type", "%s: it holds what changed since the snapshot before it: merge it by fc.snapshot.rebase", memory)
  elseif not ok and err.code == "snapshot" then
    err.hint = IGNORE
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
  for _, kind in ipairs(DEVICES) do
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
    local path = drive.path_on_host and from_vmm(vm, drive.path_on_host)   -- relative ones come with the machine's directory
    local used = path and host_path(vm, "drives", drive.drive_id, path)
    path = vm.config.jailer and used or path
    if path then
      local ok, err = files.access(path, drive.is_read_only and "r" or "rw")
      if not ok then
        return incompatible("drives", "drive '%s' of the snapshot: %s", drive.drive_id, err.message)
      end
      local writer = not drive.is_read_only and writers.of(used)
      if writer and writer ~= vm then
        return incompatible("drives", "drive '%s' of the snapshot: machine %s writes to %s; name a copy in config.drives",
          drive.drive_id, writer.id, used)
      end
    end
  end
  return true
end

-- The VMM would make one that is not there.
local function check_taps (vm, found)
  if vm.config.netns or vm.config.jailer then
    return true   -- not to be seen from here
  end
  local overrides = vm.config.snapshot.network_overrides
  for _, interface in ipairs(found.config.network_interfaces or {}) do
    local id, tap = interface.iface_id, interface.host_dev_name
    local given = find(vm.config.network_interfaces, "iface_id", id)
    local override = find(overrides, "iface_id", id)
    tap = override and override.host_dev_name or tap
    if not given and tap and not files.look("/sys/class/net/" .. tap) then
      return incompatible("network_interfaces", "interface '%s' of the snapshot: no tap '%s' on this host; name another in " ..
        "config.network_interfaces", id, tap)
    end
  end
  return true
end

local operation
for _, each in ipairs(operations) do
  operation = each.name == "put_snapshot_load" and each or operation
end

-- The fields of the request among those of the section, for a release.
local function request_of (vm, have)
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
  if number and number < release.number "1.1" and memory_file(given) then
    body.mem_file_path, body.mem_backend = memory_file(given), nil
  end
  return body
end

local function check_release (vm)
  local have, err = release_of(vm)
  if not have then
    return nil, err
  end
  local lacking = gate.check(gate.of(operation), request_of(vm, have), have, "snapshot")
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
function load.check (vm)
  local given = vm.config.snapshot
  if not given then
    return refuse("snapshot", "required to restore: table expected, got nil")
  end
  local ok, err = check_sections(vm.config)
  if ok then
    ok, err = check_file("snapshot.snapshot_path", given.snapshot_path)
  end
  if ok then
    ok, err = take_manifest(vm)
  end
  if ok then
    ok, err = check_memory(given)
  end
  for _, check in ipairs(ok and vm.manifest and { check_host, check_snapshot_files, check_devices, check_drives, check_taps } or {}) do
    if ok then
      ok, err = check(vm, vm.manifest)
    end
  end
  if ok then
    ok, err = check_release(vm)
  end
  return ok, err
end

---------------------------------------------------------------------------------------------------
-- The load
---------------------------------------------------------------------------------------------------

-- A socket that nobody serves is what a VMM left behind; the one to come could not bind.
local function claim_vsock (path)
  local look = files.look(path)
  if not look then
    return true
  end
  local listens = look.type == "socket" and files.listens(path)
  if look.type == "socket" and not listens then
    return files.unlink(path)
  end
  return nil, errors.new {
    code = "vsock", path = path, errno = "EEXIST",
    message = listens and ("the snapshot's vsock %s is in use by another VMM"):format(path)
      or ("the snapshot's vsock %s is a %s"):format(path, look.type),
    hint = "snapshot.vsock_override gives it another place (Firecracker 1.16)",
  }
end

local function remember_vsock (vm, path)
  local look = files.look(path)
  vm.vsock_path = path
  if not look then
    return
  end
  vm:defer("vsock socket", function ()
    local now = files.look(path)   -- it may be another VMM's by now
    return not now or now.inode ~= look.inode or now.device ~= look.device or files.unlink(path)
  end, { path = path })
end

-- What a VMM that gave up left, unless another serves there.
local function remove_vsock (path)
  local look = path and files.look(path)
  if look and look.type == "socket" and not files.listens(path) then
    files.unlink(path)
  end
end

-- Why: the VMM's reply and its last words. It ends by itself, a moment later.
local function failed (vm, err, vsock)
  if err.code == "api" and process.await(vm, core.now() + PATIENCE) then
    local ended = vm:exited_error()
    err.exited, err.signal, err.stderr = ended.exited, ended.signal, ended.stderr
  end
  if process.exit(vm) then
    remove_vsock(vsock)
  end
  return nil, err
end

-- Interfaces whose taps are given, unless they are those of the snapshot.
local function add_network_overrides (vm, body)
  for _, interface in ipairs(vm.config.network_interfaces) do
    local id, tap = interface.iface_id, interface.host_dev_name
    local theirs = vm.manifest and find(vm.manifest.config.network_interfaces, "iface_id", id)
    if tap and not (theirs and theirs.host_dev_name == tap) and not find(body.network_overrides, "iface_id", id) then
      local list = { table.unpack(body.network_overrides or {}) }
      list[#list + 1] = { iface_id = id, host_dev_name = tap }
      body.network_overrides = list
    end
  end
end

-- What is other than in the snapshot, or a limit: one change for each device.
local function changes_of (vm)
  local list = {}
  for _, kind in ipairs(DEVICES) do
    for i, device in ipairs(vm.config[kind.section] or {}) do
      local theirs = vm.manifest and find(vm.manifest.config[kind.section], kind.id, device[kind.id]) or {}
      local body
      for name in pairs(kind.other) do
        local value = device[name]
        local elsewhere = name == "host_dev_name" or (name == "path_on_host" and vm.config.jailer)   -- brought there already
        if value ~= nil and not elsewhere and (type(value) == "table" or value ~= theirs[name]) then
          body = body or { [kind.id] = device[kind.id] }
          body[name] = value
        end
      end
      if body then
        list[#list + 1] = { patch = kind.patch, id = device[kind.id], body = body, at = ("%s[%d]"):format(kind.section, i) }
      end
    end
  end
  return list
end

-- The configuration that the guest has now, for whoever asks the machine.
local function learn (vm, body)
  local config = vm.manifest and vm.manifest.config
  if not config then
    local err
    config, err = vm:full_config()
    if not config then
      return nil, err
    end
  end
  vm.config.machine_config = config.machine_config or vm.config.machine_config
  local override = body.vsock_override
  local vsock = override and override.uds_path or config.vsock and config.vsock.uds_path
  if vsock and not vm.vsock_path then
    remember_vsock(vm, from_vmm(vm, vsock))
  end
  return true
end

-- The drives that the guest has, where they are on this host.
local function drives_of (vm)
  local drives = {}
  for i, drive in ipairs(vm.manifest and vm.manifest.config.drives or {}) do
    drives[i] = { is_read_only = drive.is_read_only, path_on_host = host_path(vm, "drives", drive.drive_id, drive.path_on_host) }
  end
  return drives
end

-- In a jail each device's file is where it was, and is brought there.
local function bring_devices (vm)
  for _, section in ipairs(vm.config.jailer and vm.manifest and { "drives", "pmem" } or {}) do
    local kind = find(DEVICES, "section", section)
    for _, device in ipairs(vm.manifest.config[section] or {}) do
      local there, id = device.path_on_host, device[kind.id]
      local use = (device.is_read_only or device.read_only) and "read" or "write"
      if there then
        local path, err = vm:vmm_path(host_path(vm, section, id, there), use, there)
        if not path then
          return nil, err
        end
      end
    end
  end
  return true
end

local function to_vmm (vm, ...)
  local path, err = vm:vmm_path(...)
  return path, not path and err or nil
end

-- The request's paths as the VMM sees them.
local function bring_snapshot (vm, body)
  local backend = body.mem_backend
  local path, err = to_vmm(vm, body.snapshot_path)
  body.snapshot_path = path
  if path and backend then
    path, err = to_vmm(vm, backend.backend_path, backend.backend_type == "Uffd" and "write" or "read")
    body.mem_backend = { backend_type = backend.backend_type, backend_path = path }
  elseif path then
    path, err = to_vmm(vm, body.mem_file_path)
    body.mem_file_path = path
  end
  return path, err
end

-- Where the vsock's socket will be on this host, and the place is free. Nothing for a snapshot without one, or of which
-- nothing is known.
local function prepare_vsock (vm, body)
  local override, theirs = body.vsock_override, vm.manifest and vm.manifest.config.vsock
  local there = override and override.uds_path or theirs and theirs.uds_path
  if not there then
    return true
  end
  local path = from_vmm(vm, there)
  if vm.config.jailer then
    local known = not override and vm.manifest.host and vm.manifest.host.vsock
    there, path = vm:vmm_path(known or there, "socket", not override and there or nil)
    if not there then
      return nil, path
    elseif override then
      body.vsock_override = { uds_path = there }
    end
  end
  local ok, err = claim_vsock(path)
  return ok and path, err
end

--- Load a machine's snapshot into its VMM: fcinit.LoadSnapshot. The guest stands still unless `snapshot.resume_vm`; limits and
-- exchanged drives are in place before it goes on.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "api", with `fault_message`, and how the VMM ended
function load.load (vm)
  local given = vm.config.snapshot
  if not given then
    return refuse("snapshot", "required to restore: table expected, got nil")
  elseif not vm.api or vm.by_file then
    return process.refuse(vm, "restore", "vmm")
  end
  local ok, err = take_manifest(vm)   -- validation may have been skipped
  if not ok then
    return nil, err
  end
  local body = request_of(vm, (release_of(vm)))
  add_network_overrides(vm, body)
  local vsock
  vsock, err = prepare_vsock(vm, body)
  if vsock then
    ok, err = bring_devices(vm)
  end
  ok = vsock and ok
  if ok then
    ok, err = bring_snapshot(vm, body)
  end
  if not ok then
    return nil, err
  end
  vsock = vsock ~= true and vsock or nil
  local changes = changes_of(vm)
  body.resume_vm = given.resume_vm and #changes == 0
  ok, err = vm.api:put_snapshot_load(body, { at = "snapshot" })
  if not ok then
    return failed(vm, err, vsock)
  elseif vsock then
    remember_vsock(vm, vsock)
  end
  writers.remember(vm, drives_of(vm))
  ok, err = learn(vm, body)
  for _, change in ipairs(ok and changes or {}) do
    ok, err = vm.api[change.patch](vm.api, change.id, change.body, { at = change.at })
    if not ok then
      return nil, err
    end
  end
  if ok and given.resume_vm and not body.resume_vm then
    ok, err = vm.api:patch_vm { state = "Resumed" }
  end
  return ok, err
end

return load
