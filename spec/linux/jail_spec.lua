-- Real Linux guests in jails: a user's drive that is written, cgroup version 2 with its limits, the guest's vsock.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local jails = require "spec.support.jails"
local linux = require "spec.support.linux"
local sh = require "spec.support.sh"

local files = core.files

-- A jailed configuration of a Linux guest.
local function config (jailer, more)
  local missing = linux.missing() or jails.missing()
  if missing then
    return pending(missing)
  end
  local result = linux.config(more)
  result.jailer = { uid = jails.uid, gid = jails.gid, chroot_base_dir = jails.base }
  for key, value in pairs(jailer or {}) do
    result.jailer[key] = value
  end
  return result
end

local function read (path)
  local file <close> = assert(io.open(path))
  return (file:read "a":gsub("\n$", ""))
end

-- What the specs' own shell could not do: a controller is handed down where no process lives. The host's top has none.
local function has_controllers ()
  local text = files.look "/sys/fs/cgroup/cgroup.controllers" and read "/sys/fs/cgroup/cgroup.controllers" or ""
  return text:find "memory" and text:find "pids"
end

describe("#linux #root a jailed guest", function ()
  jails.check(before_each, after_each, setup, teardown)

  it("boots to its userland from a drive that its user may write, and what it wrote is on the host", function ()
    local settings = config()
    local drive = jails.files .. "/rootfs"
    assert(os.execute(("cp --sparse=always %s %s"):format(linux.path "rootfs.ext4", drive)))
    jails.later(function () os.remove(drive) end)
    local console, text = bed.collector()
    settings.console, settings.drives = console, fc.drives.root(drive)
    settings.vsock = { guest_cid = 3, uds_path = jails.files .. "/vsock" }
    local vm <close> = assert(fc.boot(settings))
    linux.await(text, "guest ready")
    assert.equal(tostring(jails.uid), jails.status(vm.pid, "Uid"):match "%d+")
    assert.equal("2", jails.status(vm.pid, "Seccomp"))
    assert.equal(jails.uid, files.look(drive).uid)
    do
      local stream <close> = assert(vm:dial(53))   -- the echo port
      assert(stream:write "echo\n")
      assert.equal("echo\n", stream:read(5))
    end
    fc.run(function ()
      local listener <close> = assert(vm:listen(7000))
      local task = fc.spawn(linux.run, vm, "/sbin/init dial 7000 echo out of the jail")
      local stream <close> = assert(listener:accept { timeout = linux.patience })
      assert.equal("out of the jail\n", stream:read "L")
      stream:close()
      task:wait()
    end)
    assert.same({ by = "shutdown", exited = 0 }, vm:shutdown())
    assert.equal(0, files.look(drive).uid)
    local out, status = sh("e2fsck -fn " .. drive)
    assert.equal(0, status, out)
  end)

  it("lives in a cgroup of version 2 with the limits that were asked for", function ()
    local settings = config { cgroups = { ["memory.max"] = 400 << 20, ["pids.max"] = 40, ["cpu.weight"] = 55 } }
    if not has_controllers() then
      return pending "no cgroup version 2 with memory and pids here"
    end
    local console, text = bed.collector()
    settings.console = console
    local shown = tostring(fc.command(settings))
    assert.matches("--cgroup-version 2 --cgroup cpu.weight=55 --cgroup memory.max=419430400 --cgroup pids.max=40", shown, 1, true)
    local vm <close> = assert(fc.boot(settings))
    linux.await(text, "guest ready")
    local path = "/sys/fs/cgroup/firecracker/" .. vm.id
    assert.equal("0::/firecracker/" .. vm.id, read(("/proc/%d/cgroup"):format(vm.pid)))
    assert.same({ "419430400", "40", "55" }, { read(path .. "/memory.max"), read(path .. "/pids.max"), read(path .. "/cpu.weight") })
    assert.is_true(tonumber(read(path .. "/memory.current")) > 1 << 20)
    assert(vm:shutdown())
    assert.is_nil(files.look(path))
    assert.is_nil(files.look "/sys/fs/cgroup/firecracker")
  end)

  it("is ended by the kernel when it takes more memory than its limit, and cleaned up", function ()
    local settings = config { cgroups = { "memory.max=24M" }, parent_cgroup = "fcspec/below", daemonize = true }
    if not has_controllers() then
      return pending "no cgroup version 2 with memory here"
    end
    settings.machine_config = { mem_size_mib = 256 }
    local vm <close> = assert(fc.new(settings))
    local booted = vm:start()
    if booted then
      assert.equal(9, assert(vm:wait { timeout = linux.patience }).signal)
    end
    assert(vm:close())
    assert.is_nil(files.look "/sys/fs/cgroup/fcspec")
  end)

  it("says which controller no hierarchy has", function ()
    local settings = config { cgroups = { ["nonesuch.max"] = "x", ["memory.max"] = 1 << 30 } }
    if not has_controllers() then
      return pending "no cgroup version 2 with memory here"
    end
    local vm, err = fc.boot(settings)
    assert.is_nil(vm)
    assert.equal('jailer.cgroups["nonesuch.max"]', err.field)
    assert.matches("version 2 (/sys/fs/cgroup) has no nonesuch; version 1 has no memory, nonesuch", err.message, 1, true)
  end)
end)
