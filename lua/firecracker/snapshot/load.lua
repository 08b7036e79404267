--- Loading a snapshot into a fresh VMM: what is asked of the VMM, what is put again after.
-- The sections drives, network_interfaces, pmem and vsock of a restore say where the snapshot's devices are on this host
-- and what their limits are; a device that is not named stays as it was.
-- @module firecracker.snapshot.load

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local paths = require "firecracker.machine.paths"
local process = require "firecracker.machine.process"
local source = require "firecracker.snapshot.source"
local vsock = require "firecracker.snapshot.vsock"

local find = source.find
local load = {}

local PATIENCE <const> = 2   -- seconds that a VMM may take to end after it has refused a snapshot

-- Why: the VMM's reply and its last words. It ends by itself, a moment later.
local function failed (vm, err, socket)
  if err.code == "api" and process.await(vm, core.now() + PATIENCE) then
    local ended = vm:exited_error()
    err.exited, err.signal, err.stderr = ended.exited, ended.signal, ended.stderr
  end
  if process.exit(vm) then
    vsock.remove(socket)
  end
  return nil, err
end

-- A request that nobody waits for any more may have been done.
local given_up = {
  __close = function (guard)
    if not guard.answered and guard.socket then
      vsock.remember_ours(guard.vm, guard.socket)
    end
  end,
}

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
  for _, kind in ipairs(source.DEVICES) do
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
  for _, drive in ipairs(config.drives or {}) do
    if not drive.is_read_only then
      paths.note(vm, source.host_path(vm, "drives", drive.drive_id, drive.path_on_host))
    end
  end
  local override = body.vsock_override
  local path = override and override.uds_path or config.vsock and config.vsock.uds_path
  if path and not vm.vsock_path then
    vsock.remember(vm, source.here(vm, path))
  end
  return true
end

-- In a jail each device's file is where it was, and is brought there.
local function bring_devices (vm)
  for _, section in ipairs(vm.config.jailer and vm.manifest and { "drives", "pmem" } or {}) do
    local kind = find(source.DEVICES, "section", section)
    for _, device in ipairs(vm.manifest.config[section] or {}) do
      local there, id = device.path_on_host, device[kind.id]
      local use = (device.is_read_only or device.read_only) and "read" or "write"
      if there then
        local path, err = vm:vmm_path(source.host_path(vm, section, id, there), use, there, paths.name(section, "path_on_host", device))
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

--- Load a machine's snapshot into its VMM: fcinit.LoadSnapshot. The guest stands still unless `snapshot.resume_vm`; limits and
-- exchanged drives are in place before it goes on.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "api", with `fault_message`, and how the VMM ended
function load.load (vm)
  local given = vm.config.snapshot
  if not given then
    return errors.config("snapshot", "required to restore: table expected, got nil")
  elseif not vm.api or vm.by_file then
    return process.refuse(vm, "restore", "vmm")
  end
  local ok, err = source.learn(vm)   -- validation may have been skipped
  if not ok then
    return nil, err
  end
  local body = source.request(vm, (source.release(vm)))
  add_network_overrides(vm, body)
  local turn <close>, late = vsock.turn(vm, body)
  if not turn then
    return nil, late
  end
  local socket
  socket, err = vsock.prepare(vm, body)
  if socket then
    ok, err = bring_devices(vm)
  end
  ok = socket and ok
  if ok then
    ok, err = bring_snapshot(vm, body)
  end
  if not ok then
    return nil, err
  end
  socket = socket ~= true and socket or nil
  local changes = changes_of(vm)
  body.resume_vm = given.resume_vm and #changes == 0
  local guard <close> = setmetatable({ vm = vm, socket = socket }, given_up)
  ok, err = vm.api:put_snapshot_load(body, { at = "snapshot" })
  guard.answered = ok or err.code == "api"
  if not ok then
    return failed(vm, err, socket)
  elseif socket then
    vsock.remember(vm, socket)
  end
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
