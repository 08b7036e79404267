--- What a jailed start needs of the host, looked at before anything is made.
-- @module firecracker.launch.jail_check

local cgroups = require "firecracker.launch.cgroups"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local jail = require "firecracker.launch.jail"
local jailer = require "firecracker.launch.jailer"
local release = require "firecracker.release"

local files, refuse = core.files, errors.config
local check = {}

-- What the jailer and the cleaning up after it do, by the capability's number.
local CAPABILITIES <const> = {
  { 0, "CAP_CHOWN" }, { 1, "CAP_DAC_OVERRIDE" }, { 3, "CAP_FOWNER" }, { 5, "CAP_KILL" }, { 6, "CAP_SETGID" },
  { 7, "CAP_SETUID" }, { 18, "CAP_SYS_CHROOT" }, { 21, "CAP_SYS_ADMIN" }, { 27, "CAP_MKNOD" },
}

local function capabilities ()
  local status <close> = io.open "/proc/self/status"
  local mask = tonumber((status and status:read "a" or ""):match "\nCapEff:%s*(%x+)" or "0", 16)
  local lacking = {}
  for _, each in ipairs(CAPABILITIES) do
    if mask & 1 << each[1] == 0 then
      lacking[#lacking + 1] = each[2]
    end
  end
  if #lacking > 0 then
    return refuse("jailer", "this process lacks %s", table.concat(lacking, ", "))
  end
  return true
end

-- A program: what it is called by, and where its error goes.
local function executable (field, path, err)
  local look = path and files.look(path, true)
  if not path then
    return refuse(field, "%s", err.message)
  elseif look.type ~= "file" then
    return refuse(field, "%s is no plain file", path)
  end
  return true
end

-- Jailers before 1.13 take no other name.
local function program_name (place, binary)
  if place.name:find("firecracker", 1, true) then
    return true
  end
  local found = release.of_binary(binary)
  if found and release.number(found) < release.number "1.13" then
    return refuse("vmm.binary", "a name that contains 'firecracker' expected by jailer %s, got '%s'", found, place.name)
  end
  return true
end

local function base (vm, place)
  local look = files.look(place.base)
  local named = vm.config.jailer.chroot_base_dir
  if not look and named == jail.DEFAULT_BASE then
    return true
  elseif not look or look.type ~= "directory" then
    return refuse("jailer.chroot_base_dir", "no directory %s", named)
  elseif look.uid ~= files.euid() or look.mode & 18 ~= 0 then   -- 022
    return refuse("jailer.chroot_base_dir", "%s is not ours alone to write to", named)
  end
  return true
end

-- What the VMM would not find in its jail, or the jailer takes away.
local function together (config)
  if next(config.vmm.environment or {}) then
    return refuse("vmm.environment", "the jailer empties it")
  elseif config.jailer.daemonize and config.console ~= "null" then
    return refuse("console", "a VMM that daemonizes has no standard output")
  elseif config.jailer.stdout and config.console ~= "null" then
    return refuse("jailer.stdout", "not allowed beside console")
  end
  return true
end

--- Check all of it.
-- @tparam table vm
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] err code "config", with the field
function check.run (vm)
  local config = vm.config
  local ok, err = capabilities()
  local binary, place
  if ok then
    binary, err = jailer.program(config)
    ok, err = executable("jailer.jailer_binary", binary, err)
  end
  if ok then
    place, err = jail.place(vm)
    ok, err = executable("vmm.binary", place and place.program, err)
  end
  for _, each in ipairs(ok and { program_name, base } or {}) do
    if ok and each == base then
      ok, err = base(vm, place)
    elseif ok then
      ok, err = each(place, binary)
    end
  end
  if ok then
    ok, err = together(config)
  end
  if ok then
    ok, err = cgroups.plan(vm, place)
  end
  if ok and files.look(place.directory) and config.id and not config.jailer.adopt then
    return jail.refuse_existing(place)
  end
  return ok and true, err
end

return check
