-- Jailed machines on the real jailer: what their specs share.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local leaks = require "spec.support.leaks"
local luassert = require "luassert"
local sh = require "spec.support.sh"

local files = core.files
local jails = {}

jails.uid, jails.gid = 61234, 61235

--- Why no machine can be jailed here; nil when one can.
function jails.missing ()
  if files.euid() ~= 0 then
    return "the jailer needs root"
  end
  local named = os.getenv "JAILER"
  local _, status = sh("command -v " .. sh.quote(named and named ~= "" and named or "jailer"))
  return status ~= 0 and "no jailer here: set $JAILER" or nil
end

--- A configuration of a jailed machine that boots a hand-made guest; fields of `jailer` and `more` go on top.
function jails.config (guest, jailer, more)
  local config = bed.config(guest, more)
  config.jailer = { uid = jails.uid, gid = jails.gid, chroot_base_dir = jails.base }
  for key, value in pairs(jailer or {}) do
    config.jailer[key] = value
  end
  return config
end

--- Everything below some directories: type, mode, owner, size, links and where links lead.
function jails.tree (...)
  local words = {}
  for i, path in ipairs { ... } do
    words[i] = sh.quote(path)
  end
  return (sh("find " .. table.concat(words, " ") .. " -printf '%p %y %m %U:%G %n %s %l\\n' | sort"))
end

--- Where a running machine's jail is.
function jails.root (vm)
  return ("%s/firecracker/%s/root"):format(jails.base, vm.id)
end

-- Whose the guests are, which jails have as hard links.
local function guests ()
  return (sh(("find %s -printf '%%p %%U:%%G %%m\\n' | sort"):format(sh.quote(bed.guest "idle":match "^(.*)/"))))
end

local cleanups = {}

--- Call a function when the spec ends, before it is looked for what is left.
function jails.later (fn)
  cleanups[#cleanups + 1] = fn
end

--- A drive's file that is gone when the spec ends.
function jails.file (name, text)
  local path = bed.write(("%s/%s"):format(jails.files, name), text or ("\0"):rep(1 << 20))
  jails.later(function () os.remove(path) end)
  return path
end

--- A field of /proc/PID/status.
function jails.status (pid, field)
  return bed.read(("/proc/%s/status"):format(pid)):match("\n" .. field .. ":%s*([^\n]*)")
end

--- Around the specs of a block: a directory of jails and one of files, both as they were after each, as are the guests; and
-- no leaks.
function jails.check (before_each, after_each, setup, teardown)
  local before, guests_before
  setup(function ()
    jails.base, jails.files = bed.scratch "jails", bed.scratch "files"
    assert(files.mkdir(jails.base))
    assert(files.mkdir(jails.files))
  end)
  after_each(function ()
    while #cleanups > 0 do
      table.remove(cleanups)()
    end
  end)
  leaks.check(before_each, after_each, teardown)
  before_each(function () before, guests_before = jails.tree(jails.base, jails.files), guests() end)
  after_each(function ()
    luassert.equal(before, jails.tree(jails.base, jails.files))
    luassert.equal(guests_before, guests())
    local mounts = bed.read "/proc/self/mountinfo"
    luassert.is_nil(mounts:find(jails.base, 1, true) or mounts:find(jails.files, 1, true))
  end)
  teardown(function () sh(("rm -rf %s %s"):format(sh.quote(jails.base), sh.quote(jails.files))) end)
end

return jails
