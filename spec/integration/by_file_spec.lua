-- Starting by Firecracker's own configuration file: the same machine as by requests, from the same flow.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"

local files = core.files
local h = fc.handlers.fcinit

local function by_file (config, flow)
  return fc.boot(config, { via = "config_file", flow = flow })
end

local function before_start (...)
  return assert(fc.flow "boot"):insert_before("fcinit.StartInstance", ...)
end

local function step (run)
  return fc.handler("mine.Step", run)
end

-- A log for a configuration, and the operations it was told of.
local function requests ()
  local list = {}
  return function (event)
    list[#list + 1] = event.event == "request" and event.operation or nil
  end, list
end

describe("#kvm a start by file", function ()
  leaks.check(before_each, after_each, teardown)

  it("gives the same machine without a request for its configuration", function ()
    local drive = bed.write(bed.scratch "drive", ("\0"):rep(1 << 20))
    local sockets = { bed.scratch "a", bed.scratch "b" }
    finally(function () os.remove(drive) end)
    local flow = before_start(h.create_balloon { amount_mib = 8, deflate_on_oom = true }, h.set_metadata { a = { 1, "ü" } })
    local function config (socket)
      local log, list = requests()
      return bed.config("idle", {
        machine_config = { vcpu_count = 2, mem_size_mib = 64, track_dirty_pages = true },
        entropy = { rate_limiter = { ops = { size = 1, refill_time = 100 } } },
        cpu_config = { kvm_capabilities = { "!56" } },
        drives = fc.drives.add(fc.drives.root(drive, { cache_type = "Writeback" }), drive, { is_read_only = true }),
        vsock = { guest_cid = 5, uds_path = socket },
        log = log,
      }), list
    end
    local by_api <close> = assert(fc.boot(config(sockets[1]), flow))
    local settings, list = config(sockets[2])
    local vm <close> = assert(by_file(settings, flow))
    assert.same({}, list)
    assert.equal("running", vm.state)
    local one, other = by_api:full_config(), vm:full_config()
    one.vsock.uds_path, other.vsock.uds_path = nil, nil
    assert.same(one, other)
    assert.equal(5, other.vsock.guest_cid)
    assert.same(by_api:metadata(), vm:metadata())
    assert.is_true(vm:pause())
    assert.is_true(vm:resume())
    vm:stop()
    assert.is_nil((files.look(sockets[2])))
  end)

  it("hands over the console, and the end of a guest that is quick", function ()
    local console, text = bed.collector()
    local vm <close> = assert(by_file(bed.config("hello", { console = console })))
    assert.same({ exited = 0 }, vm:wait { timeout = 10 })
    assert.equal("hello from the guest\n", text())
    for _ = 1, 10 do
      local quick <close> = assert(by_file(bed.config "exit"))
      assert.same({ exited = 0 }, quick:wait { timeout = 10 })
    end
  end)

  it("leaves no file behind, and shows it to nobody else while it is there", function ()
    local seen = {}
    local vm <close> = assert(by_file(bed.config("idle", { mmds = { secret = 1 }, log = function (event)
      for _, word in ipairs(event.event == "spawn" and event.argv or {}) do
        local look = word:find "%.json$" and files.look(word)
        seen[#seen + 1] = look and ("%s %o"):format(word:match "[^/]*$", look.mode) or nil
      end
    end }), before_start(function (vm) return vm.api:put_cpu_config { kvm_capabilities = fc.array { "!56" } } end)))
    assert.same({ "config.json 600", "mmds.json 600" }, seen)
    for _, name in ipairs { "config", "mmds", "cpu-config" } do
      assert.is_nil((files.look(("%s/%s.json"):format(vm.directory, name))))
    end
    assert.is_nil(by_file(bed.config("idle", { mmds = { secret = 1 }, vmm = { arguments = { "--bogus" } } })))
  end)

  it("runs the steps of the flow in their order", function ()
    local ran = {}
    local function note (name)
      return fc.handler("mine." .. name, function (vm)
        ran[#ran + 1] = ("%s %s"):format(name, vm.pid and "pid" or vm.directory and "directory")
      end)
    end
    local flow = assert(fc.flow "boot"):prepend("fcinit", note "first"):append_after("fcinit.StartVMM", note "held",
      function (vm) vm.config.boot_source.boot_args = "mine" end):append("fcinit", note "last", function (vm)
        assert(vm:info().state == "Running")
      end)
    local vm <close> = assert(by_file(bed.config "idle", flow))
    assert.same({ "first nil", "held directory", "last pid" }, ran)
    assert.equal("mine", vm:full_config().boot_source.boot_args)
  end)

  it("folds the user's requests, each in place of the one before", function ()
    local body = { drive_id = "a", path_on_host = files.absolute "README.md", is_root_device = false, is_read_only = true }
    local vm <close> = assert(by_file(bed.config "idle", before_start(function (vm)
      assert(vm.api:put_drive("a", body))
      body.path_on_host = files.absolute "LICENSE"
      assert(vm.api:put_drive("b", { drive_id = "b", path_on_host = body.path_on_host, is_root_device = false, is_read_only = true }))
      assert(vm.api:request("PUT", "/drives/a", body))
      body.path_on_host = "/never"
      assert(vm.api:put_entropy {})
      return vm:set_metadata { mine = true }
    end)))
    local full = assert(vm:full_config())
    assert.equal(2, #full.drives)
    assert.same({ "a", files.absolute "LICENSE" }, { full.drives[1].drive_id, full.drives[1].path_on_host })
    assert.same({}, full.entropy)
    assert.same({ mine = true }, vm:metadata())
  end)

  it("folds changes of what was sent before", function ()
    local vm <close> = assert(by_file(bed.config "idle", before_start(
      h.set_metadata { a = { b = 1, c = 2 }, list = { 1, 2 }, old = { 1 } },
      function (vm) return vm:update_metadata { a = { b = fc.null, d = { e = 3 } }, list = fc.array {}, f = false, old = { x = 1 } } end,
      function (vm) return vm.api:patch_machine_config { mem_size_mib = 64 } end)))
    assert.same({ a = { c = 2, d = { e = 3 } }, list = {}, f = false, old = { x = 1 } }, vm:metadata())
    assert.is_truthy(getmetatable(vm:metadata().list))   -- an array, not an object
    assert.same({ 1, 64 }, { vm:machine_config().vcpu_count, vm:machine_config().mem_size_mib })
  end)

  it("refuses what only a VMM can answer until it is there", function ()
    for _, request in ipairs {
      { "GET /", function (vm) return vm:info() end },
      { "PATCH /mmds", function (vm) return vm:update_metadata { a = 1 } end },
      { "PUT /serial", function (vm) return vm.api:request("PUT", "/serial", {}) end },
      { "PUT /actions", function (vm) return vm:flush_metrics() end },
    } do
      local vm, err = by_file(bed.config("idle", { id = "held" }), before_start(step(request[2])))
      assert.is_nil(vm)
      assert.equal("state", err.code)
      assert.equal(("mine.Step: %s: not while machine held is put together for its start by file"):format(request[1]), err.message)
      assert.equal("its VMM comes with fcinit.StartInstance", err.hint)
    end
  end)

  it("refuses an id that is another in the body, as the API does and the file does not", function ()
    local vm, err = by_file(bed.config "idle", before_start(step(function (vm)
      return vm.api:put_drive("a", { drive_id = "b", path_on_host = "/b", is_root_device = false })
    end)))
    assert.is_nil(vm)
    assert.equal("mine.Step: PUT /drives/a: drive_id: 'a' expected, got 'b'", err.message)
  end)

  it("says as the VMM does what is wrong, and undoes all", function ()
    local function fails (config, flow)
      local vm, err = by_file(config, flow)
      assert.is_nil(vm)
      assert.equal("exited", err.code)
      assert.equal(1, err.exited)
      assert.equal("fcinit.StartInstance", err.handler)
      return err.message
    end
    assert.matches("unknown field `bogus`", fails(bed.config "idle", before_start(function (vm)
      return vm.api:put_entropy { bogus = 1 }
    end)))
    assert.matches("No such file or directory", fails(bed.config("idle", {
      disable_validation = true, drives = fc.drives.add({}, "/no/such/file"),
    })))
    -- A request that waits while the VMM fails makes it panic: status 148, and no cause.
    for _ = 1, 5 do
      local message = fails(bed.config("idle", { boot_source = { kernel_image_path = "README.md" } }))
      assert.matches("Invalid Elf magic number", message)
    end
  end)

  it("has succeeded when the guest is through before it is looked at", function ()
    local script = bed.scratch "vmm"
    finally(function () os.remove(script) end)
    local function vmm (lines)
      bed.write(script, "#!/bin/sh\n" .. lines)
      assert(os.execute("chmod +x " .. script))
      return by_file(bed.config("idle", { vmm = { binary = script } }))
    end
    local reset <close> = assert(vmm "echo >api.sock; exit 0")
    assert.same({ exited = 0 }, reset:wait())
    local fault <close> = assert(vmm "echo >api.sock; echo 'Error: RunWithApi(MicroVMStoppedWithError(GenericError))' >&2; exit 1")
    assert.same({ exited = 1 }, fault:wait())
    local vm, err = vmm "echo >api.sock; echo 'Error: RunWithApi(BuildFromJson(…))' >&2; exit 1"
    assert.is_nil(vm)
    assert.equal("fcinit.StartInstance: the VMM exited with status 1: Error: RunWithApi(BuildFromJson(…))", err.message)
  end)

  it("takes a CPU template that a file holds, as a start by requests does", function ()
    local path, template = bed.scratch "cpu", '{ "kvm_capabilities": ["%s"], "cpuid_modifiers": null }'
    finally(function () os.remove(path) end)
    for _, via in ipairs { "api", "config_file" } do
      local bodies = {}
      local function boot ()
        return fc.boot(bed.config("idle", { cpu_config = path, log_level = "trace", log = function (event)
          bodies[#bodies + 1] = event.operation == "PUT /cpu-config" and event.body or nil
        end }), { via = via })
      end
      bed.write(path, template:format "!56")
      local vm <close> = assert(boot())
      assert.same({ via == "api" and '{"kvm_capabilities":["!56"]}' or nil }, bodies)
      assert.is_nil((files.look(vm.directory .. "/cpu-config.json")))
      bed.write(path, template:format "9999")
      local _, err = boot()
      assert.matches("^fcinit.StartInstance: .*Missing KVM capabilities: 0x270f", err.message)
      bed.write(path, "{ nothing")
      _, err = boot()
      assert.same({ "json", path }, { err.code, err.path })
      assert.matches("^fcinit.ConfigureCPU: config.cpu_config: " .. path:gsub("%p", "%%%0") .. ": not valid JSON", err.message)
      os.remove(path)
      _, err = boot()
      assert.equal(("validate.Cfg: config.cpu_config: cannot use %s: No such file or directory"):format(path), err.message)
    end
  end)

  it("can be done by hand, and tried again", function ()
    local vm <close> = assert(fc.new(bed.config "idle", { via = "config_file" }))
    assert(h.setup_kernel_args(vm))
    assert(h.start_vmm(vm))
    assert.equal("new", vm.state)
    assert.is_nil(vm.pid)
    assert.equal("state", select(2, h.start_vmm(vm)).code)
    assert(h.create_machine(vm))
    assert(vm.api:put_boot_source { kernel_image_path = files.absolute "README.md" })
    local ok, err = h.start_instance(vm)
    assert.is_nil(ok)
    assert.matches("Invalid Elf magic number", err.message)
    assert(h.create_boot_source(vm))
    assert(h.start_instance(vm))
    assert.equal("Running", vm:info().state)
    assert.equal("running", vm.state)
  end)

  it("needs no filters to begin", function ()
    local vm <close> = assert(by_file(bed.config("idle", { vmm = { no_seccomp = true } })))
    assert.equal("Running", vm:info().state)
  end)

  it("logs through FIFOs as well", function ()
    local lines = {}
    local function to (line) lines[#lines + 1] = line end
    local vm <close> = assert(by_file(bed.config("exit", { logger = { to = to, level = "Info" }, metrics = { to = to } })))
    assert(vm:wait { timeout = 10 })
    local text = table.concat(lines, "\n")
    assert.matches("configured from one single json", text)
    assert.matches('{"utc_timestamp_ms":', text)
  end)

  it("takes a file of Firecracker's as its configuration", function ()
    local path = bed.scratch "vm.json"
    finally(function () os.remove(path) end)
    local first <close> = assert(fc.boot(bed.config("idle", { machine_config = { mem_size_mib = 64 } })))
    assert(fc.config.dump(first:full_config(), path))
    local config = assert(fc.config.load(path))
    config.run_dir, config.timeouts = leaks.run_dir, { shutdown = 0 }
    local vm <close> = assert(by_file(config))
    assert.same(first:full_config(), vm:full_config())
  end)

  it("is many at once", function ()
    fc.run(function ()
      local configs = {}
      for i = 1, 8 do
        configs[i] = bed.config "idle"
      end
      local vms <close> = fc.map(configs, by_file, { limit = 4 })
      assert.same({}, vms.errors)
    end)
  end)

  it("is asked for by its name", function ()
    for message, wanted in pairs {
      ["options.via: 'api' or 'config_file' expected, got 'file'"] = { via = "file" },
      ["options.via: 'api' or 'config_file' expected, got boolean"] = { via = true },
      ["options.vai: unknown key (did you mean 'via'?)"] = { vai = "api" },
      ["flow: a flow, its name or its path expected, got number"] = { flow = 3 },
    } do
      local ok, err = pcall(fc.new, {}, wanted)
      assert.is_false(ok)
      assert.equal(message, err.message)
      assert.matches("by_file_spec%.lua:%d+$", err.where)
    end
    assert.is_truthy(fc.new({}, { via = "api" }))
  end)
end)
