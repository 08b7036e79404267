--- The checks before anything is created: what the configuration names must be there and be usable. Types, ranges and
-- spelling were checked when the machine was made.
-- @module firecracker.handlers.validate

local core = require "firecracker.core"
local direct = require "firecracker.launch.direct"
local errors = require "firecracker.errors"
local gate = require "firecracker.api.gate"
local handler = require "firecracker.handler"
local lazy = require "firecracker.lazy"
local paths = require "firecracker.machine.paths"

local release = lazy "firecracker.release"
local writers = lazy "firecracker.snapshot.writers"

local files = core.files
local validate = {}

local function refuse (field, message, fields)
  local err = fields or {}
  err.code, err.field = "config", field
  err.message = ("config.%s: %s"):format(field, message)
  return nil, errors.new(err)
end

-- A file that the VMM will open: mode "r" or "rw".
local function check_file (field, path, mode)
  local ok, err = files.access(path, mode)
  if not ok then
    return refuse(field, err.message, { path = path, errno = err.errno })
  end
  local look = files.look(path)
  if look and look.type == "directory" then
    return refuse(field, path .. " is a directory", { path = path, errno = "EISDIR" })
  end
  return true
end

-- Two machines that write to one file destroy it, unless their guests know of each other; a jail may have a copy.
local function warn_of_writers (vm)
  for i, drive in ipairs(vm.config.jailer and {} or vm.config.drives) do
    local path = not drive.is_read_only and drive.path_on_host or nil
    local writer = paths.users(path) and writers.of(path, vm)
    if writer then
      vm:emit { event = "warning", level = "warn", path = path,
                message = ("config.drives[%d].path_on_host: machine %s writes to %s too"):format(i, writer.id, path) }
    end
    paths.note(vm, path)
  end
end

-- The VMM has what the configuration asks for.
local function check_release (config)
  local found = gate.check_config(config, function ()
    local binary = direct.find(config)
    return binary and release.of_binary(binary)
  end)
  if found then
    return nil, errors.new(found)
  end
  return true
end

local HUGE_PAGES <const> = "/sys/kernel/mm/hugepages/hugepages-2048kB/"

local function huge_pages (name)
  local file <close> = io.open(HUGE_PAGES .. name)
  return file and file:read "n" or 0
end

-- The VMM reserves none: without a page it calls the kernel image invalid, or is killed when its guest touches one more.
local function check_huge_pages (size)
  local needed = size.huge_pages == "2M" and size.mem_size_mib // 2 or 0
  if needed == 0 then
    return true
  end
  local free = huge_pages "free_hugepages" - huge_pages "resv_hugepages"
    + math.max(0, huge_pages "nr_overcommit_hugepages" - huge_pages "surplus_hugepages")
  if free >= needed then
    return true
  end
  return refuse("machine_config.huge_pages", ("%d pages of 2 MiB are needed, this host has %d"):format(needed, free),
    { hint = "/proc/sys/vm/nr_hugepages" })
end

--- Files can be opened, there is something to boot, the huge pages that are asked for are there, and the VMM's release has
-- what is asked for.
validate.cfg = handler.new("validate.Cfg", function (vm)
  local config = vm.config
  if config.snapshot then
    return refuse("snapshot", "nothing to boot from: fc.restore loads it")
  elseif not config.boot_source then
    return refuse("boot_source", "required to boot: table expected, got nil")
  end
  local wanted = {
    { "boot_source.kernel_image_path", config.boot_source.kernel_image_path, "r" },
    { "boot_source.initrd_path", config.boot_source.initrd_path, "r" },
    { "vmm.seccomp_filter", config.vmm.seccomp_filter, "r" },
    { "cpu_config", type(config.cpu_config) == "string" and config.cpu_config, "r" },
  }
  for i, drive in ipairs(config.drives) do
    wanted[#wanted + 1] = { ("drives[%d].path_on_host"):format(i), drive.path_on_host, drive.is_read_only and "r" or "rw" }
  end
  for i, pmem in ipairs(config.pmem or {}) do
    wanted[#wanted + 1] = { ("pmem[%d].path_on_host"):format(i), pmem.path_on_host, pmem.read_only and "r" or "rw" }
  end
  for _, check in ipairs(wanted) do
    local field, path, mode = table.unpack(check, 1, 3)
    local ok, err = true, nil
    if path then
      ok, err = check_file(field, path, mode)
    end
    if not ok then
      return nil, err
    end
  end
  warn_of_writers(vm)
  local ok, err = check_release(config)
  if ok then
    ok, err = check_huge_pages(config.machine_config)
  end
  return ok, err
end)

--- A jailed start has what it needs: capabilities, programs, directories, cgroups.
validate.jailer_cfg = handler.new("validate.JailerCfg", function (vm)
  if vm.config.jailer then
    return require("firecracker.launch.jail_check").run(vm)
  end
  return true
end)

--- The snapshot's files are there, its manifest fits this host and what the configuration says beside it, and the VMM's
-- release has what is asked for.
validate.load_snapshot_cfg = handler.new("validate.LoadSnapshotCfg", function (vm)
  local ok, err = require("firecracker.snapshot.check").run(vm)
  if not ok then
    return nil, err
  end
  return check_release(vm.config)
end)

--- Addresses, names and programs of the network fit together and are there; see @{firecracker.network.check}.
validate.network_cfg = handler.new("validate.NetworkCfg", function (vm)
  if #vm.config.network_interfaces > 0 then
    return require "firecracker.network.check".run(vm.config)
  end
  return true
end)

return validate
