-- core.net.netlink, in namespaces of the specs' own, seen by iproute2.

local core = require "firecracker.core"
local driver = require "spec.support.reactor"
local fds = require "spec.support.fds"
local netlink = require "firecracker.core.net".netlink
local netns = require "firecracker.core.net".netns
local new_space = require "spec.support.netns"
local sh = require "spec.support.sh"

require "firecracker.core.http"
require "spec.support.faults".install()
local faults = require "spec.support.faults"

-- Behind the message may stand the kernel's own words, which depend on its release.
local function refused (errno, message, ok, err)
  assert.is_nil(ok)
  assert.equal(errno, err.errno)
  assert.equal(message, err.message:sub(1, #message))
  assert.is_truthy(#err.message == #message or err.message:find("^: %w", #message + 1), err.message)
  assert.equal("netlink", err.code)
end

-- What raises, by its message.
local function raises (message, fn, ...)
  local ok, got = pcall(fn, ...)
  assert.is_false(ok)
  assert.equal(message, got)
end

-- The entry of a list whose field has this value.
local function find (list, field, value)
  for _, entry in ipairs(list) do
    if entry[field] == value then return entry end
  end
end

describe("netlink #root", function ()
  local space, net
  before_each(function ()
    fds.remember()
    space = new_space()
    net = space.net
  end)
  after_each(function ()
    getmetatable(space).__close(space)
    fds.compare()
  end)

  describe("makes a tap", function ()
    it("as it is told", function ()
      assert.is_true(net:add_tap { name = "tap0", owner = 54321, group = 54322, vnet_hdr = true, up = true, mtu = 1400,
        mac = "02:00:00:0A:0b:01" })
      local seen = space:ip "link show tap0"[1]
      assert.same({ "02:00:00:0a:0b:01", 1400, "tun" }, { seen.address, seen.mtu, seen.linkinfo.info_kind })
      local data = seen.linkinfo.info_data
      assert.same({ "tap", true, true, false }, { data.type, data.vnet_hdr, data.persist, data.multi_queue })
      assert.same({ 54321, 54322 }, { data.user, data.group })
      assert.truthy(core.json.encode(seen.flags):find '"UP"')
      assert.same({ owner = 54321, group = 54322, vnet_hdr = true, multi_queue = false, persistent = true },
        net:links "tap0"[1].tap)
    end)

    it("plain, in a bridge, of several queues", function ()
      assert.is_true(net:add_link { kind = "bridge", name = "br0" })
      assert.is_true(net:add_tap { name = "tap0", master = "br0" })
      local seen = space:ip "link show tap0"[1]
      assert.equal("br0", seen.master)
      assert.is_false(seen.linkinfo.info_data.vnet_hdr)
      assert.same({ vnet_hdr = false, multi_queue = false, persistent = true }, net:links "tap0"[1].tap)
      assert.is_true(net:add_tap { name = "tap1", multi_queue = true })
      assert.is_true(space:ip "link show tap1"[1].linkinfo.info_data.multi_queue)
      assert.is_true(net:links "tap1"[1].tap.multi_queue)
    end)

    it("where there is none of the name, or not at all", function ()
      assert.is_true(net:add_tap { name = "tap0" })
      local before = space:state()
      refused("EEXIST", "cannot add tap tap0: File exists", net:add_tap { name = "tap0", owner = 1 })
      refused("EEXIST", "cannot add tap lo: File exists", net:add_tap { name = "lo" })
      refused("ENODEV", "cannot change a link: link br0: No such device", net:add_tap { name = "tap1", master = "br0" })
      refused("EINVAL", "cannot change link tap1: Invalid argument",
        net:add_tap { name = "tap1", mtu = 1 << 20 })
      refused("EADDRNOTAVAIL", "cannot change link tap1: Cannot assign requested address",
        net:add_tap { name = "tap1", mac = "01:00:00:00:00:01" })
      space:unchanged(before)
    end)
  end)

  describe("makes, changes and deletes links:", function ()
    it("a bridge and its ports", function ()
      assert.is_true(net:add_link { kind = "bridge", name = "br0", up = true, mac = "02:00:00:00:00:01", mtu = 1300 })
      assert.is_true(net:add_link { kind = "veth", name = "v0", peer = "v1", peer_mac = "02:00:00:00:00:02", mtu = 1280,
        master = "br0", up = true })
      local seen = space:ip "link"
      local bridge, port, peer = find(seen, "ifname", "br0"), find(seen, "ifname", "v0"), find(seen, "ifname", "v1")
      assert.same({ "bridge", "02:00:00:00:00:01" }, { bridge.linkinfo.info_kind, bridge.address })
      assert.same({ "veth", "br0", 1280 }, { port.linkinfo.info_kind, port.master, port.mtu })
      assert.same({ "02:00:00:00:00:02", 1280 }, { peer.address, peer.mtu })
      assert.equal("v0", space:bridge "link"[1].ifname)
      assert.is_true(net:set_link("v0", { master = false }))
      assert.same({}, space:bridge "link")
      assert.is_true(net:delete_link "v1")
      assert.is_nil(find(space:ip "link", "ifname", "v0"))
    end)

    it("a pair with an end in another namespace", function ()
      local other <close> = new_space()
      local third <close> = new_space()
      assert.is_true(net:add_link { kind = "veth", name = "here", peer = "there", peer_netns = other.fd })
      assert.is_true(net:add_link { kind = "veth", name = "a", netns = third.fd, peer = "b", peer_netns = other.fd })
      assert.truthy(find(space:ip "link", "ifname", "here"))
      assert.is_nil(find(space:ip "link", "ifname", "a"))
      assert.truthy(find(other:ip "link", "ifname", "there") and find(other:ip "link", "ifname", "b"))
      assert.truthy(find(third:ip "link", "ifname", "a"))
      assert.is_true(net:delete_link "here")
      assert.is_nil(find(other:ip "link", "ifname", "there"))
    end)

    it("up and down, mtu, address, name, another namespace", function ()
      local other <close> = new_space()
      assert.is_true(net:add_link { kind = "bridge", name = "d0" })
      assert.is_false(net:links "d0"[1].up)
      assert.is_true(net:set_link("d0", { up = true, mtu = 1200, mac = "02:00:00:00:00:05" }))
      local seen = space:ip "link show d0"[1]
      assert.same({ 1200, "02:00:00:00:00:05" }, { seen.mtu, seen.address })
      assert.is_true(net:links "d0"[1].up)
      assert.is_true(net:set_link("d0", { up = false }))
      assert.is_true(net:set_link("d0", { name = "d1" }))
      assert.equal("d1", space:ip "link show d1"[1].ifname)
      assert.is_true(net:add_tap { name = "tap0", mtu = 1200 })
      assert.is_true(net:set_link("tap0", { netns = other.fd }))
      assert.is_nil(find(space:ip "link", "ifname", "tap0"))
      assert.equal(1200, other:ip "link show tap0"[1].mtu)
    end)

    it("and says what it cannot", function ()
      assert.is_true(net:add_link { kind = "veth", name = "v0", peer = "v1" })
      local before = space:state()
      refused("EEXIST", "cannot add bridge v0: File exists", net:add_link { kind = "bridge", name = "v0" })
      refused("EEXIST", "cannot add veth v2: File exists", net:add_link { kind = "veth", name = "v2", peer = "v1" })
      refused("EOPNOTSUPP", "cannot add nonsense x: Operation not supported",
        net:add_link { kind = "nonsense", name = "x" })
      refused("ENODEV", "cannot delete link v3: No such device", net:delete_link "v3")
      refused("ENODEV", "cannot change a link: link v3: No such device", net:set_link("v3", { up = true }))
      refused("EEXIST", "cannot change link v0: File exists", net:set_link("v0", { name = "v1" }))
      refused("EOPNOTSUPP", "cannot delete link lo: Operation not supported", net:delete_link "lo")
      assert.equal("netlink", select(2, net:links "v3").code)
      assert.equal("cannot look at link v3: No such device", select(2, net:links "v3").message)
      space:unchanged(before)
    end)

    it("and lists them with their state and statistics", function ()
      assert.is_true(net:add_link { kind = "veth", name = "v0", peer = "v1", up = true })
      assert.is_true(net:set_link("v1", { up = true }))
      assert.is_true(net:add_address("v0", "10.0.0.1/24"))
      assert.is_true(net:add_neighbour { link = "v0", address = "10.0.0.2", mac = "02:00:00:00:00:02" })
      space:sh [[printf 'hello' | timeout 5 bash -c 'cat >/dev/udp/10.0.0.2/9']]
      driver.poll(function () return net:links "v0"[1].state == "up" and net:links "v1"[1].state == "up" end)   -- in the kernel's time
      local mine, theirs = net:links(), space:ip "-s link"
      assert.equal(#theirs, #mine)
      for _, seen in ipairs(theirs) do
        local link = find(mine, "name", seen.ifname)
        assert.same({ seen.ifindex, seen.mtu, seen.address, seen.operstate:lower() },
          { link.index, link.mtu, link.mac, link.state })
        assert.same({ seen.stats64.rx.bytes, seen.stats64.tx.packets, seen.stats64.tx.bytes },
          { link.statistics.rx_bytes, link.statistics.tx_packets, link.statistics.tx_bytes })
      end
      assert.is_true(net:links "v0"[1].carrier)
      assert.is_true(net:links "v0"[1].statistics.tx_bytes >= 5)
      assert.equal(net:links "v0"[1].statistics.tx_bytes, net:links "v1"[1].statistics.rx_bytes)
    end)

    it("and lists many more than one message holds", function ()
      local batch = {}
      for i = 1, 150 do batch[i] = ("link add d%d type bridge"):format(i) end
      space:sh(("printf '%s\\n' | ip -batch -"):format(table.concat(batch, "\\n")))
      local links, names = net:links(), {}
      for _, link in ipairs(links) do names[link.name] = true end
      assert.equal(151, #links)
      for i = 1, 150 do assert.is_true(names["d" .. i]) end
    end)
  end)

  describe("gives and takes addresses", function ()
    before_each(function ()
      assert(net:add_link { kind = "veth", name = "v0", peer = "v1", up = true })
      assert(net:sysctl("ipv6/conf/v0/disable_ipv6", "0"))
    end)

    local function addresses ()
      local list = {}
      for _, link in ipairs(space:ip "address show dev v0") do
        for _, a in ipairs(link.addr_info or {}) do
          if a.scope == "global" then list[#list + 1] = ("%s/%d"):format(a["local"], a.prefixlen) end
        end
      end
      return table.concat(list, " ")
    end

    it("of both families", function ()
      assert.is_true(net:add_address("v0", "10.0.0.1/24"))
      assert.is_true(net:add_address("v0", "10.0.0.2"))
      assert.is_true(net:add_address("v0", "fd00::1/64", { nodad = true }))
      assert.equal("10.0.0.1/24 10.0.0.2/32 fd00::1/64", addresses())
      assert.is_true(find(space:ip "address show dev v0"[1].addr_info, "local", "fd00::1").nodad)
      local seen = {}
      for _, a in ipairs(net:addresses "v0") do
        if a.scope == "global" then seen[#seen + 1] = ("%d %s %s %s"):format(a.family, a.address, a.link, a.permanent) end
      end
      assert.same({ "4 10.0.0.1/24 v0 true", "4 10.0.0.2/32 v0 true", "6 fd00::1/64 v0 true" }, seen)
      assert.is_false(find(net:addresses(), "address", "fd00::1/64").tentative)
      assert.is_true(net:add_address("v0", "fd00::2/64"))
      assert.is_true(find(net:addresses(), "address", "fd00::2/64").tentative)
      for _, a in ipairs { "10.0.0.1/24", "10.0.0.2", "fd00::1/64", "fd00::2/64" } do
        assert.is_true(net:delete_address("v0", a))
      end
      assert.equal("", addresses())
    end)

    it("once, and says why not", function ()
      assert.is_true(net:add_address("v0", "10.0.0.1/24"))
      refused("EEXIST", "cannot add address 10.0.0.1/24 to v0: File exists",
        net:add_address("v0", "10.0.0.1/24"))
      refused("EADDRNOTAVAIL", "cannot delete address 10.0.0.1/25 from v0: Cannot assign requested address",
        net:delete_address("v0", "10.0.0.1/25"))
      refused("ENODEV", "cannot add address fd00::1/128: link nope: No such device", net:add_address("nope", "fd00::1"))
      refused("EACCES", "cannot add address fd00::1/64 to v1: Permission denied",
        net:add_address("v1", "fd00::1/64"))
      assert.equal("10.0.0.1/24", addresses())
    end)
  end)

  describe("adds and deletes routes", function ()
    before_each(function ()
      assert(net:add_link { kind = "veth", name = "v0", peer = "v1", up = true })
      assert(net:sysctl("ipv6/conf/v0/disable_ipv6", "0"))
      assert(net:set_link("v1", { up = true }))
      assert(net:add_address("v0", "10.0.0.1/24"))
      assert(net:add_address("v0", "fd00::1/64", { nodad = true }))
    end)

    it("of both families", function ()
      assert.is_true(net:add_route { to = "default", via = "10.0.0.254", source = "10.0.0.1", metric = 7 })
      assert.is_true(net:add_route { to = "192.168.0.0/16", link = "v0" })
      assert.is_true(net:add_route { to = "172.16.0.0/12", via = "172.31.0.1", link = "v0", onlink = true, table = 100 })
      assert.is_true(net:add_route { to = "default", via = "fd00::fe" })
      assert.is_true(net:add_route { to = "fd01::/48", link = "v0", metric = 9 })
      assert.is_true(net:add_route { to = "10.9.0.0/16", via = "fd00::fe", link = "v0" })
      local seen = space:ip "route"
      local default = find(seen, "dst", "default")
      assert.same({ "10.0.0.254", "v0", 7, "10.0.0.1" }, { default.gateway, default.dev, default.metric, default.prefsrc })
      assert.equal("link", find(seen, "dst", "192.168.0.0/16").scope)
      assert.equal("fd00::fe", find(seen, "dst", "10.9.0.0/16").via.host)
      assert.equal("172.31.0.1", space:ip "route show table 100"[1].gateway)
      seen = space:ip "-6 route"
      assert.equal("fd00::fe", find(seen, "dst", "default").gateway)
      assert.equal(9, find(seen, "dst", "fd01::/48").metric)

      local mine = net:routes { link = "v0" }
      assert.same({ to = "default", via = "10.0.0.254", link = "v0", source = "10.0.0.1", family = 4, metric = 7, table = 254,
        protocol = 3, type = "unicast", scope = "global" }, mine[1])
      assert.equal("fd00::fe", find(mine, "to", "10.9.0.0/16").via)
      assert.equal(6, find(mine, "to", "fd01::/48").family)
      assert.is_nil(find(mine, "table", 100))
      assert.equal("172.16.0.0/12", net:routes { table = 100 }[1].to)
      assert.truthy(find(net:routes { table = 0 }, "type", "local"))

      assert.is_true(net:delete_route { to = "default", via = "10.0.0.254" })
      assert.is_true(net:delete_route { to = "default", via = "fd00::fe" })
      assert.is_true(net:delete_route { to = "172.16.0.0/12", table = 100 })
      assert.is_nil(find(space:ip "route", "dst", "default") or find(space:ip "-6 route", "dst", "default"))
      assert.same({}, net:routes { table = 100 })
    end)

    it("lists one of several next hops hop by hop", function ()
      space:sh "ip route add 10.8.0.0/16 nexthop via 10.0.0.2 dev v0 nexthop via 10.0.0.3 dev v0 weight 2"
      local hops = {}
      for _, route in ipairs(net:routes()) do
        if route.to == "10.8.0.0/16" then hops[#hops + 1] = route.link .. " " .. route.via end
      end
      assert.same({ "v0 10.0.0.2", "v0 10.0.0.3" }, hops)
    end)

    it("once, replaces on demand, and says why not", function ()
      local route = { to = "default", via = "10.0.0.254" }
      assert.is_true(net:add_route(route))
      refused("EEXIST", "cannot add route to default via 10.0.0.254: File exists", net:add_route(route))
      assert.is_true(net:add_route { to = "default", via = "10.0.0.253", replace = true })
      assert.equal("10.0.0.253", find(space:ip "route", "dst", "default").gateway)
      refused("ENETUNREACH", "cannot add route to 10.7.0.0/16 via 11.0.0.1: Network is unreachable",
        net:add_route { to = "10.7.0.0/16", via = "11.0.0.1" })
      refused("EINVAL", "cannot add route to 10.7.0.1/16 by v0: Invalid argument",
        net:add_route { to = "10.7.0.1/16", link = "v0" })
      refused("ESRCH", "cannot delete route to 10.7.0.0/16: No such process", net:delete_route { to = "10.7.0.0/16" })
      refused("ENODEV", "cannot add route to 10.7.0.0/16 by nope: link nope: No such device",
        net:add_route { to = "10.7.0.0/16", link = "nope" })
    end)
  end)

  it("adds and deletes neighbours", function ()
    assert(net:add_link { kind = "veth", name = "v0", peer = "v1", up = true })
    assert(net:sysctl("ipv6/conf/v0/disable_ipv6", "0"))
    assert.is_true(net:add_neighbour { link = "v0", address = "10.0.0.2", mac = "02:00:00:00:00:02" })
    assert.is_true(net:add_neighbour { link = "v0", address = "fe80::2", mac = "02:00:00:00:00:03" })
    local seen = space:ip "neigh show dev v0 nud permanent"
    assert.equal("02:00:00:00:00:02", find(seen, "dst", "10.0.0.2").lladdr)
    assert.equal("02:00:00:00:00:03", find(seen, "dst", "fe80::2").lladdr)
    assert.same({ link = "v0", address = "10.0.0.2", mac = "02:00:00:00:00:02", family = 4, state = "permanent" },
      find(net:neighbours "v0", "family", 4))
    refused("EEXIST", "cannot add neighbour 10.0.0.2 of v0: File exists",
      net:add_neighbour { link = "v0", address = "10.0.0.2", mac = "02:00:00:00:00:04" })
    assert.is_true(net:add_neighbour { link = "v0", address = "10.0.0.2", mac = "02:00:00:00:00:04", replace = true })
    assert.equal("02:00:00:00:00:04", find(net:neighbours(), "address", "10.0.0.2").mac)
    assert.is_true(net:delete_neighbour { link = "v0", address = "10.0.0.2" })
    refused("ENOENT", "cannot delete neighbour 10.0.0.2 of v0: No such file or directory",
      net:delete_neighbour { link = "v0", address = "10.0.0.2" })
    assert.is_nil(find(space:ip "neigh show dev v0 nud permanent", "dst", "10.0.0.2"))
  end)

  describe("redirects", function ()
    before_each(function ()
      for _, name in ipairs { "a", "b" } do
        assert(net:add_link { kind = "veth", name = name, peer = name .. "1", up = true })
        assert(net:set_link(name .. "1", { up = true }))
      end
    end)

    it("all that comes in", function ()
      for _, link in ipairs { "a", "b" } do assert.is_true(net:add_ingress(link)) end
      assert.is_true(net:add_redirect("a", "b"))
      assert.is_true(net:add_redirect("b", "a"))
      local qdisc = find(space:tc "qdisc show dev a", "kind", "ingress")
      assert.equal("ffff:", qdisc.handle)
      local text = space:sh "tc -s filter show dev a ingress"
      assert.matches("protocol all pref 1 u32", text)
      assert.matches("match 00000000/00000000 at 0", text)
      assert.matches("mirred %(Egress Redirect to device b%) stolen", text)

      local before = net:links "b1"[1].statistics.rx_packets
      space:sh "ip address add 10.0.0.1/24 dev a1; ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev a1"
      space:sh [[timeout 5 bash -c 'for i in 1 2 3; do echo hello >/dev/udp/10.0.0.2/9; done']]
      assert.equal(before + 3, net:links "b1"[1].statistics.rx_packets)
      local list = net:redirects "a"
      assert.equal(1, #list)
      assert.same({ "a", "b", 3 }, { list[1].from, list[1].to, list[1].packets })
      assert.is_true(list[1].bytes >= 3 * 34)

      assert.is_true(net:delete_ingress "a")
      assert.is_nil(find(space:tc "qdisc show dev a", "kind", "ingress"))
      assert.same({}, net:redirects "a")
    end)

    it("once, and says why not", function ()
      assert.is_true(net:add_ingress "a")
      refused("EEXIST", "cannot add an ingress qdisc to a: File exists",
        net:add_ingress "a")
      assert.is_true(net:add_redirect("a", "b"))
      refused("EEXIST", "cannot redirect a to b1: File exists", net:add_redirect("a", "b1"))
      assert.equal(1, #net:redirects "a")
      refused("ENODEV", "cannot add a redirect: link nope: No such device", net:add_redirect("a", "nope"))
      refused("EINVAL", "cannot redirect b to a: Invalid argument", net:add_redirect("b", "a"))
      assert.is_nil(net:delete_ingress "b")
      assert.equal("cannot delete the ingress qdisc of: link nope: No such device", select(2, net:delete_ingress "nope").message)
    end)
  end)

  it("reads and writes the settings of its namespace", function ()
    local other <close> = new_space()
    local before = other.net:sysctl "ipv4/ip_forward"    -- as the host has it
    for _, value in ipairs { "1", "0" } do
      assert.is_true(net:sysctl("ipv4/ip_forward", value))
      assert.equal(value, net:sysctl "ipv4/ip_forward")
      assert.equal(value .. "\n", space:sh "cat /proc/sys/net/ipv4/ip_forward")
      assert.equal(before, other.net:sysctl "ipv4/ip_forward")
    end
    local _, err = net:sysctl "ipv4/nonsense"
    assert.same({ "ENOENT", "cannot open /proc/sys/net/ipv4/nonsense: No such file or directory" }, { err.errno, err.message })
    assert.equal("'../kernel/hostname' is no setting", select(2, net:sysctl "../kernel/hostname").message)
    assert.equal("EINVAL", select(2, net:sysctl("ipv4/ip_forward", "much")).errno)
  end)

  it("works on its namespace whatever the caller is in, and leaves the caller there", function ()
    local before = sh "readlink /proc/$PPID/ns/net"
    assert.is_true(net:add_tap { name = "tap0" })
    assert.is_true(net:add_link { kind = "bridge", name = "d0" })
    assert.equal(before, sh "readlink /proc/$PPID/ns/net")
    local own <close> = assert(netlink.open())
    assert.is_nil(find(own:links(), "name", "tap0"))
    assert.equal("lo", assert(own:links "lo")[1].name)
  end)

  it("carries the kernel's explanations, those that iproute2 shows", function ()
    assert(net:add_link { kind = "veth", name = "v0", peer = "v1", up = true })
    assert(net:add_address("v0", "10.0.0.1/24"))
    assert(net:add_ingress "v0")
    local explained = 0
    for command, call in pairs {
      ["ip address add 10.0.0.1/24 dev v0"] = function () return net:add_address("v0", "10.0.0.1/24") end,
      ["ip address add fd00::1/64 dev v0"] = function () return net:add_address("v0", "fd00::1/64") end,
      ["ip route add 10.7.0.0/16 via 11.0.0.1"] = function () return net:add_route { to = "10.7.0.0/16", via = "11.0.0.1" } end,
      ["ip link add x type nonsense"] = function () return net:add_link { kind = "nonsense", name = "x" } end,
      ["ip link set v0 mtu 1000000"] = function () return net:set_link("v0", { mtu = 1000000 }) end,
      ["tc qdisc add dev v0 ingress"] = function () return net:add_ingress "v0" end,
    } do
      local said = space:sh(command .. " || :")
      local explanation = said:match "Error: (.-)%.?\n"
      local ok, err = call()
      assert.is_nil(ok)
      if explanation then
        explained = explained + 1
        assert.equal(": " .. explanation, err.message:sub(-#explanation - 2))
      else
        assert.matches(err.message:match ": ([^:]+)$", said, 1, true)
      end
    end
    assert.is_true(explained >= 3)
  end)

  it("lists again when the list changed meanwhile, or a part of it was lost", function ()
    for i = 1, 30 do assert(net:add_link { kind = "bridge", name = "br" .. i }) end
    for _, kind in ipairs { "change", "overrun" } do
      for n = 1, 3 do
        faults.arm(kind, n)
        local links = net:links()
        local calls = faults.arm "nothing"
        assert.equal(31, #links)
        assert.is_true(calls > n)
      end
    end
    faults.arm("change", 1)
    assert.is_true(net:delete_link "br1")    -- a change of one object is none of a list
    faults.arm "nothing"
    assert.equal(30, #net:links())
  end)

  it("gives up waiting for a reply that does not come, and goes on", function ()
    faults.arm("silence", 1)
    refused("ETIMEDOUT", "cannot delete link lo: Connection timed out", net:delete_link "lo")
    faults.arm "nothing"
    assert.equal("lo", net:links()[1].name)
    faults.arm("overrun", 1)    -- it was done, and the word of it is lost
    refused("ENOBUFS", "cannot change link lo: No buffer space available", net:set_link("lo", { up = true }))
    faults.arm "nothing"
    assert.is_true(net:links "lo"[1].up)
  end)

  it("refuses what cannot be meant", function ()
    raises("name: value expected, got nil", net.add_tap, net, {})
    for _, name in ipairs { "", "a b", "a/b", "a:b", "tap%d", "sixteen-letters-", ".", "..", "a\0b" } do
      local ok, message = pcall(net.add_tap, net, { name = name })
      assert.is_false(ok)
      assert.matches("^name: name of a link %(1 to 15 bytes", message)
    end
    raises("ownr: no such field", net.add_tap, net, { name = "t", ownr = 1 })
    raises("owner: numeric id expected, got 'root'", net.add_tap, net, { name = "t", owner = "root" })
    raises("owner: numeric id expected, got -1", net.add_tap, net, { name = "t", owner = -1 })
    raises("up: boolean expected, got 1", net.add_tap, net, { name = "t", up = 1 })
    raises("options: table expected, got 't'", net.add_tap, net, "t")
    raises("peer: needed for a veth, and for nothing else", net.add_link, net, { kind = "veth", name = "v" })
    raises("peer: needed for a veth, and for nothing else", net.add_link, net, { kind = "bridge", name = "v", peer = "w" })
    raises("netns: open descriptor expected, got 'blue'", net.set_link, net, "lo", { netns = "blue" })
    raises("address: address ADDRESS/BITS expected, got 10.0.0.1/33", net.add_address, net, "lo", "10.0.0.1/33")
    raises("to: address or network ADDRESS/BITS expected, got 'everywhere'", net.add_route, net, { to = "everywhere" })
    raises("via: IP address expected, got '10.0.0.1/24'", net.add_route, net, { to = "default", via = "10.0.0.1/24" })
    raises("link: a route needs link or via", net.add_route, net, { to = "default" })
    raises("mac: value expected, got nil", net.add_neighbour, net, { link = "lo", address = "10.0.0.1" })
    for _, mac in ipairs { "02:00:00:00:00", "02:00:00:00:00:0", "02:00:00:00:00:0g", "02-00-00-00-00-00", "02:00:00:00:00:00:00", "" } do
      raises(("mac: MAC address xx:xx:xx:xx:xx:xx expected, got '%s'"):format(mac), net.set_link, net, "lo", { mac = mac })
    end
    net:close()
    net:close()
    assert.has_error(function () net:links() end, "calling 'links' on bad self (closed network)")
    space.net = assert(netlink.open(space.fd))
    space.fd:close()
    assert.has_error(function () netlink.open(space.fd) end, "bad argument #1 to 'open' (closed descriptor)")
  end)
end)

describe("addresses as texts", function ()
  it("are read strictly", function ()
    for text, expected in pairs {
      ["10.0.0.1"] = { "\10\0\0\1", 32 }, ["10.0.0.1/0"] = { "\10\0\0\1", 0 }, ["255.255.255.255/32"] = { "\255\255\255\255", 32 },
      ["::"] = { ("\0"):rep(16), 128 }, ["fd00::1/64"] = { "\xfd" .. ("\0"):rep(14) .. "\1", 64 },
      ["::ffff:1.2.3.4/128"] = { ("\0"):rep(10) .. "\xff\xff\1\2\3\4", 128 },
    } do
      assert.same(expected, { netlink.parse(text) })
    end
    for _, text in ipairs { "", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/08",
      "10.0.0.1/ 8", "10.0.0.1/8/8", " 10.0.0.1", "10.0.0.1\0", "fd00::1/129", "fd00::1%lo", "fd00:::1", "localhost",
      ("1"):rep(500), "10.0.0.1/99999999999999999999" } do
      assert.same({ n = 1 }, table.pack(netlink.parse(text)), text)   -- nil, not nothing
    end
  end)

  it("are written", function ()
    for _, text in ipairs { "10.0.0.1/24", "fd00::1/64", "0.0.0.0/0", "::/0", "::1/128" } do
      assert.equal(text, netlink.format(netlink.parse(text)))
    end
    assert.equal("1.2.3.4", netlink.format "\1\2\3\4")
    assert.has_error(function () netlink.format "\1\2\3" end, "bad argument #1 to 'format' (4 or 16 bytes expected)")
    assert.has_error(function () netlink.format("\1\2\3\4", 33) end, "bad argument #2 to 'format' (prefix out of range)")
  end)
end)

describe("a namespace that is closed", function ()
  it("lives while its socket does #root", function ()
    local fd = assert(netns.create())
    local net <close> = assert(netlink.open(fd))
    fd:close()
    assert.is_true(net:add_tap { name = "tap0" })
    assert.equal("tap0", net:links "tap0"[1].name)
  end)
end)
