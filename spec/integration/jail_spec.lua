-- Machines on the real jailer: one section of the configuration, everything else as without it. After each spec the trees
-- are what they were before, owners and links included.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local jails = require "spec.support.jails"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

local files = core.files

local MODES <const> = {
  ["plain"] = {},
  ["with daemonize"] = { daemonize = true },
  ["with new_pid_ns"] = { new_pid_ns = true },
  ["with daemonize and new_pid_ns"] = { daemonize = true, new_pid_ns = true },
}

local function lives (pid)
  return files.look("/proc/" .. pid) ~= nil and jails.status(pid, "State"):sub(1, 1) ~= "Z"
end

local missing = jails.missing()
if missing then
  describe("#kvm #root a jailed machine", function ()
    it("runs", function () pending(missing) end)
  end)
  return
end

describe("#kvm #root a jailed machine", function ()
  jails.check(before_each, after_each, setup, teardown)

  it("needs a user and a group only: the VMM runs as them, in a root of its own, its filters on", function ()
    local base_was_there = files.look "/srv/jailer"
    local config = bed.config("idle", { jailer = { uid = jails.uid, gid = jails.gid } })
    local vm <close> = assert(fc.boot(config))
    assert.equal("running", vm.state)
    assert.equal("Running", vm:info().state)
    assert.equal(("%d"):format(jails.uid):rep(4, "\t"), jails.status(vm.pid, "Uid"))
    assert.equal(("%d"):format(jails.gid):rep(4, "\t"), jails.status(vm.pid, "Gid"))
    assert.equal("0000000000000000", jails.status(vm.pid, "CapEff"))
    assert.equal("2", jails.status(vm.pid, "Seccomp"))
    local root = ("/srv/jailer/firecracker/%s/root"):format(vm.id)
    local here = files.look(root)
    assert.equal(here.inode, files.look(("/proc/%d/root/."):format(vm.pid)).inode)
    assert.equal(448, files.look("/srv/jailer/firecracker/" .. vm.id).mode)   -- 0700: nobody else comes in
    assert.equal("/vm/kernel", vm:full_config().boot_source.kernel_image_path)
    assert.equal(bed.guest "idle", vm.config.boot_source.kernel_image_path)   -- handlers see the host's
    assert(vm:stop())
    assert.is_nil(files.look(root))
    assert.equal(base_was_there ~= nil, files.look "/srv/jailer" ~= nil)
  end)

  for name, mode in pairs(MODES) do
    it("runs to its guest's end and tells its exit status, " .. name, function ()
      local said, text = bed.collector()
      local vm <close> = assert(fc.boot(jails.config("hello", mode, { console = not mode.daemonize and said or nil })))
      assert.same({ exited = 0 }, { exited = assert(vm:wait { timeout = 30 }).exited })
      assert.equal(mode.daemonize and "" or "hello from the guest\r\n", (text():gsub("\r?\n", "\r\n")))
    end)

    it("is paused, stopped and killed, " .. name, function ()
      local vm <close> = assert(fc.boot(jails.config("idle", mode)))
      local pid = vm.pid
      assert.equal(tostring(pid), bed.read(jails.root(vm) .. "/firecracker.pid"))
      assert.equal(jails.uid .. "", jails.status(pid, "Uid"):match "^%d+")
      assert.equal(mode.new_pid_ns and "1" or nil, jails.status(pid, "NSpid"):match "\t(%d+)$")
      assert(vm:pause())
      assert(vm:resume())
      local ended = assert(vm:stop())
      assert.equal(mode.new_pid_ns and "kill" or "term", ended.by)   -- a namespace's first process hears no SIGTERM
      assert.equal(mode.new_pid_ns and 9 or 15, ended.signal)
      assert.is_false(lives(pid))
      local again <close> = assert(fc.boot(jails.config("idle", mode)))
      assert(again:kill())
      assert.equal(9, assert(again:wait { timeout = 30 }).signal)
    end)

    it("is undone when a step fails, " .. name, function ()
      local pid
      local flow = assert(fc.flow "boot"):insert_before("fcinit.StartInstance", function (vm)
        pid = vm.pid
        return nil, errors.new { code = "mine", message = "no" }
      end)
      local vm, err = fc.boot(jails.config("idle", mode), flow)
      assert.is_nil(vm)
      assert.equal("mine", err.code)
      assert.is_nil(err.undo_errors)
      assert.is_false(lives(pid))
    end)

    it("starts by file, " .. name, function ()
      local drive = jails.file("drive", nil)
      local config = jails.config("idle", mode, { drives = fc.drives.add({}, drive), mmds = { a = 1 },
        cpu_config = { kvm_capabilities = { "!56" } } })
      local vm <close> = assert(fc.boot(config, { via = "config_file" }))
      assert.equal("/vm/drives/drive1", vm:full_config().drives[1].path_on_host)
      assert.same({ a = 1 }, vm:metadata())
      assert.equal("drives\nkernel\n", (sh(("ls -A %s/vm"):format(jails.root(vm)))))   -- what was read of configuration is gone
      assert(vm:stop())
    end)
  end

  it("starts again under its id, and its steps can be called by hand", function ()
    local config = jails.config("idle", nil, { id = "again" })
    for _ = 1, 2 do
      local vm <close> = assert(fc.boot(config))
      assert(vm:stop())
    end
    local vm <close> = assert(fc.new(config))
    local h = fc.handlers.fcinit
    for _, step in ipairs { h.setup_kernel_args, h.start_vmm, h.create_machine, h.create_boot_source, h.start_instance } do
      assert(step(vm))   -- nothing was staged before: the kernel is, when its path is sent
    end
    assert.equal("Running", vm:info().state)
  end)

  it("leaves no descriptor behind when the start of the process raises, or its client is refused", function ()
    local function raise () error "no luck" end
    for _, more in ipairs { { vmm = { spawn = raise } }, { client = raise } } do
      bed.closes_all(function ()
        local vm, err = fc.boot(jails.config("idle", { stdin = "/dev/null", stdout = "/dev/null" }, more))
        assert.is_nil(vm)
        assert.matches("no luck", err.message)
      end)
    end
  end)

  it("can be tried once more when its VMM did not start", function ()
    local vm <close> = assert(fc.new(jails.config("idle", nil, { id = "tried", vmm = { arguments = { "--no-such-flag" } } })))
    local h = fc.handlers.fcinit
    assert(h.link_files(vm))
    local ok, err = h.start_vmm(vm)
    assert.is_nil(ok)
    assert.equal("exited", err.code)
    assert.equal(153, err.exited)
    vm.config.vmm.arguments = {}
    assert(h.start_vmm(vm))
    assert.equal("Not started", vm:info().state)
  end)

  it("writes its logs and metrics where the host has them, through files and FIFOs", function ()
    local log, metrics = jails.file("log", ""), jails.file("metrics", "")
    local vm <close> = assert(fc.boot(jails.config("idle", nil, {
      logger = { log_path = log, level = "Info" }, metrics = { metrics_path = metrics } })))
    assert(vm:flush_metrics())
    bed.eventually(function () return bed.read(metrics):find "utc_timestamp_ms" end, "a line of metrics")
    assert.matches("API server received", bed.read(log))
    assert(vm:stop())
    bed.write(log, "")
    bed.write(metrics, "")
    local lines = {}
    local fifo <close> = assert(fc.boot(jails.config("idle", nil, {
      logger = { to = function (line) lines[#lines + 1] = line end, level = "Info" },
      metrics = { fifo = jails.files .. "/fifo", to = function (line) lines.metrics = line end } })))
    assert(fifo:flush_metrics())
    bed.eventually(function () return lines.metrics end, "a line of metrics")
    assert.matches("API server received", table.concat(lines, "\n"))
  end)

  it("makes its vsock's socket in the jail, where a link of the configured name leads", function ()
    local path = jails.files .. "/v.sock"
    local config = jails.config("idle", nil, { vsock = { guest_cid = 3, uds_path = path } })
    for _ = 1, 2 do
      local vm <close> = assert(fc.boot(config))
      assert.equal("/run/vsock.sock", vm:full_config().vsock.uds_path)
      assert.equal(jails.root(vm) .. "//run/vsock.sock", vm.vsock_path)
      assert.is_true(files.listens(vm.vsock_path))
      assert.is_true(files.listens(path))
      assert(vm:stop())
    end
    bed.write(path, "")
    jails.later(function () os.remove(path) end)
    local _, err = fc.boot(config)
    assert.equal("vsock.uds_path", err.field)
    assert.equal("EEXIST", err.errno)
  end)

  it("has its API's socket under the configured name, and below a path of any length", function ()
    local path, deep = jails.files .. "/api.sock", jails.base .. ("/" .. ("d"):rep(60)):rep(3)
    assert.equal(0, select(2, sh("mkdir -p " .. deep)))
    jails.later(function () sh("rm -rf " .. sh.quote(jails.base .. "/" .. ("d"):rep(60))) end)
    for _, mode in pairs(MODES) do
      mode = { daemonize = mode.daemonize, new_pid_ns = mode.new_pid_ns, chroot_base_dir = deep }
      local vm <close> = assert(fc.boot(jails.config("idle", mode, { vmm = { socket_path = path } })))
      local client <close> = fc.client(path)
      assert.equal(vm.id, client:get_instance_info().id)
      assert.is_true(#vm.socket_path > 200)
      assert(vm:stop())
      assert.is_nil(files.look(path))
    end
  end)

  it("updates a drive to a file outside of the jail", function ()
    local first, second = jails.file("first", nil), jails.file("second", ("\0"):rep(2 << 20))
    local vm <close> = assert(fc.boot(jails.config("idle", nil, { drives = fc.drives.add({}, first, { drive_id = "d" }) })))
    assert.equal("/vm/drives/d", vm:full_config().drives[1].path_on_host)
    assert(vm:update_drive("d", { path_on_host = second }))
    assert.equal("/vm/drives/d.2", vm:full_config().drives[1].path_on_host)
    assert.equal(files.look(second).inode, files.look(jails.root(vm) .. "/vm/drives/d.2").inode)
    assert(vm:update_drive "d")
    assert(vm:update_drive("d", { path_on_host = first }))
    assert.equal("/vm/drives/d", vm:full_config().drives[1].path_on_host)
    local _, err = vm:update_drive("d", { path_on_host = jails.files .. "/absent" })
    assert.equal("ENOENT", err.errno)
  end)

  it("updates a drive to one of another file system, which is mounted in the VMM's own namespace", function ()
    local first, other = jails.file("first", nil), jails.files .. "/tmpfs"
    sh(("mkdir %s && mount -t tmpfs none %s"):format(other, other))
    jails.later(function () sh(("umount -l %s; rmdir %s"):format(other, other)) end)
    local second = jails.file("tmpfs/second", ("\0"):rep(2 << 20))
    for _, mode in pairs(MODES) do
      local vm <close> = assert(fc.boot(jails.config("idle", mode, { drives = fc.drives.add({}, first, { drive_id = "d" }) })))
      assert(vm:update_drive("d", { path_on_host = second }))
      assert.matches(" /vm/drives/d%.2 rw,nosuid,nodev,noexec", bed.read(("/proc/%d/mountinfo"):format(vm.pid)))
      assert.is_nil(sh("cat /proc/self/mountinfo"):find(vm.id .. "/root/vm/drives/", 1, true))
      assert(vm:stop())
      assert.equal(0, files.look(second).uid)
    end
  end)

  it("gets the options of the configuration", function ()
    local vm <close> = assert(fc.boot(jails.config("idle", {
      resource_limits = { fsize = 123456789, no_file = 500 }, stdin = "/dev/zero", stdout = jails.files .. "/out",
      stderr = jails.files .. "/err" }, { vmm = { arguments = { "--boot-timer" } } })))
    jails.later(function () os.remove(jails.files .. "/out"); os.remove(jails.files .. "/err") end)
    local limits = bed.read(("/proc/%d/limits"):format(vm.pid))
    assert.matches("Max file size%s+123456789 +123456789 ", limits)
    assert.matches("Max open files%s+500 +500 ", limits)
    local cmdline = bed.read(("/proc/%d/cmdline"):format(vm.pid))
    assert.matches("%-%-boot%-timer", cmdline)
    assert.equal(files.look(jails.files .. "/out").inode, files.look(("/proc/%d/fd/1"):format(vm.pid), true).inode)
    assert.equal(files.look(jails.files .. "/err").inode, files.look(("/proc/%d/fd/2"):format(vm.pid), true).inode)
    assert(vm:stop())
  end)

  it("is put into the cgroups asked for, which go with it", function ()
    local point = sh "awk '$3 == \"cgroup\" && $4 ~ /(^|,)cpu(,|$)/ {print $2}' /proc/mounts":match "^(%S+)\n"
    if not point then
      return pending "no cgroup hierarchy of version 1 with the controller cpu here"
    end
    for _, groups in ipairs { { ["cpu.shares"] = 256 }, { "cpu.shares=256" } } do
      local vm <close> = assert(fc.boot(jails.config("idle", { cgroups = groups, parent_cgroup = leaks.links .. "/below" })))
      local path = ("/%s/below/%s"):format(leaks.links, vm.id)
      assert.matches(":cpu[^\n]*:" .. path:gsub("%-", "%%-") .. "\n", bed.read(("/proc/%d/cgroup"):format(vm.pid)))
      assert.equal("256\n", bed.read(point .. path .. "/cpu.shares"))
      assert(vm:stop())
      assert.is_nil(files.look(point .. "/" .. leaks.links))
    end
    local vm = assert(fc.boot(jails.config("idle", { numa_node = 0, daemonize = true, parent_cgroup = leaks.links })))
    assert.matches(":cpuset:/" .. leaks.links .. "/" .. vm.id, bed.read(("/proc/%d/cgroup"):format(vm.pid)))
    assert(vm:stop())
    -- its memory is filled in
    vm = assert(fc.boot(jails.config("idle", { cgroups = { ["cpuset.cpus"] = "0" }, parent_cgroup = leaks.links })))
    assert(vm:close())
  end)

  it("out of its cgroup's memory, says so; killed otherwise, does not", function ()
    local v1 = sh "awk '$3 == \"cgroup\" && $4 ~ /(^|,)memory(,|$)/ {print $2}' /proc/mounts":match "^(%S+)\n"
    if not v1 and not sh "cat /sys/fs/cgroup/cgroup.controllers":find "memory" then
      return pending "no cgroup hierarchy with the controller memory here"
    end
    local limit = { [v1 and "memory.limit_in_bytes" or "memory.max"] = "64M" }
    for _, daemonize in ipairs { false, true } do
      local vm <close> = assert(fc.boot(jails.config("fill", { cgroups = limit, daemonize = daemonize, parent_cgroup = leaks.links })))
      local ended = assert(vm:wait { timeout = 60 })
      assert.matches("^out of memory: the kernel killed it at the limit of its cgroup /.*/" .. vm.id .. "$", ended.reason)
      assert.equal(ended.reason, vm:exited_error().hint)
    end
    local vm <close> = assert(fc.boot(jails.config("idle", { cgroups = limit, parent_cgroup = leaks.links })))
    vm:kill()
    local ended = assert(vm:wait { timeout = 60 })
    assert.same({ signal = 9 }, { signal = ended.signal, reason = ended.reason })
  end)

  it("writes no snapshot that is larger than its files may be, which would kill it", function ()
    local size <const> = 128 << 20
    for fsize, fits in pairs { [size - 1] = false, [size] = true } do
      local vm <close> = assert(fc.boot(jails.config("idle", { resource_limits = { fsize = fsize } })))
      local path = jails.files .. "/state"
      local taken, err = vm:snapshot { snapshot_path = path, mem_file_path = jails.files .. "/memory", pause = true }
      assert.equal(fits, taken ~= nil, err)
      if fits then
        sh(("rm %s %s.json %s/memory"):format(path, path, jails.files))
      else
        assert.same({ "snapshot", "EFBIG" }, { err.code, err.errno })
        assert.matches("has 134217728 bytes, its VMM may write files of 134217727 %(jailer.resource_limits.fsize", tostring(err))
      end
      assert.equal("running", vm.state)
    end
  end)

  it("given up before its VMM is found ends that, and what that starts meanwhile, before its cgroup goes", function ()
    local launcher, jail = require "firecracker.launch.jailer", require "firecracker.launch.jail"
    local await, inhabitants = launcher.await, jail.inhabitants
    finally(function () launcher.await, jail.inhabitants = await, inhabitants end)
    local program = "import os, sys, time; os.chroot(sys.argv[1]); time.sleep(1000)"
    for name, mode in pairs(MODES) do
      if next(mode) then
        local task, pid, late
        function launcher.await (vm)   -- as if nothing were there yet
          local path = ("%s/firecracker.pid"):format(jails.root(vm))
          pid = bed.eventually(function () return files.look(path) and tonumber(bed.read(path)) end, "the pid file")
          os.remove(path)
          task:cancel()
          return await(vm)
        end
        function jail.inhabitants (root)
          local found = inhabitants(root)
          if pid and not late then
            late = tonumber((sh(("python3 -c %s %s >/dev/null 2>&1 & echo $!"):format(sh.quote(program), root))))
            bed.eventually(function () return inhabitants(root)[#found + 1] end, "another process of the jail's")
          end
          return found
        end
        local vm, err = fc.run(function ()
          task = fc.spawn(fc.boot, jails.config("idle", { daemonize = mode.daemonize, new_pid_ns = mode.new_pid_ns,
            cgroups = { ["pids.max"] = 40 }, parent_cgroup = leaks.links }, { timeouts = { stop = 10 } }))
          return task:wait()
        end)
        if err.field == "jailer.cgroups" then
          return pending "no cgroup hierarchy with the controller pids here"
        end
        assert.same({ code = "cancelled" }, { vm = vm, code = err.code, undo_errors = err.undo_errors }, name)
        assert.same({ false, false }, { lives(pid), lives(late) }, name)
      end
    end
  end)

  it("without cgroups stays where we are", function ()
    local vm <close> = assert(fc.boot(jails.config "idle"))
    assert.equal(bed.read "/proc/self/cgroup", bed.read(("/proc/%d/cgroup"):format(vm.pid)))
  end)

  it("joins a network namespace", function ()
    local name = leaks.links .. "ns"
    assert.equal(0, select(2, sh("ip netns add " .. name)))
    jails.later(function () sh("ip netns del " .. name) end)
    for _, mode in pairs(MODES) do
      local flow = assert(fc.flow "boot"):insert_before("fcinit.StartVMM", function (vm)
        vm.netns = { name = name, path = "/run/netns/" .. name }
      end)
      local vm <close> = assert(fc.boot(jails.config("idle", mode), flow))
      assert.equal(files.look("/run/netns/" .. name).inode, files.look(("/proc/%d/ns/net"):format(vm.pid), true).inode)
      assert(vm:stop())
    end
  end)

  it("tells what its jailer said when that fails, and leaves nothing", function ()
    local point = sh "awk '$3 == \"cgroup\" && $4 ~ /(^|,)cpu(,|$)/ {print $2}' /proc/mounts":match "^(%S+)\n"
    local jailer = point and { cgroups = { ["cpu.shares"] = "much" } } or { resource_limits = { no_file = 1 << 50 } }
    for name, mode in pairs(MODES) do
      mode = { daemonize = mode.daemonize, new_pid_ns = mode.new_pid_ns }
      for key, value in pairs(jailer) do
        mode[key] = value
      end
      local vm, err = fc.boot(jails.config("idle", mode))
      assert.is_nil(vm, name)
      assert.equal("exited", err.code)
      assert.matches("the jailer was ended by signal 6: Failed to ", err.message)
      assert.matches("Jailer error: Failed to ", err.stderr)
    end
  end)

  it("tells that its VMM ended, also when nobody is its parent", function ()
    for name, mode in pairs(MODES) do
      local vm, err = fc.boot(jails.config("idle", mode, { vmm = { arguments = { "--no-such-flag" } } }))
      assert.is_nil(vm, name)
      assert.equal("exited", err.code, name)
      if err.exited or not (mode.daemonize or mode.new_pid_ns) then   -- else its parent may have taken its status before we held it
        assert.equal(153, err.exited, name)
      end
    end
  end)

  it("is refused a jail that is there, unless it adopts it: what was there stays", function ()
    local directory = jails.base .. "/firecracker/kept"
    sh(("mkdir -p %s/root/mine && chmod 700 %s && echo text >%s/root/mine/file"):format(directory, directory, directory))
    jails.later(function () sh("rm -rf " .. jails.base .. "/firecracker") end)
    local before = jails.tree(jails.base)
    local vm, err = fc.boot(jails.config("idle", nil, { id = "kept" }))
    assert.is_nil(vm)
    assert.same({ "config", "id", "EEXIST" }, { err.code, err.field, err.errno })
    assert.matches("adopt", err.hint)
    assert.equal(before, jails.tree(jails.base))
    vm, err = fc.boot(jails.config("idle", nil, { id = "kept" }),
      { flow = fc.flow "boot":clear "validation" })
    assert.is_nil(vm)
    assert.equal("EEXIST", err.errno)
    assert.equal(before, jails.tree(jails.base))
    for _ = 1, 2 do   -- as a jail that was left behind the second time: the first is given up without cleaning
      local adopted <close> = assert(fc.boot(jails.config("idle", { adopt = true }, { id = "kept",
        drives = fc.drives.add({}, directory .. "/root/mine/file", { is_read_only = true }) })))
      assert.equal("/mine/file", adopted:full_config().drives[1].path_on_host)
      local _, problem = fc.boot(jails.config("idle", { adopt = true }, { id = "kept", run_dir = leaks.run_dir .. "-other" }))
      assert.matches("lives in", problem.message)
      files.remove_directory(leaks.run_dir .. "-other")
      assert(adopted:stop())
      assert.equal(before, jails.tree(jails.base))
    end
  end)

  it("that cannot empty the jail it adopts leaves what it held, and says why at once", function ()
    local root = jails.base .. "/firecracker/full/root"
    jails.later(function () sh(("chattr -R -i %s/run; rm -rf %s/firecracker"):format(root, jails.base)) end)
    sh(("mkdir -p %s/mine %s/run; echo text >%s/mine/file; chown -R 5:6 %s; chmod 750 %s"):format(root, root, root, root, root))
    local function refused (run)
      assert.equal("", (sh(("cd %s/run; %s"):format(root, run))))
      local before, began = jails.tree(root .. "/mine"), core.now()
      local vm, err = fc.boot(jails.config("idle", { adopt = true }, { id = "full", timeouts = { stop = 0 } }))
      assert.is_nil(vm)
      assert.is_nil(err.undo_errors)
      assert.is_true(core.now() - began < 20)
      assert.equal(before, jails.tree(root .. "/mine"))
      local look = files.look(root)
      assert.same({ 5, 6, 488 }, { look.uid, look.gid, look.mode })   -- 0750
      return err
    end
    local err = refused "for i in $(seq 600); do : >$i; done"   -- more than are removed at once
    assert.equal("timeout", err.code)
    assert.matches("run in the jail cannot be removed in time", err.message, 1, true)
    if select(2, sh(("cd %s/run && rm * && : >x && chattr +i x"):format(root))) == 0 then
      assert.equal("EPERM", refused("true").errno)
    end
  end)

  it("takes over what a machine left behind whose program was killed", function ()
    local program = ([[
      local fc = require "firecracker"
      local vm = assert(fc.boot { id = "orphan", run_dir = %q, boot_source = { kernel_image_path = %q },
        jailer = { uid = %d, gid = %d, chroot_base_dir = %q } })
      io.open(%q, "w"):write(vm.pid):close()
      os.execute("kill -9 $PPID")
    ]]):format(jails.files .. "/run", bed.guest "idle", jails.uid, jails.gid, jails.base, jails.files .. "/pid")
    local path = jails.file("orphan.lua", program)
    jails.later(function () sh("rm -rf " .. jails.base .. "/firecracker") end)
    sh("lua5.4 " .. path)
    local pid = bed.read(jails.files .. "/pid")
    sh("kill -9 " .. pid)
    bed.eventually(function () return not lives(pid) end, "the orphan's end")
    sh(("rm -rf %s/run %s/pid"):format(jails.files, jails.files))
    local vm <close> = assert(fc.boot(jails.config("idle", { adopt = true }, { id = "orphan" })))
    assert.equal("Running", vm:info().state)
    assert(vm:stop())
    assert.equal("", (sh("find " .. jails.base .. "/firecracker/orphan/root -mindepth 1")))
  end)

  it("is one of twenty, of which one is killed at each stage", function ()
    local stages = { "fcinit.LinkFilesToRootFS", "fcinit.StartVMM", "fcinit.BootstrapLogging", "fcinit.CreateMachine",
                     "fcinit.CreateBootSource", "fcinit.AttachDrives", "fcinit.AddVsocks", "fcinit.StartInstance" }
    local killed, modes = {}, { MODES["plain"], MODES["with daemonize"], MODES["with new_pid_ns"] }
    local list = {}
    for i = 1, 20 do
      local stage = stages[i]
      local flow = assert(fc.flow "boot")
      if stage then
        local function kill (vm)
          killed[#killed + 1] = stage
          if vm.process then
            vm:kill()
            vm:wait { timeout = 20 }
          else
            return nil, errors.new { code = "mine", message = "killed before there was a process" }
          end
        end
        if stage == "fcinit.LinkFilesToRootFS" then
          flow:insert_before("fcinit.StartVMM", kill)
        else
          flow:append_after(stage, kill)
        end
      end
      local drive = jails.file("drive" .. i, nil)
      list[i] = { config = jails.config("idle", modes[i % 3 + 1], { drives = fc.drives.add({}, drive) }), flow = flow }
    end
    fc.run(function ()
      local vms <close> = fc.map(list, function (each) return fc.boot(each.config, each.flow) end)
      for i = 1, 20 do
        if stages[i] and stages[i] ~= "fcinit.StartInstance" then
          assert.is_nil(vms[i], stages[i])
        elseif not stages[i] then
          assert.equal("Running", assert(vms[i], tostring(vms.errors[i])):info().state)
        end
      end
      assert.equal(#stages, #killed)
    end)
  end)

  it("is cleaned up after whatever its jailer was doing when it was killed", function ()
    for delay = 0, 12 do   -- a start takes some milliseconds
      local vm <close> = assert(fc.new(jails.config("idle", delay % 2 == 0 and { daemonize = true } or {})))
      fc.run(function ()
        local start = fc.spawn(vm.start, vm)
        bed.eventually(function () return vm.jailer_process or vm.process end, "the jailer")
        fc.sleep(delay * 0.7e-3)
        if vm.process then
          vm:kill()
        elseif vm.jailer_process then
          vm.jailer_process:signal "KILL"
        end
        start:wait()
      end)
      assert(vm:close())
    end
  end)

  it("is run by fclua with firectl's words", function ()
    local words = ("--jailer %s --uid %d --gid %d --node 0 --chroot-base-dir %s --exec-file %s"):format(
      os.getenv "JAILER" or sh "command -v jailer":match "%S+", jails.uid, jails.gid, jails.base,
      files.canonical(require "firecracker.launch.direct".find { vmm = {} }))
    local point = sh "awk '$4 ~ /(^|,)cpuset(,|$)/ {print $2}' /proc/mounts":match "^(%S+)\n"
    if not point then
      words = words:gsub("%-%-node 0 ", "")
    end
    local out, status = sh(("scripts/fclua run --kernel %s %s --id %sa"):format(bed.guest "hello", words, leaks.links))
    assert.equal(0, status, out)
    assert.matches("hello from the guest", out)
    out, status = sh(("scripts/fclua run --kernel %s %s --daemonize"):format(bed.guest "hello", words))
    assert.equal(0, status, out)
    assert.is_nil(out:find("hello from", 1, true))
    assert.equal("", (sh(("find /sys/fs/cgroup -name '%sa'"):format(leaks.links))))
    out, status = sh(("scripts/fclua run --kernel %s %s --id a_b"):format(bed.guest "hello", words))
    assert.equal(2, status)
    assert.matches("%-%-id: letters", out)
  end)

  it("shows its command and how its files come in, and does nothing", function ()
    local drive = jails.file("drive", nil)
    local shown = assert(fc.command(jails.config("idle", {
      daemonize = true, new_pid_ns = true, resource_limits = { fsize = 5, no_file = 6 }, staging_for = { ["drives/d"] = { "copy" } },
    }, {
      id = "shown", drives = fc.drives.add({}, drive, { drive_id = "d" }),
      vmm = { no_seccomp = true, arguments = { "--boot-timer" } },
    })))
    assert.same({ "--id", "shown", "--exec-file", shown[5], "--uid", jails.uid .. "", "--gid", jails.gid .. "",
      "--chroot-base-dir", jails.base, "--daemonize", "--new-pid-ns", "--resource-limit", "fsize=5", "--resource-limit", "no-file=6",
      "--", "--api-sock", "/run/firecracker.socket", "--log-path", "/vmm.log", "--level", "Warning", "--no-seccomp", "--boot-timer" },
      table.move(shown, 2, #shown, 1, {}))
    assert.same({
      { path = bed.guest "idle", jail = "/vm/kernel", use = "read", ways = { "link", "reflink", "bind", "copy" } },
      { path = drive, jail = "/vm/drives/d", use = "write", ways = { "copy" } },
    }, shown.staging)
    assert.equal(jails.base .. "/firecracker/shown/root", shown.root)
    assert.matches("\n" .. drive:gsub("%p", "%%%0") .. " %-> /vm/drives/d %(write: copy%)$", tostring(shown))
    assert.equal("--id", fc.command(bed.config "idle")[2])
  end)

  it("takes a strategy of the user's", function ()
    local seen = {}
    local config = jails.config("idle", { chroot_strategy = function (flow)
      flow = fc.jail.naive(flow)
      return flow:append_after("fcinit.LinkFilesToRootFS", fc.handler("mine.More", function (vm)
        seen.jail = assert(vm:vmm_path(bed.guest "exit", "read", "more/exit"))
      end))
    end })
    local vm <close> = assert(fc.boot(config))
    assert.equal("/vm/more/exit", seen.jail)
    assert.is_truthy(files.look(jails.root(vm) .. seen.jail))
    assert(vm:stop())
    assert.error_matches(function () fc.new(jails.config("idle", { chroot_strategy = function () end })) end,
      "config.jailer.chroot_strategy: a flow expected of it, got nil")
    local bare <close> = assert(fc.boot(jails.config("idle", { chroot_strategy = function (flow) return flow end })))
    assert.equal("Running", bare:info().state)   -- brought in as they are named
  end)
end)
