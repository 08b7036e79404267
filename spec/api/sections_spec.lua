-- Every section of a configuration reaches the VMM by a step of the default flow, in an order that the VMM takes.

local client = require "firecracker.api.client"
local config = require "firecracker.config"
local fc = require "firecracker"
local operations = require "firecracker.api.operations"
local verbs = require "firecracker.machine.verbs"

-- The steps between the VMM's start and the guest's, on a machine that is none.
local function run_steps (settings, release)
  local fake <close> = assert(fc.testing.fake_vmm { release = release })
  local api <close> = client.new(fake.path)
  local vm = setmetatable({ id = "spec", config = config.check(settings), api = api, phase = "vmm", state = "vmm",
                            directory = "/nowhere", defer = function () end }, { __index = verbs.methods })
  local flow, started = assert(fc.flow "boot"), false
  for _, step in ipairs(flow.fcinit) do
    if started and step.name ~= "fcinit.CreateLogFilesHandler" then
      local ok, err = step.run(vm)
      if ok == nil and err then
        return nil, err, step.name
      end
    end
    started = started or step.name == "fcinit.StartVMM"
  end
  return fake.requests, api:get_vm_config()
end

local SETTINGS <const> = {
  boot_source = { kernel_image_path = "/vmlinux", boot_args = "quiet" },
  machine_config = { vcpu_count = 2, mem_size_mib = 256 },
  cpu_config = { kvm_capabilities = {}, msr_modifiers = {} },
  serial = { serial_out_path = "/serial", rate_limiter = { size = 1, refill_time = 1 } },
  drives = { { drive_id = "root", path_on_host = "/root.img", is_root_device = true } },
  pmem = { { id = "pm0", path_on_host = "/pmem.img" } },
  network_interfaces = { { iface_id = "eth0", host_dev_name = "tap0", mtu = 1400 } },
  vsock = { guest_cid = 3, uds_path = "/nowhere/v.sock" },
  balloon = { amount_mib = 8, deflate_on_oom = true, free_page_reporting = true },
  entropy = {},
  memory_hotplug = { total_size_mib = 1024 },
  logger = { log_path = "/log" },
  metrics = { metrics_path = "/metrics" },
  mmds_config = { network_interfaces = { "eth0" }, version = "V2", imds_compat = true },
  mmds = { a = 1 },
}

describe("the default flow", function ()
  it("sends every section that there is", function ()
    local requests, whole = run_steps(SETTINGS, "1.16.1")
    assert(requests, tostring(whole))
    local sent = {}
    for _, request in ipairs(requests) do
      sent[request.method .. " " .. request.path:gsub("^(/%l[%l-]*)/%w+%d?$", function (head)
        return (head == "/drives" or head == "/pmem" or head == "/network-interfaces") and head or nil
      end)] = request.status
    end
    for _, operation in ipairs(operations) do
      if operation.section then
        assert.is_not_nil(SETTINGS[operation.section], operation.section)
        assert.equal(204, sent[operation.method .. " " .. operation.path:gsub("/{.*", "")], operation.path)
      end
    end
    assert.equal(204, sent["PUT /actions"])
    assert.equal(1400, whole["network-interfaces"][1].mtu)
    assert.is_true(whole["mmds-config"].imds_compat)
    assert.equal("pm0", whole.pmem[1].id)
    assert.equal(1024, whole["memory-hotplug"].total_size_mib)
  end)

  for release, message in pairs {
    ["1.15.1"] = "serial.rate_limiter needs Firecracker 1.16 (this is 1.15.1)",
    ["1.12.1"] = "serial needs Firecracker 1.14 (this is 1.12.1)",
    ["1.3.0"] = "cpu_config needs Firecracker 1.4 (this is 1.3.0)",
  } do
    it("stops at the first section that the release lacks: " .. release, function ()
      local _, err = run_steps(SETTINGS, release)
      assert.equal(message, err.message)
    end)
  end

  it("names the field where it stands in the configuration", function ()
    local _, err, step = run_steps({ boot_source = { kernel_image_path = "/k" },
      network_interfaces = { { iface_id = "eth0", host_dev_name = "tap0" }, { iface_id = "eth1", host_dev_name = "tap1", mtu = 1400 } },
    }, "1.12.1")
    assert.same({ "network_interfaces[2].mtu needs Firecracker 1.16 (this is 1.12.1)", "fcinit.CreateNetworkInterfaces" },
      { err.message, step })
  end)

  it("has nothing to say of older releases where nothing newer is asked for", function ()
    local requests = assert(run_steps({ boot_source = { kernel_image_path = "/k" },
      drives = { { drive_id = "root", path_on_host = "/r", is_root_device = true, io_engine = "Sync" } } }, "1.0.0"))
    for _, request in ipairs(requests) do
      assert.is_not.equal("/version", request.path)
    end
  end)
end)
