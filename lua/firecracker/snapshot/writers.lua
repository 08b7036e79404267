--- Which machine of this process writes to a drive. Two that write to one file destroy it.
-- @module firecracker.snapshot.writers

local core = require "firecracker.core"
local process = require "firecracker.machine.process"

local files = core.files
local writers = {}

local known = setmetatable({}, { __mode = "v" })   -- "device:inode" -> machine

local function identity (path)
  local look = files.look(path, true)
  return look and look.type == "file" and ("%d:%d"):format(look.device, look.inode) or nil
end

--- Remember a machine's drives.
-- @tparam table vm
-- @tparam {table,...} drives
function writers.remember (vm, drives)
  for _, drive in ipairs(drives) do
    local key = drive.path_on_host and not drive.is_read_only and identity(drive.path_on_host)
    if key then
      known[key] = vm
    end
  end
end

--- The machine that lives and writes to a file.
-- @tparam string path
-- @treturn ?table vm
function writers.of (path)
  local key = identity(path)
  local vm = key and known[key]
  return vm and not vm.closed and vm.process and not process.exit(vm) and vm or nil
end

return writers
