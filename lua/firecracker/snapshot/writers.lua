--- Which machine of this process writes to a drive. Two that write to one file destroy it.
-- @module firecracker.snapshot.writers

local core = require "firecracker.core"
local paths = require "firecracker.machine.paths"
local process = require "firecracker.machine.process"

local files = core.files
local writers = {}

local WRITABLE <const> = 128   -- 0200, of a link in /proc/PID/fd

-- Whether a process has a file open for writing; one that does not let itself be looked at has.
local function holds (pid, key)
  local directory = ("/proc/%d/fd/"):format(pid)
  local names = files.list(directory)
  for _, name in ipairs(names or {}) do
    if paths.identity(directory .. name) == key then
      local link = files.look(directory .. name)
      if link and link.mode & WRITABLE ~= 0 then
        return true
      end
    end
  end
  return not names
end

--- The machine that writes to a file, or is being started to.
-- @tparam string path
-- @tparam table but not this one
-- @treturn ?table vm
function writers.of (path, but)
  local users, key = paths.users(path)
  for vm in pairs(users or {}) do
    if vm ~= but and (vm.starting or vm.process and not process.exit(vm) and holds(vm.process:pid(), key)) then
      return vm
    end
  end
end

return writers
