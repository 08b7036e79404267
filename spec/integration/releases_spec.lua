-- Whole machines on releases that are not here: the flow, the gate and the verbs, against a program that answers as they do.
local bed = require "spec.support.bed"
local errors = require "firecracker.errors"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local program = require "spec.support.release"

local h = fc.handlers.fcinit

describe("#root a machine on Firecracker", function ()
  leaks.check(before_each, after_each, teardown)

  local programs = {}

  setup(function () assert(os.execute("ip tuntap add mode tap " .. leaks.links)) end)
  teardown(function () assert(os.execute("ip link delete " .. leaks.links)) end)

  local function config (release, more)
    programs[release] = programs[release] or program(release)
    local t = bed.config("idle", more)
    t.vmm = t.vmm or {}
    t.vmm.binary = programs[release]
    return t
  end

  teardown(function ()
    for _, path in pairs(programs) do
      os.remove(path)
    end
  end)

  local function fails (code, message, ok, err)
    assert.is_nil(ok)
    assert.is_true(errors.is(err), tostring(err))
    assert.same({ code, message }, { err.code, err.message })
    return err
  end

  local PCI <const> = { "--enable-pci" }

  for _, release in ipairs { "1.0.0", "1.1.4", "1.4.1", "1.6.0", "1.7.0", "1.10.1", "1.13.1", "1.14.4", "1.15.1", "1.16.1" } do
    it(release .. " boots, is paused, and ends", function ()
      for _, via in ipairs { "api", "config_file" } do
        local vm <close> = assert(fc.boot(config(release, {
          machine_config = { vcpu_count = 2, mem_size_mib = 256, track_dirty_pages = true },
          drives = fc.drives.root("README.md", { is_read_only = true }), vmm = { no_seccomp = true },
          network_interfaces = { { iface_id = "eth0", host_dev_name = leaks.links } },
          mmds_config = { network_interfaces = { "eth0" }, version = "V2" }, mmds = { a = 1 },
        }), { via = via }))
        assert.same({ release, "Running", vm.id }, { vm:version(), vm:info().state, vm:info().id })
        assert.same({ 2, 256 }, { vm:machine_config().vcpu_count, vm:machine_config().mem_size_mib })
        assert.same({ a = 1 }, vm:metadata())
        assert.equal("rootfs", vm:full_config().drives[1].drive_id)
        assert.is_true(vm:pause())
        assert.equal("Paused", vm:info().state)
        assert.is_true(vm:resume())
        assert.equal("term", vm:stop().by)
      end
    end)
  end

  it("gets nothing that its release lacks, and is not started for it", function ()
    for _, case in ipairs {
      { "1.0.0", { cpu_config = {} }, "cpu_config needs Firecracker 1.4 (this is 1.0.0)" },
      { "1.0.0", { entropy = {} }, "entropy needs Firecracker 1.4 (this is 1.0.0)" },
      { "1.0.0", { machine_config = { cpu_template = "T2S" } },
        "machine_config.cpu_template = 'T2S' needs Firecracker 1.2 (this is 1.0.0)" },
      { "1.6.0", { machine_config = { huge_pages = "2M" } }, "machine_config.huge_pages needs Firecracker 1.7 (this is 1.6.0)" },
      { "1.12.1", { serial = {} }, "serial needs Firecracker 1.14 (this is 1.12.1)" },
      { "1.13.1", { pmem = { { id = "p", path_on_host = "README.md", read_only = true } } },
        "pmem[1] needs Firecracker 1.14 (this is 1.13.1)" },
      { "1.13.1", { memory_hotplug = { total_size_mib = 1024 } }, "memory_hotplug needs Firecracker 1.14 (this is 1.13.1)" },
      { "1.15.1", { network_interfaces = { { iface_id = "eth0", host_dev_name = leaks.links, mtu = 1400 } } },
        "network_interfaces[1].mtu needs Firecracker 1.16 (this is 1.15.1)" },
      { "1.16.1", { machine_config = { huge_pages = "Transparent" } },
        "machine_config.huge_pages = 'Transparent' needs Firecracker 1.17 (this is 1.16.1)" },
      { "0.25.2", { entropy = {} }, "this needs Firecracker 1.0 (this is 0.25.2)" },
    } do
      local release, more, message = table.unpack(case)
      local spawned = 0
      more.log = function (event) spawned = spawned + (event.event == "spawn" and 1 or 0) end
      for _, via in ipairs { "api", "config_file" } do
        fails("release", "validate.Cfg: " .. message, fc.boot(config(release, more), { via = via }))
        assert.equal(0, spawned)
      end
    end
  end)

  it("1.16.1 boots with what came since 1.13", function ()
    local vm <close> = assert(fc.boot(config("1.16.1", {
      pmem = { { id = "p", path_on_host = "README.md", read_only = true,
                 rate_limiter = fc.rate_limiter { ops = { size = 1, refill_seconds = 1 } } } },
      memory_hotplug = { total_size_mib = 1024 },
      network_interfaces = { { iface_id = "eth0", host_dev_name = leaks.links, mtu = 1400 } },
      mmds_config = { network_interfaces = { "eth0" }, version = "V2", imds_compat = true },
      serial = { rate_limiter = { size = 1, refill_time = 1 } },
      balloon = { amount_mib = 8, deflate_on_oom = true, free_page_hinting = true, free_page_reporting = true },
    })))
    local whole = assert(vm:full_config())
    assert.same({ 1400, true, 1024, true }, { whole.network_interfaces[1].mtu, whole.mmds_config.imds_compat,
      whole.memory_hotplug.total_size_mib, whole.balloon.free_page_hinting })
    assert.same({ "p", { ops = { size = 1, refill_time = 1000 } } }, { whole.pmem[1].id, whole.pmem[1].rate_limiter })
    assert.is_true(vm:update_memory_hotplug { requested_size_mib = 512 })
    assert.equal(512, vm:memory_hotplug().requested_size_mib)
    assert.is_true(vm:start_balloon_hinting { acknowledge_on_stop = false })
    assert.is_number(vm:balloon_hinting().host_cmd)
    assert.is_true(vm:stop_balloon_hinting())
    assert.is_true(vm:update_pmem("p", { rate_limiter = { ops = { size = 2, refill_time = 100 } } }))
  end)

  it("1.16.1 takes devices while it runs, and gives them back", function ()
    local vm <close> = assert(fc.boot(config("1.16.1", { vmm = { arguments = PCI } })))
    assert.is_true(vm:add_drive { drive_id = "data", path_on_host = "README.md", is_root_device = false, is_read_only = true })
    assert.is_true(vm:add_pmem { id = "p", path_on_host = "README.md", read_only = true })
    assert.is_true(vm:add_network_interface { iface_id = "eth0", host_dev_name = leaks.links, mtu = 9000 })
    local whole = assert(vm:full_config())
    assert.same({ "data", "p", "eth0" }, { whole.drives[1].drive_id, whole.pmem[1].id, whole.network_interfaces[1].iface_id })
    assert.matches("^/.*/README%.md$", whole.drives[1].path_on_host)
    assert.is_true(vm:remove_drive "data")
    assert.is_true(vm:remove_pmem "p")
    assert.is_true(vm:remove_network_interface "eth0")
    whole = assert(vm:full_config())
    assert.same({ 0, 0, 0 }, { #whole.drives, #(whole.pmem or {}), #whole.network_interfaces })
    assert.equal("api", select(2, vm:remove_drive "data").code)
  end)

  it("takes none without PCI, or before there is hot-plugging", function ()
    local drive = { drive_id = "data", path_on_host = "README.md", is_root_device = false, is_read_only = true }
    local without <close> = assert(fc.boot(config "1.16.1"))
    fails("api", "PUT /drives/data: PCI is not enabled (status 400)", without:add_drive(drive))
    local older <close> = assert(fc.boot(config("1.15.1", { vmm = { arguments = PCI } })))
    assert.matches("not supported after starting", select(2, older:add_drive(drive)).message)
    fails("release", "DELETE /drives/{drive_id} needs Firecracker 1.16 (this is 1.15.1)", older:remove_drive "data")
  end)

  it("1.16.0 warns of a restored vsock; one that cannot be restored ends", function ()
    local warnings = {}
    local vm <close> = assert(fc.new(config("1.16.0", { log = function (event)
      warnings[#warnings + 1] = event.event == "warning" and event.message or nil
    end })))
    assert(h.start_vmm(vm))
    local load = { snapshot_path = "/s", mem_backend = { backend_type = "File", backend_path = "/m" } }
    vm.api:put_snapshot_load(load)
    assert.same({ "Firecracker 1.16.0: vsock does not work after a restore (1.16.1 fixes it)" }, warnings)
  end)
end)
