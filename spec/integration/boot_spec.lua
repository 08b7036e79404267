-- The first boot and how machines end, on the real VMM.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local host = require "spec.support.host"
local leaks = require "spec.support.leaks"
local sh = require "spec.support.sh"

describe("#kvm a machine", function ()
  leaks.check(before_each, after_each, teardown)

  it("boots by one call, its guest speaks and ends", function ()
    local console, text = bed.collector()
    local vm <close> = assert(fc.boot(bed.config("hello", { console = console })))
    assert.matches("^<vm %x+ %a+, 1 vCPU, 128 MiB", tostring(vm))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.equal("hello from the guest\n", text())
    assert.equal("exited", vm.state)
    assert.is_nil(vm.pid)
  end)

  it("loads what a plain start needs, and no more", function ()
    local out = host("", ([[
      do
        local vm <close> = assert(require "firecracker".boot { run_dir = %q, boot_source = { kernel_image_path = %q } })
        assert(vm:wait())
      end
      for _, name in ipairs { "config.file", "drives", "events", "intake", "kernel_args", "launch.by_file", "launch.jailer", "loop.many",
          "machine.verbs", "rate_limiter", "release", "testing", "text" } do
        if package.loaded["firecracker." .. name] then print(name) end
      end
    ]]):format(leaks.run_dir, bed.guest "exit"))
    assert.equal("", out)
  end)

  it("may be any copy's of a library that is loaded twice: all wait in one loop", function ()
    local out = host("", ([[
      local first = require "firecracker"
      for name in pairs(package.loaded) do
        if name:match "^firecracker" then package.loaded[name] = nil end
      end
      local second = require "firecracker"
      local config = { run_dir = %q, boot_source = { kernel_image_path = %q }, timeouts = { shutdown = 0 } }
      first.run(function ()
        local flow = second.flow "boot":append("fcinit", first.handler("mine.Tells", function () print "a step" end))
        local a <close> = assert(first.boot(config, flow))
        local b <close> = assert(second.boot(config))
        local waits = { first.spawn(b.wait, b), second.spawn(a.wait, a) }
        first.sleep(0.01)
        print(a:info().state, b:info().state, waits[1], waits[2])
        assert(a:kill() and b:kill "TERM")
        print(waits[1]:wait(), waits[2]:wait())
        local c <close> = assert(first.boot(config))
        print(second.forward_signals(c, { "USR1" }))
        print(second.map(first.map({ false, true }, function (x) return x or nil, "none" end), print).errors[1])
      end)
    ]]):format(leaks.run_dir, bed.guest "idle"))
    assert.equal("a step\nRunning\tRunning\t<task running>\t<task running>\n<signal 15>\t<signal 9>\n" ..
      "<forwarding USR1>\ntrue\nnone\n", out)
  end)

  it("warns of a drive that another machine writes to", function ()
    local path = bed.scratch "drive"
    bed.write(path, ("\0"):rep(1 << 20))
    finally(function () os.remove(path) end)
    local warnings = {}
    local function boot (read_only)
      local drive = { drive_id = "data", path_on_host = path, is_root_device = false, is_read_only = read_only }
      return assert(fc.boot(bed.config("idle", { drives = { drive }, log = function (event)
        warnings[#warnings + 1] = event.event == "warning" and event or nil
      end })))
    end
    local reader <close> = boot(true)
    local one <close> = boot(false)
    assert.equal("running", reader.state)
    boot(true):close()
    assert.same({}, warnings)
    boot(false):close()
    local expected = ("config.drives[1].path_on_host: machine %s writes to %s too"):format(one.id, path)
    assert.same({ expected, path }, { warnings[1].message, warnings[1].path })
    one:close()
    boot(false):close()
    assert.equal(1, #warnings)
    fc.run(function ()   -- before either has it open
      local made <close> = assert(fc.all { function () return boot(false) end, function () return boot(false) end })
      assert.equal(2, #made)
    end)
    assert.equal(2, #warnings)
  end)

  it("waits no longer than told, and again", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    local ok, err = vm:wait { timeout = 0.02 }
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.equal("running", vm.state)
    assert.equal("term", vm:stop().by)
    assert.same({ signal = 15 }, vm:wait())
  end)

  it("says by which step it stopped", function ()
    local config = bed.config("cad", { timeouts = { shutdown = 10 } })
    local vm <close> = assert(fc.boot(config))
    assert.same({ by = "shutdown", exited = 0 }, vm:stop())
    local ended <close> = assert(fc.boot(bed.config "exit"))
    bed.eventually(function () return ended.state == "exited" end, "the guest's own end")
    assert.same({ by = "itself", exited = 0 }, ended:stop())
    assert.same({ by = "nothing" }, fc.new(bed.config "exit"):stop())
  end)

  it("asks the guest to shut down, and stops it only when told", function ()
    local obeys <close> = assert(fc.boot(bed.config("cad", { timeouts = { shutdown = 10 } })))
    assert.same({ by = "shutdown", exited = 0 }, obeys:shutdown())
    local deaf <close> = assert(fc.boot(bed.config "idle"))
    local ok, err = deaf:shutdown { timeout = 0.05 }
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.equal("running", deaf.state)
    assert.same({ by = "term", signal = 15 }, deaf:shutdown { timeout = 0.05, stop = true })
  end)

  it("can be killed", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    assert.is_true(vm:kill())
    assert.same({ signal = 9 }, vm:wait { timeout = 10 })
  end)

  it("pauses, resumes and tells of itself", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    assert.is_true(vm:pause())
    assert.equal("Paused", vm:info().state)
    assert.equal("paused", vm.state)
    assert.is_true(vm:pause())
    assert.is_true(vm:resume())
    assert.equal("Running", vm:info().state)
    assert.equal(vm.id, vm:info().id)
    local version = assert(vm.api:request("GET", "/version"))
    assert.matches("^%d+%.%d+%.%d+", version.firecracker_version)
  end)

  it("knows its state also where a change was given up", function ()
    fc.run(function ()
      local vm <close> = assert(fc.boot(bed.config "idle"))
      local function give_up (verb)
        assert(vm:kill "STOP")
        local task = fc.spawn(verb, vm)
        fc.sleep(0.01)
        task:cancel()
        assert.equal("cancelled", select(2, task:wait()).code)
        assert(vm:kill "CONT")
      end
      give_up(vm.pause)
      assert.is_true(vm:resume())
      assert.equal("Running", vm:info().state)
      give_up(vm.pause)
      assert.equal("Paused", vm:info().state)
      assert.equal("paused", vm.state)
      give_up(vm.resume)
      assert.is_true(vm:pause())
      assert.equal("Paused", vm:info().state)
    end)
  end)

  it("goes with its scope, by return and by error", function ()
    for _, leave in ipairs { function () return "back" end, error } do
      local pid
      local ok, why = pcall(function ()
        local vm <close> = assert(fc.boot(bed.config "idle"))
        pid = vm.pid
        return leave "on the way"
      end)
      assert.equal(leave ~= error, ok)
      assert.matches(ok and "^back$" or "on the way$", why)
      assert.is_nil(io.open("/proc/" .. pid .. "/stat"))
    end
  end)

  it("starts once", function ()
    local vm <close> = assert(fc.boot(bed.config "idle"))
    local again, err = vm:start()
    assert.is_nil(again)
    assert.equal("state", err.code)
    assert.matches("cannot start machine %x+: it is running, not new", err.message)
  end)

  it("is brought up by hand, step by step", function ()
    local vm <close> = assert(fc.new(bed.config "hello"))
    local h = fc.handlers
    assert.is_true(h.fcinit.setup_kernel_args(vm))
    assert.is_true(h.fcinit.start_vmm(vm))
    assert.equal("Not started", vm:info().state)
    assert.is_true(h.fcinit.create_machine(vm))
    assert.is_true(h.fcinit.create_boot_source(vm))
    assert.is_true(h.fcinit.start_instance(vm))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
  end)

  it("can try a step again by hand", function ()
    local config = bed.config("hello", { vmm = { arguments = { "--bogus" } } })
    local vm <close> = assert(fc.new(config))
    local start_vmm = fc.handlers.fcinit.start_vmm
    local ok, err = start_vmm(vm)
    assert.is_nil(ok)
    assert.equal("exited", err.code)
    assert.equal(153, err.exited)
    assert.matches('UnexpectedArgument%("bogus"%)', err.message)
    vm.config.vmm.arguments = {}
    assert.is_true(start_vmm(vm))
  end)

  it("is started many at a time", function ()
    fc.run(function ()
      local configs = {}
      for i = 1, 12 do
        configs[i] = bed.config "idle"
      end
      local vms <close> = fc.map(configs, fc.boot, { limit = 6 })
      assert.same({}, vms.errors)
      local pids = {}
      for i = 1, vms.n do
        assert.equal("running", vms[i].state)
        pids[vms[i].pid] = true
      end
      local count = 0
      for _ in pairs(pids) do
        count = count + 1
      end
      assert.equal(12, count)
    end)
  end)

  it("takes drives, a vsock, metadata and an environment, and leaves no socket", function ()
    local drive, socket = bed.write(bed.scratch "drive", ("\0"):rep(1 << 20)), bed.scratch "vsock"
    finally(function () os.remove(drive) end)
    local vm <close> = assert(fc.boot(bed.config("idle", {
      drives = { { drive_id = "rootfs", path_on_host = drive, is_root_device = true, is_read_only = false } },
      vsock = { guest_cid = 3, uds_path = socket },
      mmds = { instance = { name = "x" } },
      vmm = { environment = { TZ = "UTC" } },
    })))
    local seen = assert(vm.api:get_vm_config())
    assert.equal(drive, seen.drives[1].path_on_host)
    assert.equal(socket, seen.vsock.uds_path)
    assert.equal("console=ttyS0 reboot=k panic=1", seen["boot-source"].boot_args:match "^console=ttyS0 reboot=k panic=1")
    assert.equal("x", vm.api:get_mmds().instance.name)
    assert.equal("TZ=UTC\0", bed.read("/proc/" .. vm.pid .. "/environ"))
    assert(io.open(socket) == nil)   -- a socket cannot be opened, but it is there
    assert.equal("socket", require "firecracker.core".files.look(socket).type)
    vm:stop()
    assert.is_nil((require "firecracker.core".files.look(socket)))
  end)

  it("has seccomp filters on each thread: Firecracker's, one's own, or none", function ()
    local function modes (vm)
      local seen = {}
      for line in (sh(("cat /proc/%d/task/*/status"):format(vm.pid))):gmatch "Seccomp:%s*(%d)" do
        seen[line] = true
      end
      return seen
    end
    local filters <close> = assert(fc.boot(bed.config "idle"))
    assert.same({ ["2"] = true }, modes(filters))
    local none <close> = assert(fc.boot(bed.config("idle", { vmm = { no_seccomp = true } })))
    assert.is_nil(modes(none)["2"])
    if not none:version():find "^1%.12%." then
      return    -- the format of the file is another
    end
    local ALLOW <const>, KILL <const> = 0x7fff0000, 0x80000000
    local path = bed.scratch "filter"
    finally(function () os.remove(path) end)
    local function own (api)
      local parts = { ("<I8"):pack(3) }    -- a program of one instruction for each kind of thread
      for name, action in pairs { api = api, vcpu = ALLOW, vmm = ALLOW } do
        parts[#parts + 1] = ("<s8I8I2I2I4"):pack(name, 1, 6, 0, action)
      end
      bed.write(path, table.concat(parts))
      return fc.boot(bed.config("idle", { vmm = { seccomp_filter = path } }))
    end
    local vm <close> = assert(own(ALLOW))
    assert.same({ ["2"] = true }, modes(vm))
    local killed <close>, err = own(KILL)
    assert.is_nil(killed)
    assert.same({ "exited", 31 }, { err.code, err.signal })
  end)

  it("works in a run directory that is deeper than a socket address", function ()
    local deep = leaks.run_dir .. "/" .. ("d"):rep(120)
    local vm <close> = assert(fc.boot(bed.config("hello", { run_dir = deep })))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert(os.remove(deep))
  end)

  it("writes its console to a file, or to ours", function ()
    local path = bed.scratch "console"
    finally(function () os.remove(path) end)
    local vm <close> = assert(fc.boot(bed.config("hello", { console = path })))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.equal("hello from the guest\n", bed.read(path))
  end)

  it("drains a console whose reader fails, and tells of it", function ()
    local told = {}
    local vm <close> = assert(fc.boot(bed.config("hello", {
      console = function () error "no more" end,
      log = function (event) told[#told + 1] = event.event == "console" and event.message or nil end,
    })))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.equal(1, #told)
    assert.matches("config.console failed: .*no more", told[1])
  end)

  it("hands its log and metrics to functions, line by line", function ()
    local log, metrics = {}, {}
    local vm <close> = assert(fc.boot(bed.config("hello", {
      logger = { level = "Info", to = function (line) log[#log + 1] = line end },
      metrics = { to = function (line) metrics[#metrics + 1] = line end },
    })))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.matches("exit_code=0", log[#log])
    assert.matches("^{.*utc_timestamp_ms.*}$", metrics[#metrics])
  end)

  it("makes the log file that Firecracker wants to be there", function ()
    local path = bed.scratch "log"
    finally(function () os.remove(path) end)
    local vm <close> = assert(fc.boot(bed.config("hello", { logger = { log_path = path, level = "Info" } })))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.matches("exit_code=0", bed.read(path))
  end)
end)

describe("#kvm a machine that cannot start", function ()
  leaks.check(before_each, after_each, teardown)

  local function fails (config, flow)
    local vm, err = fc.boot(config, flow)
    assert.is_nil(vm)
    assert.is_true(errors.is(err))
    return err
  end

  it("names the step, the script and the line, and leaves nothing", function ()
    local flow = assert(fc.flow "boot")
    local line
    flow:append_after("fcinit.CreateMachine", fc.handler("mine.Breaks", function ()
      line = debug.getinfo(1, "l").currentline + 1
      error "on purpose"
    end))
    local err = fails(bed.config "hello", flow)
    assert.equal("mine.Breaks", err.handler)
    assert.matches("integration/boot_spec.lua:" .. line .. "$", err.where)
    assert.matches("on purpose", err.message)
    assert.matches("traceback", err.traceback)
    assert.same({ "validate.NetworkCfg", "validate.Cfg", "fcinit.SetupNetwork", "fcinit.SetupKernelArgs", "fcinit.StartVMM",
                  "fcinit.CreateLogFilesHandler", "fcinit.BootstrapLogging", "fcinit.CreateMachine" }, err.done)
    assert.same({ "api client", "process", "run directory" }, err.undone)
  end)

  it("says what the VMM said of a bad kernel", function ()
    local kernel = bed.write(bed.scratch "kernel", ("no kernel"):rep(100))
    finally(function () os.remove(kernel) end)
    local err = fails(bed.config("hello", { boot_source = { kernel_image_path = kernel } }))
    assert.equal("api", err.code)
    assert.equal(400, err.status)
    assert.equal("fcinit.StartInstance", err.handler)
    assert.equal("PUT /actions", err.operation)
    assert.matches("Invalid Elf magic number", err.fault_message)
    assert.matches("boot_spec.lua:%d+$", err.where)
  end)

  it("names a file that is missing before anything is created", function ()
    local err = fails(bed.config("hello", { boot_source = { kernel_image_path = "/nowhere/vmlinux" } }))
    assert.equal("config", err.code)
    assert.equal("boot_source.kernel_image_path", err.field)
    assert.equal("ENOENT", err.errno)
    assert.equal("validate.Cfg", err.handler)
    assert.same({}, err.undone)
    err = fails { run_dir = leaks.run_dir }
    assert.equal("validate.Cfg: config.boot_source: required to boot: table expected, got nil", err.message)
  end)

  it("names a VMM that is missing, and what to do", function ()
    local err = fails(bed.config("hello", { vmm = { binary = "/nowhere/firecracker" } }))
    assert.equal("spawn", err.code)
    assert.equal("fcinit.StartVMM", err.handler)
    assert.equal("/nowhere/firecracker", err.path)
    assert.matches("config.vmm.binary", err.hint)
  end)

  it("names a program that is no VMM", function ()
    local err = fails(bed.config("hello", { vmm = { binary = "/bin/false" } }))
    assert.equal("exited", err.code)
    assert.equal(1, err.exited)
  end)

  it("counts the host's huge pages before anything is created", function ()
    local counts = {}
    for _, name in ipairs { "free", "resv", "nr_overcommit", "surplus" } do
      local file <close> = io.open("/sys/kernel/mm/hugepages/hugepages-2048kB/" .. name .. "_hugepages")
      counts[name] = file and file:read "n" or 0
    end
    local have = counts.free - counts.resv + math.max(0, counts.nr_overcommit - counts.surplus)
    local size = { vcpu_count = 1, mem_size_mib = 2 * have + 2, huge_pages = "2M" }
    local vm, err = fc.boot(bed.config("exit", { machine_config = size }))
    assert.is_nil(vm)
    assert.same({ "config", "machine_config.huge_pages", "validate.Cfg" }, { err.code, err.field, err.handler })
    assert.matches(("%d pages of 2 MiB are needed, this host has %d %%(/proc/sys/vm/nr_hugepages%%)$"):format(have + 1, have),
      tostring(err))
  end)

  it("refuses a socket that is in the way, and one whose path is too long", function ()
    local path = bed.write(bed.scratch "socket", "")
    finally(function () os.remove(path) end)
    local err = fails(bed.config("hello", { vmm = { socket_path = path } }))
    assert.equal("vmm.socket_path", err.field)
    assert.equal("EEXIST", err.errno)
    assert.is_not_nil(io.open(path))   -- not ours to remove
    err = fails(bed.config("hello", { vmm = { socket_path = "/tmp/" .. ("s"):rep(150) } }))
    assert.matches("config.vmm.socket_path: 155 bytes, a socket's path has at most 107", err.message)
  end)

  it("has its socket in the topmost directory, too", function ()
    if core.files.euid() ~= 0 then
      return pending "needs root"
    end
    local path = ("/%s.sock"):format(leaks.links)
    local vm <close> = assert(fc.boot(bed.config("idle", { vmm = { socket_path = path } })))
    assert.is_true(core.files.listens(path))
    vm:close()
    assert.is_nil(core.files.look(path))
  end)

  it("leaves its socket's place to whoever serves it now", function ()
    local path = bed.scratch "socket"
    local vm <close> = assert(fc.boot(bed.config("idle", { vmm = { socket_path = path } })))
    os.remove(path)
    local _ <close> = assert(core.listener.open(path))
    vm:close()
    assert.is_true(core.files.listens(path))
    os.remove(path)
  end)

  -- `config.vmm` of a VMM that begins once a file is there.
  local function waiting_for (file, socket_path)
    local program = bed.write(bed.scratch "vmm", ([[#!/bin/sh
      while [ ! -e %s ]; do sleep 0.01; done
      exec "$FIRECRACKER" "$@"]]):format(file))
    assert(os.execute("chmod 755 " .. program))
    finally(function () os.remove(program) end)
    return { socket_path = socket_path, binary = program, environment = { FIRECRACKER = os.getenv "FIRECRACKER" } }
  end

  it("leaves its socket's place to whoever came there first, and is about to listen", function ()
    local path, other = bed.scratch "socket", nil
    local err = fails(bed.config("idle", { log_level = "debug", log = function (event)
      if event.event == "spawn" then
        other = assert(io.popen(([[exec python3 -SEc 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind("%s")
sys.stdin.read()']]):format(path), "w"))
      end
    end, vmm = waiting_for(path, path) }))
    assert.matches("FailedToBindSocket", err.stderr)
    assert.equal("socket", core.files.look(path).type)
    other:close()
    os.remove(path)
  end)

  it("takes no other VMM's API for its own, where two get one socket path at the same moment", function ()
    local go, path = bed.scratch "go", bed.scratch "socket"
    local vmm = waiting_for(go, path)
    for _ = 1, 5 do
      local vms, errs, spawned = {}, {}, 0
      local function note (event)
        spawned = spawned + (event.event == "spawn" and 1 or 0)
        if spawned == 2 then
          bed.write(go, "")
        end
      end
      fc.run(function ()
        local tasks = {}
        for i = 1, 2 do
          tasks[i] = fc.spawn(function ()
            local err
            vms[i], err = fc.boot(bed.config("idle", { log = note, log_level = "debug", vmm = vmm }))
            errs[#errs + 1] = err
          end)
        end
        for _, task in ipairs(tasks) do
          task:wait()
        end
      end)
      local vm <close> = vms[1] or vms[2]
      assert.is_nil(vms[1] and vms[2])
      assert.equal(1, #errs)
      assert.same({ "exited", "fcinit.StartVMM" }, { errs[1].code, errs[1].handler })
      assert.matches("FailedToBindSocket", errs[1].stderr)
      assert.equal(vm.id, vm.api:get_instance_info().id)    -- at the path, where the other left it
      vm:close()
      assert.is_nil(core.files.look(path))
      os.remove(go)
    end
  end)

  it("refuses an id that is in use", function ()
    local vm <close> = assert(fc.boot(bed.config("idle", { id = "twice" })))
    local err = fails(bed.config("idle", { id = "twice" }))
    assert.equal("EEXIST", err.errno)
    assert.equal("running", vm.state)
  end)

  it("refuses a tap that does not exist instead of making it", function ()
    local err = fails(bed.config("hello", { network_interfaces = { { iface_id = "eth0", host_dev_name = "no-such-tap" } } }))
    assert.equal("network_interfaces[1].host_dev_name", err.field)
    assert.equal("fcinit.SetupNetwork", err.handler)
  end)

  it("ends with the deadline of its start", function ()
    local flow = assert(fc.flow "boot"):append_after("fcinit.StartVMM", fc.handler("mine.Slow", function ()
      return fc.sleep(60)
    end))
    bed.patiently(function (timeout)    -- until it comes so far
      local vm = assert(fc.new(bed.config "hello", flow))
      local ok, err = vm:start { timeout = timeout }
      assert.is_nil(ok)
      assert.equal("timeout", err.code)
      assert.equal("failed", vm.state)
      return err.handler == "mine.Slow"
    end)
  end)
end)

describe("#kvm #root a machine with a tap", function ()
  leaks.check(before_each, after_each, teardown)

  it("uses one that is there", function ()
    local name = leaks.links .. "t"
    assert(os.execute("ip tuntap add mode tap " .. name))
    finally(function () assert(os.execute("ip link delete " .. name)) end)
    local vm <close> = assert(fc.boot(bed.config("idle", {
      network_interfaces = { { iface_id = "eth0", host_dev_name = name, guest_mac = "06:00:AC:10:00:02" } },
    })))
    assert.equal(name, vm.api:get_vm_config()["network-interfaces"][1].host_dev_name)
    vm:stop()
  end)
end)
