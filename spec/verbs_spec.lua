-- The verbs of a machine that need a release newer than the one at hand, against a VMM that is none.
local fc = require "firecracker"
local leaks = require "spec.support.leaks"

-- A machine whose guest runs, as far as the fake goes, and what was sent to it since.
local function running (options)
  local fake = assert(fc.testing.fake_vmm(options))
  local vm = assert(fc.new())
  vm.api = fc.client(fake.path)
  assert(vm.api:put_boot_source { kernel_image_path = "/vmlinux" })
  assert(vm.api:put_balloon { amount_mib = 0, deflate_on_oom = false, free_page_hinting = true })
  assert(vm.api:put_memory_hotplug { total_size_mib = 1024 })
  assert(vm.api:put_actions { action_type = "InstanceStart" })
  local before = #fake.requests
  return vm, setmetatable({}, { __close = function ()
    vm.api:close()
    fake:close()
  end }), function ()
    local list = {}
    for i = before + 1, #fake.requests do
      local request = fake.requests[i]
      list[#list + 1] = ("%s %s %d"):format(request.method, request.path, request.status)
    end
    before = #fake.requests
    return table.concat(list, ", ")
  end
end

describe("the verbs of a machine on release 1.16", function ()
  it("plug drives, pmem and interfaces, and unplug them #root", function ()
    assert(os.execute("ip tuntap add mode tap " .. leaks.links))
    finally(function () assert(os.execute("ip link delete " .. leaks.links)) end)
    local vm, _ <close>, sent = running { release = "1.16.1", pci = true }
    assert.is_true(vm:add_drive { drive_id = "d", path_on_host = "/d", is_root_device = false })
    assert.is_true(vm:update_drive "d")
    assert.is_true(vm:remove_drive "d")
    assert.equal("PUT /drives/d 204, GET /vm/config 200, PATCH /drives/d 204, DELETE /drives/d 204", sent())
    assert.is_true(vm:add_pmem { id = "p", path_on_host = "/p" })
    assert.is_true(vm:update_pmem("p", { rate_limiter = fc.rate_limiter { ops = { size = 1, refill_seconds = 1 } } }))
    assert.is_true(vm:remove_pmem "p")
    assert.equal("PUT /pmem/p 204, PATCH /pmem/p 204, DELETE /pmem/p 204", sent())
    assert.is_true(vm:add_network_interface { iface_id = "e", host_dev_name = leaks.links })
    assert.is_true(vm:update_network_interface("e", { rx_rate_limiter = {} }))
    assert.is_true(vm:remove_network_interface "e")
    assert.equal("PUT /network-interfaces/e 204, PATCH /network-interfaces/e 204, DELETE /network-interfaces/e 204", sent())
  end)

  it("raise at the user's line for what JSON cannot hold, and send nothing", function ()
    local vm, _ <close>, sent = running { release = "1.16.1" }
    local fcinit, list = fc.handlers.fcinit, { 1, nil, 3 }
    for asked, call in pairs {
      ["set_metadata"] = function () vm:set_metadata { a = list } end,
      ["update_metadata"] = function () vm:update_metadata { a = list } end,
      ["PUT /mmds"] = function () vm.api:put_mmds { a = list } end,
      ["fcinit.set_metadata"] = function () fcinit.set_metadata { a = list } end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.same({ "usage", asked .. ": json: value.a: a list with holes cannot be sent" }, { err.code, err.message })
      assert.matches("verbs_spec.lua:%d+$", err.where)
    end
    assert.equal("", sent())
  end)

  it("plug memory and ask for pages back", function ()
    local vm, _ <close>, sent = running { release = "1.16.1" }
    assert.is_true(vm:update_memory_hotplug { requested_size_mib = 256 })
    assert.equal(256, vm:memory_hotplug().requested_size_mib)
    assert.equal("PATCH /hotplug/memory 204, GET /hotplug/memory 200", sent())
    assert.is_true(vm:start_balloon_hinting())
    assert.is_true(vm:start_balloon_hinting { acknowledge_on_stop = false })
    assert.is_table(vm:balloon_hinting())
    assert.is_true(vm:stop_balloon_hinting())
    assert.equal("PATCH /balloon/hinting/start 204, PATCH /balloon/hinting/start 204, GET /balloon/hinting/status 200, " ..
      "PATCH /balloon/hinting/stop 204", sent())
  end)

  it("refuse options that are none, at the caller's line, and send nothing", function ()
    local vm, _ <close>, sent = running { release = "1.16.1" }
    local dir <const> = "/absent"
    local options, seconds = ": table of options expected, got number", ": seconds expected, got '1'"
    local unknown = ": timeot: unknown key (did you mean 'timeout'?)"
    for message, call in pairs {
      ["wait" .. options] = function () vm:wait(3) end,
      ["wait: timeout" .. seconds] = function () vm:wait { timeout = "1" } end,
      ["wait: timeout: seconds expected, got nan"] = function () vm:wait { timeout = math.abs(0 / 0) } end,
      ["start" .. options] = function () assert(fc.new()):start(3) end,
      ["start: timeout: seconds expected, got table"] = function () assert(fc.new()):start { timeout = {} } end,
      ["stop" .. options] = function () vm:stop(3) end,
      ["stop: term" .. seconds] = function () vm:stop { term = "1" } end,
      ["stop: shutdown" .. seconds] = function () vm:stop { shutdown = "1" } end,
      ["shutdown" .. options] = function () vm:shutdown(3) end,
      ["shutdown: timeout" .. seconds] = function () vm:shutdown { timeout = "1" } end,
      ["metrics" .. options] = function () vm:metrics(5) end,
      ["dial" .. options] = function () vm:dial(52, 5) end,
      ["listen" .. options] = function () vm:listen(52, 5) end,
      ["dial: port from 0 to 4294967294 expected, got '52'"] = function () vm:dial "52" end,
      ["get_instance_info" .. options] = function () vm:info(5) end,
      ["get_vm_config: timeout" .. seconds] = function () vm:full_config { timeout = "1" } end,
      ["add_drive" .. options] = function () vm:add_drive({ drive_id = "d", path_on_host = "/d" }, 5) end,
      ["GET /x" .. options] = function () vm.api:request("GET", "/x", nil, 5) end,
      ["kill: no such signal: 'TURM'"] = function () vm:kill "TURM" end,
      ["kill: signal expected, got table"] = function () vm:kill {} end,
      ["client" .. options] = function () fc.client("/x", 5) end,
      ["client: timeout" .. seconds] = function () fc.client("/x", { timeout = "1" }) end,
      ["snapshot.check" .. options] = function () fc.snapshot.check(dir, 5) end,
      ["snapshot.rebase: table of options expected, got string"] = function () fc.snapshot.rebase(dir, dir, "x") end,
      ["sleep: seconds expected, got '1'"] = function () fc.sleep "1" end,
      ["wait" .. unknown] = function () vm:wait { timeot = 0.5 } end,
      ["wait: 1: unknown key"] = function () vm:wait { 0.5 } end,
      ["start" .. unknown] = function () assert(fc.new()):start { timeot = 5 } end,
      ["stop: shutdwn: unknown key (did you mean 'shutdown'?)"] = function () vm:stop { shutdwn = 0 } end,
      ["shutdown: stpo: unknown key (did you mean 'stop'?)"] = function () vm:shutdown { stpo = true } end,
      ["shutdown: stop: boolean expected, got 1"] = function () vm:shutdown { stop = 1 } end,
      ["dial" .. unknown] = function () vm:dial(52, { timeot = 5 }) end,
      ["listen: mod: unknown key (did you mean 'mode'?)"] = function () vm:listen(52, { mod = 5 }) end,
      ["get_instance_info" .. unknown] = function () vm:info { timeot = 5 } end,
      ["add_drive" .. unknown] = function () vm:add_drive({ drive_id = "d", path_on_host = "/d" }, { timeot = 5 }) end,
      ["check_network" .. unknown] = function () vm:check_network { timeot = 5 } end,
      ["GET /x" .. unknown] = function () vm.api:request("GET", "/x", nil, { timeot = 5 }) end,
      ["client" .. unknown] = function () fc.client("/x", { timeot = 5 }) end,
      ["map: limt: unknown key (did you mean 'limit'?)"] = function () fc.map({}, print, { limt = 1 }) end,
      ["snapshot.check: hash: unknown key (did you mean 'hashes'?)"] = function () fc.snapshot.check(dir, { hash = true }) end,
      ["snapshot.check: timeout" .. seconds] = function () fc.snapshot.check(dir, { timeout = "1" }) end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok, message)
      assert.is_table(err, tostring(err))
      assert.same({ "usage", message }, { err.code, err.message })
      assert.matches("verbs_spec.lua:%d+$", err.where)
    end
    assert.equal("", sent())
  end)

  it("take no version and no configuration that is none", function ()
    local vm = assert(fc.new())
    for reply, type_of in pairs { [12] = "number", [{}] = "table" } do
      vm.api = { get_version = function () return { firecracker_version = reply } end }
      local version, err = vm:version()
      assert.same({ nil, "json", "GET /version: reply: firecracker_version: string expected, got " .. type_of },
        { version, err.code, err.message })
    end
    for message, reply in pairs {
      ["drives: list expected"] = { drives = 5 },
      ["drives[1].drive_id: string expected"] = { drives = { {} } },
      ["machine_config.vcpu_count: integer expected"] = { ["machine-config"] = { vcpu_count = "x", mem_size_mib = 1 } },
    } do
      vm.api = { get_vm_config = function () return reply end }
      for _, call in ipairs { vm.full_config, function () return vm:update_drive "d" end } do
        local config, err = call(vm)
        assert.same({ nil, "json", "GET /vm/config: reply: " .. message }, { config, err.code, err.message })
      end
    end
  end)

  it("say what the VMM says where it cannot", function ()
    local vm, _ <close> = running { release = "1.16.1" }
    local ok, err = vm:add_drive { drive_id = "d", path_on_host = "/d", is_root_device = false }
    assert.is_nil(ok)
    assert.matches("PCI is not enabled", err.message)
  end)
end)
