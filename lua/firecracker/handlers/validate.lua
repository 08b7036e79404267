--- The checks before anything is created: what the configuration names must be there and be usable. Types, ranges and
-- spelling were checked when the machine was made.
-- @module firecracker.handlers.validate

local core = require "firecracker.core"
local errors = require "firecracker.errors"
local handler = require "firecracker.handler"

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

--- Files can be opened, and there is something to boot.
validate.cfg = handler.new("validate.Cfg", function (vm)
  local config = vm.config
  if not config.boot_source then
    return refuse("boot_source", "required to boot: table expected, got nil")
  end
  local wanted = {
    { "boot_source.kernel_image_path", config.boot_source.kernel_image_path, "r" },
    { "boot_source.initrd_path", config.boot_source.initrd_path, "r" },
    { "vmm.seccomp_filter", config.vmm.seccomp_filter, "r" },
  }
  for i, drive in ipairs(config.drives) do
    wanted[#wanted + 1] = { ("drives[%d].path_on_host"):format(i), drive.path_on_host, drive.is_read_only and "r" or "rw" }
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
  return true
end)

--- No two interfaces share a tap.
validate.network_cfg = handler.new("validate.NetworkCfg", function (vm)
  local taps = {}
  for i, interface in ipairs(vm.config.network_interfaces) do
    local at, tap = ("network_interfaces[%d]"):format(i), interface.host_dev_name
    if taps[tap] then
      return refuse(at .. ".host_dev_name", ("'%s' is used by %s as well"):format(tap, taps[tap]))
    end
    taps[tap] = at
  end
  return true
end)

return validate
