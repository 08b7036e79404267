-- What the guest is told: ip=, the list of addresses, the metadata.
local address = require "firecracker.network.address"
local config = require "firecracker.config"
local fc = require "firecracker"
local guest = require "firecracker.network.guest"
local handlers = require "firecracker.handlers"

-- A machine with these interfaces, its command line made; each gets a name and an id.
local function machine (interfaces, more)
  for i, each in ipairs(interfaces) do
    each.iface_id, each.host_dev_name = "net" .. i, "tap" .. i
  end
  local t = { boot_source = { kernel_image_path = "/k" }, network_interfaces = interfaces }
  for key, value in pairs(more or {}) do
    t[key] = value
  end
  local vm = assert(fc.new(t))
  handlers.fcinit.setup_kernel_args(vm)
  return vm, vm.config.boot_source.boot_args
end

local BASE <const> = "console=ttyS0 reboot=k panic=1"

describe("ip=", function ()
  it("is that of the kernel's documentation", function ()
    for wanted, static in pairs {
      ["10.0.0.2::10.0.0.1:255.255.255.0:::off:1.1.1.1:8.8.8.8"] =
        { ip = "10.0.0.2/24", gateway = "10.0.0.1", nameservers = { "1.1.1.1", "8.8.8.8", "9.9.9.9" } },
      ["10.0.0.2:::255.255.255.252:::off::"] = { ip = "10.0.0.2/30" },
      ["172.16.5.4::172.16.0.1:255.255.0.0::ens3:off:1.1.1.1:"] =
        { ip = { "fd00::2/64", "172.16.5.4/16", "10.0.0.1/8" }, gateway = { "fd00::1", "172.16.0.1" }, if_name = "ens3",
          nameservers = { "fd00::53", "1.1.1.1" } },
    } do
      local _, line = machine { { static = static } }
      assert.equal(BASE .. " ip=" .. wanted, line)
    end
  end)

  it("is one: the first interface's that has an address of IPv4, named where there are several", function ()
    local vm, line = machine { { static = { ip = "fd00::2/64" } }, {}, { static = { ip = "10.0.0.2/24" } },
      { static = { ip = "10.1.0.2/24" } } }
    assert.equal(BASE .. " ip=10.0.0.2:::255.255.255.0::eth2:off::", line)
    handlers.fcinit.setup_kernel_args(vm)   -- again
    assert.equal(line, vm.config.boot_source.boot_args)
    local _, six = machine { { static = { ip = "fd00::2/64" } } }
    assert.equal(BASE, six)
  end)

  it("comes before what is init's, and beside what is given", function ()
    local _, line = machine({ { static = { ip = "10.0.0.2/24" } } },
      { boot_source = { kernel_image_path = "/k", boot_args = "quiet -- single ip=x" } })
    assert.equal("quiet ip=10.0.0.2:::255.255.255.0:::off:: -- single ip=x", line)
    _, line = machine({ { static = { ip = "10.0.0.2/24" } } },
      { boot_source = { kernel_image_path = "/k", boot_args = "ip=dhcp" } })
    assert.equal("ip=dhcp", line)     -- refused before, unless nobody checks
  end)
end)

describe("the metadata", function ()
  local function elements (vm)
    vm.addresses = {}
    for i in ipairs(vm.config.network_interfaces) do
      vm.addresses[#vm.addresses + 1] = guest.static(vm.config, i)
    end
    return vm
  end

  it("hold the addresses where that is asked for, beside what is there", function ()
    local vm = machine({ { allow_mmds = true, guest_mac = "06:00:00:00:00:01", static = { ip = { "10.0.0.2/24", "fd00::2/64" },
      gateway = "10.0.0.1" } }, { static = { ip = "10.1.0.2/24", nameservers = "1.1.1.1" } } },
      { mmds_addresses = "network", mmds = { a = 1 } })
    assert.same({
      a = 1, network = {
        { iface_id = "net1", if_name = "eth0", mac = "06:00:00:00:00:01", addresses = { "10.0.0.2/24", "fd00::2/64" },
          gateways = { "10.0.0.1" }, nameservers = {}, kernel = false },
        { iface_id = "net2", if_name = "eth1", addresses = { "10.1.0.2/24" }, gateways = {}, nameservers = { "1.1.1.1" }, kernel = false },
      },
    }, guest.metadata(elements(vm)))
    assert.same({ a = 1 }, vm.config.mmds)
    assert.is_nil(guest.metadata(machine { {} }))
  end)

  it("are reached through the interfaces that allow it", function ()
    local function reached (t)
      return guest.mmds_config(config.check(t))
    end
    local interfaces = { { iface_id = "a", host_dev_name = "t0", allow_mmds = true }, { iface_id = "b", host_dev_name = "t1" },
                         { iface_id = "c", host_dev_name = "t2", allow_mmds = true } }
    assert.same({ version = "V2", network_interfaces = { "a", "c" } }, reached { network_interfaces = interfaces })
    assert.same({ ipv4_address = "169.254.170.2", network_interfaces = { "c", "a" } }, reached {
      network_interfaces = interfaces, mmds_config = { ipv4_address = "169.254.170.2", network_interfaces = { "c" } } })
    assert.is_nil(reached { network_interfaces = { { iface_id = "b", host_dev_name = "t1" } } })
  end)
end)

describe("the addresses of a guest", function ()
  it("are texts that parse", function ()
    local element = guest.static(machine({ { static = { ip = { "10.0.0.2/24", "fd00::2/64" } } } }).config, 1)
    for _, text in ipairs(element.addresses) do
      assert.is_truthy(address.cidr(text))
    end
  end)
end)
