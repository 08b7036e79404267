-- What a configuration may say of networks, and what is refused where it stands.
local config = require "firecracker.config"

local function interface (fields)
  fields.iface_id = fields.iface_id or "eth0"
  return fields
end

local function check (t)
  return pcall(config.check, t)
end

describe("the configuration of a network", function ()
  it("takes true for the defaults of a tap, and one value for a list", function ()
    local t = config.check { network_interfaces = {
      interface { tap = true, static = { ip = "10.0.0.2/24", gateway = "10.0.0.1", nameservers = { "1.1.1.1", "fd00::1" } } },
      interface { iface_id = "eth1", tap = false, host_dev_name = "tap1", allow_mmds = true },
      interface { iface_id = "eth2", cni = { network_name = "n", bin_path = "/x" } },
      interface { iface_id = "eth3", cni = { network_config = { name = "n" } } },
      interface { iface_id = "eth4", tap = { mtu = 1400, owner = 5 }, bridge = "br0", host_dev_name = "mine" },
      interface { iface_id = "eth5", nat = { subnet = "10.0.0.0/24", subnet6 = "fd00::/64" } },
    }, netns = true, mmds_config = {} }
    local one, two, three, four = table.unpack(t.network_interfaces)
    assert.same({}, one.tap)
    assert.same({ "10.0.0.2/24" }, { table.unpack(one.static.ip) })
    assert.same({ "10.0.0.1" }, { table.unpack(one.static.gateway) })
    assert.is_nil(two.tap)
    assert.same({ "/x" }, { table.unpack(three.cni.bin_path) })
    assert.same({ "/opt/cni/bin", "/usr/lib/cni" }, { table.unpack(four.cni.bin_path) })
    assert.equal("eth0", three.cni.if_name)
    assert.is_true(t.netns)
    assert.equal("blue", config.check { netns = "blue" }.netns)
  end)

  local long = ("n"):rep(16)
  for _, case in ipairs {
    { interface {}, "host_dev_name: string expected, got nil" },
    { interface { bridge = long }, "bridge: at most 15 bytes expected, got 16" },
    { interface { bridge = "br/0" }, "bridge: name of a network interface expected, got 'br/0'" },
    { interface { bridge = ".." }, "bridge: name of a network interface expected, got '..'" },
    { interface { tap = "tap0" }, "tap: table expected, got string" },
    { interface { tap = { queues = 2 } }, "tap.queues: unknown key" },
    { interface { tap = { mtu = 67 } }, "tap.mtu: 68 to 65535 expected, got 67" },
    { interface { tap = { owner = -1 } }, "tap.owner: at least 0 expected, got -1" },
    { interface { nat = {} }, "nat.subnet: string expected, got nil" },
    { interface { nat = { subnet = "10.0.0.1/24" } }, "nat.subnet: 10.0.0.0/24 expected, got '10.0.0.1/24'" },
    { interface { nat = { subnet = "10.0.0.0/31" } }, "nat.subnet: a network with room for gateway and guest expected, got '10.0.0.0/31'" },
    { interface { nat = { subnet = "10.0.0/24" } }, "nat.subnet: a network, as 10.0.0.0/24, expected, got '10.0.0/24'" },
    { interface { nat = { subnet = "10.0.0.0/24", subnet6 = "10.1.0.0/24" } },
      "nat.subnet6: a network of the other family than 10.0.0.0/24 expected, got '10.1.0.0/24'" },
    { interface { nat = { subnet = "10.0.0.0/24", address = "10.0.0.300" } },
      "nat.address: an IPv4 or IPv6 address expected, got '10.0.0.300'" },
    { interface { nat = { subnet = "10.0.0.0/24" }, bridge = "br0" }, "bridge: not allowed beside nat" },
    { interface { nat = { subnet = "10.0.0.0/24" }, static = { ip = "10.0.0.2/24" } }, "static: not allowed beside nat" },
    { interface { tap = true, static = {} }, "static.ip: list expected, got nil" },
    { interface { tap = true, static = { ip = {} } }, "static.ip: at least 1 item expected, got 0" },
    { interface { tap = true, static = { ip = "10.0.0.2" } },
      "static.ip[1]: an address with prefix, as 10.0.0.2/24, expected, got '10.0.0.2'" },
    { interface { tap = true, static = { ip = { "10.0.0.2/24", "fd00::/200" } } },
      "static.ip[2]: an address with prefix, as 10.0.0.2/24, expected, got 'fd00::/200'" },
    { interface { tap = true, static = { ip = "10.0.0.2/24", gateway = "x" } },
      "static.gateway[1]: an IPv4 or IPv6 address expected, got 'x'" },
    { interface { tap = true, static = { ip = "10.0.0.2/24", nameservers = { "1.1.1.1", "dns" } } },
      "static.nameservers[2]: an IPv4 or IPv6 address expected, got 'dns'" },
    { interface { tap = true, static = { ip = "10.0.0.2/24", if_name = long } }, "static.if_name: at most 15 bytes expected, got 16" },
    { interface { cni = {} }, "cni.network_name: string expected, got nil" },
    { interface { cni = { network_name = "n", network_config = {} } }, "cni.network_config: not allowed beside network_name" },
    { interface { cni = { network_name = "n" }, static = { ip = "10.0.0.2/24" } }, "static: not allowed beside cni" },
    { interface { cni = { network_name = "n" }, bridge = "br0" }, "bridge: not allowed beside cni" },
    { interface { cni = { network_name = "n", if_name = "eth 0" } }, "cni.if_name: name of a network interface expected, got 'eth 0'" },
    { interface { cni = { network_name = "n", args = { ["A;B"] = "1" } } },
      'cni.args["A;B"]: name without \'=\' and \';\' expected, got \'A;B\'' },
    { interface { cni = { network_name = "n", args = { A = "1;B=2" } } }, "cni.args.A: text without ';' expected, got '1;B=2'" },
    { interface { host_dev_name = long }, "host_dev_name: at most 15 bytes expected, got 16" },
  } do
    it("refuses " .. case[2], function ()
      local ok, err = check { network_interfaces = { case[1] } }
      assert.is_false(ok)
      assert.equal("config", err.code)
      assert.equal("config.network_interfaces[1]." .. case[2], err.message)
      assert.equal("config.network_interfaces[1]." .. case[2]:match "^(.-): ", err.field)
    end)
  end

  for text, t in pairs {
    ["config.netns: name of a namespace or true expected, got 'a/b'"] = { netns = "a/b" },
    ["config.mmds_config.network_interfaces: list expected, got nil"] =
      { mmds_config = {}, network_interfaces = { interface { tap = true } } },
    ["config.mmds_addresses: an interface with allow_mmds = true, or mmds_config.network_interfaces, expected"] =
      { mmds_addresses = "network", network_interfaces = { interface { tap = true } } },
  } do
    it("refuses " .. text, function ()
      local ok, err = check(t)
      assert.is_false(ok)
      assert.equal(text, err.message)
    end)
  end
end)
