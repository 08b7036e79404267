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

  it("say what the VMM says where it cannot", function ()
    local vm, _ <close> = running { release = "1.16.1" }
    local ok, err = vm:add_drive { drive_id = "d", path_on_host = "/d", is_root_device = false }
    assert.is_nil(ok)
    assert.matches("PCI is not enabled", err.message)
  end)
end)
