-- What is refused before anything is created: each names its field.
local check = require "firecracker.network.check"
local config = require "firecracker.config"

local function run (interfaces, more)
  for i, each in ipairs(interfaces) do
    each.iface_id = "net" .. i
    if not (each.tap or each.bridge or each.nat or each.cni) then
      each.host_dev_name = each.host_dev_name or "tap" .. i
    end
  end
  local t = { boot_source = { kernel_image_path = "/k" }, network_interfaces = interfaces }
  for key, value in pairs(more or {}) do
    t[key] = value
  end
  return check.run(config.check(t))
end

local ptp = { cniVersion = "1.0.0", name = "n", plugins = { { type = "true" } } }   -- a program that is everywhere

local function cni (more)
  local t = { network_config = ptp, bin_path = { "/usr/bin", "/bin" } }
  for key, value in pairs(more or {}) do
    t[key] = value
  end
  return t
end

describe("validate.NetworkCfg", function ()
  it("takes what is right", function ()
    assert.is_true(run({
      { static = { ip = { "10.0.0.2/24", "fd00::2/64" }, gateway = { "10.0.0.1", "fd00::1" } }, guest_mac = "06:00:AC:10:00:02" },
      { static = { ip = "10.0.1.1/31", gateway = "10.0.1.0" } }, { static = { ip = "10.0.2.1/32" } },
      { static = { ip = "fd07::2/64", gateway = "fe80::1" } },
      { nat = { subnet = "10.5.0.0/24", address = "10.5.0.9", subnet6 = "fd05::/64" } }, { nat = { subnet = "10.6.0.0/24" } },
      { cni = cni() }, { cni = cni { if_name = "eth1" } }, { bridge = "br0" }, { tap = true, host_dev_name = "x" },
    }, { netns = "there" }))
    assert.is_true(run { { cni = cni() }, { nat = { subnet = "10.6.0.0/24" } }, { tap = true } })
    assert.is_true(run({ { static = { ip = "fd00::2/64" } } }, { boot_source = { kernel_image_path = "/k", boot_args = "ip=dhcp" } }))
    assert.is_true(run({ { tap = true } }, { netns = true }))
  end)

  for _, case in ipairs {
    { { { host_dev_name = "a" }, { host_dev_name = "a" } },
      "network_interfaces[2].host_dev_name: 'a' is used by network_interfaces[1].host_dev_name as well" },
    { { { guest_mac = "01:00:5e:00:00:01" } },
      "network_interfaces[1].guest_mac: an address of one station expected, got '01:00:5e:00:00:01', of a group" },
    { { { guest_mac = "FF:FF:FF:FF:FF:FF" } },
      "network_interfaces[1].guest_mac: an address of one station expected, got 'FF:FF:FF:FF:FF:FF', of a group" },
    { { { guest_mac = "00:00:00:00:00:00" } }, "network_interfaces[1].guest_mac: an address other than 00:00:00:00:00:00 expected" },
    { { { static = { ip = "10.0.0.2/24", gateway = "10.0.1.1" } } },
      "network_interfaces[1].static.gateway[1]: '10.0.1.1' is in none of its networks (10.0.0.2/24)" },
    { { { static = { ip = "10.0.0.2/24", gateway = "fd00::1" } } },
      "network_interfaces[1].static.gateway[1]: 'fd00::1' is in none of its networks (10.0.0.2/24)" },
    { { { static = { ip = "10.0.0.2/24", gateway = "10.0.0.2" } } },
      "network_interfaces[1].static.gateway[1]: '10.0.0.2' is the guest's own address" },
    { { { static = { ip = "10.0.0.2/24", gateway = { "10.0.0.1", "10.0.0.3" } } } },
      "network_interfaces[1].static.gateway[2]: '10.0.0.3' is one more of the family of '10.0.0.1'" },
    { { { static = { ip = "10.0.0.0/24" } } },
      "network_interfaces[1].static.ip[1]: an address of a station expected, got '10.0.0.0', of all of 10.0.0.0/24" },
    { { { static = { ip = "10.0.0.255/24" } } },
      "network_interfaces[1].static.ip[1]: an address of a station expected, got '10.0.0.255', of all of 10.0.0.0/24" },
    { { { static = { ip = "fd00::/64" } } },
      "network_interfaces[1].static.ip[1]: an address of a station expected, got 'fd00::', of all of fd00::/64" },
    { { { static = { ip = "10.0.0.2/24" } }, { static = { ip = { "10.1.0.1/24", "10.0.0.2/16" } } } },
      "network_interfaces[2].static.ip[2]: '10.0.0.2' is used by network_interfaces[1].static.ip[1] as well" },
    { { { nat = { subnet = "10.0.0.0/24", address = "10.0.1.2" } } },
      "network_interfaces[1].nat.address: '10.0.1.2' is not in 10.0.0.0/24" },
    { { { nat = { subnet = "10.0.0.0/24", address = "10.0.0.1" } } }, "network_interfaces[1].nat.address: '10.0.0.1' is the gateway's" },
    { { { nat = { subnet = "10.0.0.0/24", address = "10.0.0.255" } } },
      "network_interfaces[1].nat.address: an address of a station expected, got '10.0.0.255', of all of 10.0.0.0/24" },
    { { { nat = { subnet = "10.0.0.0/16" } }, { nat = { subnet = "10.0.3.0/24" } } },
      "network_interfaces[2].nat.subnet: 10.0.3.0/24 overlaps network_interfaces[1].nat.subnet" },
    { { { cni = cni() }, { cni = cni() } },
      "network_interfaces[2].cni.if_name: 'eth0' is used by network_interfaces[1].cni.if_name as well" },
    { { { cni = { network_name = "n", conf_dir = "/nowhere" } } }, "network_interfaces[1].cni.network_name: no network 'n' in /nowhere" },
    { { { cni = cni { network_config = { name = "n", cniVersion = "2.0.0", plugins = { { type = "true" } } } } } },
      "network_interfaces[1].cni.network_config: cniVersion: 0.3.0 to 1.1.0 expected, got 2.0.0" },
    { { { cni = cni { bin_path = "/nowhere" } } }, "network_interfaces[1].cni.bin_path: network n: no program true in /nowhere" },
    { { { bridge = "br0" }, { cni = cni() } }, "network_interfaces[1].bridge: 'br0' cannot be in a namespace of the machine's own" },
    { { { bridge = "br0" } }, "network_interfaces[1].bridge: 'br0' cannot be in a namespace of the machine's own", { netns = true } },
    { { { nat = { subnet = "fd03::/64" } } },
      "network_interfaces[1].nat: IPv6 has no way out of a namespace of the machine's own; name one that is there and has",
      { netns = true } },
    { { {} }, "network_interfaces[1].host_dev_name: 'tap1' cannot be in a namespace of the machine's own; tap = true makes it",
      { netns = true } },
    { { { static = { ip = "10.0.0.2/24" } } }, "boot_source.boot_args: ip= is given twice: network_interfaces[1].static brings one as well",
      { boot_source = { kernel_image_path = "/k", boot_args = "quiet ip=dhcp" } } },
    { { {}, { nat = { subnet = "10.0.0.0/24" } } },
      "boot_source.boot_args: ip= is given twice: network_interfaces[2].nat brings one as well",
      { boot_source = { kernel_image_path = "/k", boot_args = "quiet ip=dhcp" } } },
    { { { cni = cni() } }, "boot_source.boot_args: ip= is given twice: network_interfaces[1].cni brings one as well",
      { boot_source = { kernel_image_path = "/k", boot_args = "quiet ip=dhcp" } } },
  } do
    it("refuses " .. case[2], function ()
      local ok, err = run(case[1], case[3])
      assert.is_nil(ok)
      assert.equal("config", err.code)
      assert.equal("config." .. case[2], err.message)
      assert.equal(case[2]:match "^(.-): ", err.field)
    end)
  end

  it("says which program is missing", function ()
    local command = require "firecracker.network.command"
    local path, err = command.find("no-such-program", { "/bin", "/nowhere" })
    assert.is_nil(path)
    assert.equal("no program no-such-program in /bin:/nowhere", err.message)
  end)
end)
