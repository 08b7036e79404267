-- Networks by configuration with the real VMM, looked at by ip, bridge, tc and nft.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local network = require "firecracker.network"
local sh = require "spec.support.sh"
local state = require "spec.support.network_state"

local function seen (command)
  local out, status = sh(command)
  assert(status == 0, command .. ": " .. out)
  return core.json.decode(out)
end

local function link (name, netns)
  return seen(("ip %s -j -d link show %s"):format(netns and "-n " .. netns or "", name))[1]
end

local function boot (interfaces, more)
  for i, each in ipairs(interfaces) do
    each.iface_id = each.iface_id or "net" .. i
  end
  local t = { network_interfaces = interfaces }
  for key, value in pairs(more or {}) do
    t[key] = value
  end
  local vm, err = fc.boot(bed.config("idle", t))
  if err then
    err.message = err.message:gsub("^fcinit.SetupNetwork: ", "")
  end
  return vm, err
end

-- nft -j names what it lists; the rules of a chain as texts.
local function rules (vm, chain, netns)
  local out = sh(("%s nft list chain inet fc-%s %s"):format(netns and "ip netns exec " .. netns or "", vm.id, chain))
  local list = {}
  for line in out:gmatch "[^\n]+" do
    list[#list + 1] = line:match "^\t\t(.*)$"
  end
  return list
end

-- Lines of a shell script that nft's callers get in its place, for the duration of a function. %s: the real one.
local function with_nft (lines, fn)
  sh.tmpdir(function (dir)
    local command = require "firecracker.network.command"
    local path = command.path
    local _ <close> = setmetatable({}, { __close = function () command.path = path end })
    bed.write(dir .. "/nft", "#!/bin/sh\n" .. lines:gsub("%%s", (sh "command -v nft":match "%S+")))
    sh(("chmod +x %s/nft"):format(dir))
    function command.path () return dir .. ":" .. path() end
    fn(dir)
  end)
end

require "spec.support.isolated" (describe, it, "spec/network/setup_spec.lua", function ()
  describe("a network by configuration:", function ()
    leaks.check(before_each, after_each, teardown)
    local before

    before_each(function ()
      before = state()
    end)
    after_each(function ()
      local last
      local ok = pcall(bed.eventually, function () last = state() return last == before end, "the state before")
      assert(ok, ("the state before:\n%s\nbut:\n%s"):format(before, last))
    end)

    it("a tap of the machine's own", function ()
      local vm <close> = assert(boot { { tap = true }, { tap = { mtu = 1400, owner = 1234, group = 99 }, host_dev_name = "mine" } })
      local first, second = link(vm.taps[1]), link "mine"
      assert.equal("fc" .. vm.id .. "t0", vm.taps[1])
      assert.equal("tun", first.linkinfo.info_kind)
      assert.equal("tap", first.linkinfo.info_data.type)
      assert.is_true(first.linkinfo.info_data.vnet_hdr)
      assert.is_true(first.linkinfo.info_data.persist)
      assert.is_false(first.linkinfo.info_data.multi_queue)
      assert.equal(1500, first.mtu)
      assert.is_truthy(table.concat(first.flags, " "):find "LOWER_UP")   -- the VMM has it
      assert.same({ 1400, "1234", "99" }, { second.mtu, tostring(second.linkinfo.info_data.user),
        tostring(second.linkinfo.info_data.group) })
      assert.equal(vm.taps[1], vm:full_config().network_interfaces[1].host_dev_name)
      assert(vm:stop())
      assert.is_nil((core.files.look("/sys/class/net/" .. vm.taps[1])))
      assert.is_nil((core.files.look "/sys/class/net/mine"))
    end)

    it("a port of a bridge, which stays", function ()
      assert.equal("", (sh "ip link add br0 mtu 1450 type bridge && ip link set br0 up"))
      finally(function () sh "ip link del br0" end)
      local vm <close> = assert(boot { { bridge = "br0" } })
      local port = seen("bridge -j link show dev " .. vm.taps[1])[1]
      assert.same({ "br0", 1450 }, { port.master, port.mtu })
      assert(vm:stop())
      assert.is_truthy(link "br0")
      local _, err = boot { { bridge = "br1" } }
      assert.equal("config.network_interfaces[1].bridge: no bridge 'br1' on this host", err.message)
      assert.equal("network_interfaces[1].bridge", err.field)
      _, err = boot { { bridge = "lo" } }
      assert.equal("config.network_interfaces[1].bridge: 'lo' is no bridge", err.message)
    end)

    it("a tap that is there stays as it was", function ()
      assert.equal("", (sh "ip tuntap add mode tap tap7 && ip tuntap add mode tap multi_queue tap8"))
      finally(function () sh "ip link del tap7; ip link del tap8" end)
      local vm <close> = assert(boot { { host_dev_name = "tap7", static = { ip = "10.0.0.2/24" } } })
      assert.same({ "10.0.0.2/24" }, vm.addresses[1].addresses)
      assert(vm:stop())
      assert.is_truthy(link "tap7")
      for name, message in pairs { tap6 = "no interface 'tap6' on this host", tap8 = "'tap8' has several queues, Firecracker takes one",
                                   lo = "'lo' is no tap" } do
        local none, err = boot { { host_dev_name = name } }
        assert.is_nil(none)
        assert.same({ "network_interfaces[1].host_dev_name", "config.network_interfaces[1].host_dev_name: " .. message,
          "fcinit.SetupNetwork" },
          { err.field, err.message, err.handler })
      end
    end)

    it("NAT, by one nft each way", function ()
      with_nft('echo "$@" >>"$(dirname "$0")/log"; exec %s "$@"', function (dir)
        sh "echo 0 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"
        local vm <close> = assert(boot { { nat = { subnet = "10.3.0.0/24", subnet6 = "fd03::/64" } },
          { nat = { subnet = "10.4.0.0/16", address = "10.4.9.9", interface = "up0", nameservers = "9.9.9.9" } } })
        local one, two = table.unpack(vm.taps)
        assert.same({ "10.3.0.1/32" }, { sh("ip -o -4 addr show dev " .. one):match "inet (%S+)" })
        assert.matches("fd03::1/128", sh("ip -o -6 addr show dev " .. one), 1, true)
        assert.matches("^10.3.0.2 dev " .. one .. " scope link src 10.3.0.1", sh "ip route show 10.3.0.2")
        assert.matches("dev " .. one, sh "ip -6 route show fd03::2", 1, true)
        assert.matches("^10.4.9.9 dev " .. two .. " scope link src 10.4.0.1", sh "ip route show 10.4.9.9")
        assert.equal("1\n1\n", (sh(("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/%s/proxy_arp"):format(one))))
        assert.same({ "type nat hook postrouting priority srcnat; policy accept;", "ip saddr 10.3.0.2 ip daddr != 10.3.0.0/24 masquerade",
          "ip6 saddr fd03::2 ip6 daddr != fd03::/64 masquerade", 'ip saddr 10.4.9.9 ip daddr != 10.4.0.0/16 oifname "up0" masquerade' },
          rules(vm, "postrouting"))
        assert.same({ "type filter hook forward priority filter; policy accept;",
          ('iifname "%s" ip saddr != 10.3.0.2 drop'):format(one), ('iifname "%s" ip6 saddr != fd03::2 drop'):format(one),
          ('iifname "%s" ip saddr != 10.4.9.9 drop'):format(two), ('iifname "%s" meta nfproto ipv6 drop'):format(two) },
          rules(vm, "forward"))
        assert.same({ { "10.3.0.2/24", "fd03::2/64" }, { "10.3.0.1", "fd03::1" } }, { vm.addresses[1].addresses, vm.addresses[1].gateways })
        assert.same({ { "10.4.9.9/16" }, { "10.4.0.1" }, { "9.9.9.9" } },
          { vm.addresses[2].addresses, vm.addresses[2].gateways, vm.addresses[2].nameservers })
        assert.matches("ip=10.3.0.2::10.3.0.1:255.255.255.0::eth0:off::", vm.config.boot_source.boot_args, 1, true)
        assert.equal("-f -\n", bed.read(dir .. "/log"))
        local other <close> = assert(boot { { nat = { subnet = "10.3.0.0/24" } } })
        assert.same({ "10.3.0.3/24" }, other.addresses[1].addresses)
        local none, err = boot { { nat = { subnet = "10.4.0.0/16", address = "10.4.9.9" } } }
        assert.is_nil(none)
        assert.equal(("config.network_interfaces[1].nat.subnet: 10.4.0.0/16: none is free; 10.4.9.9 is machine %s's"):format(vm.id),
          err.message)
        assert(vm:stop())
        assert(other:stop())
        assert.equal(("-f -\n"):rep(4), bed.read(dir .. "/log"))
      end)
    end)

    it("NAT whose nft is given up once it has made the table leaves none, and the same machine starts again", function ()
      with_nft([[
        rules=$(cat); echo "$rules" | %s "$@" || exit
        case $rules in create*) touch "$(dirname "$0")/made"; exec sleep 60; esac]], function (dir)
        local config = bed.config("idle", { id = "late", network_interfaces = { { iface_id = "net1", nat = { subnet = "10.3.0.0/24" } } } })
        local mark = state()
        local function given_up (code, err)
          assert.equal(code, err.code)
          assert.is_nil(err.undo_errors)
          assert.is_truthy(core.files.look(dir .. "/made"))
          assert.equal(mark, state())
          os.remove(dir .. "/made")
        end
        fc.run(function ()
          local task = fc.spawn(fc.boot, config)
          bed.eventually(function () return core.files.look(dir .. "/made") end, "the table")
          task:cancel()
          given_up("cancelled", select(2, task:wait()))
        end)
        bed.patiently(function (timeout)
          local _, err = assert(fc.new(config)):start { timeout = timeout }
          local came = core.files.look(dir .. "/made")
          return came and (given_up("timeout", err) or came)
        end)
        bed.write(dir .. "/nft", "#!/bin/sh\nexit 7\n")
        local _, err = fc.boot(config)
        assert.equal("nft", err.code)
        assert.is_nil(err.undo_errors)   -- what was refused is not taken back
        os.remove(dir .. "/nft")
        local vm <close> = assert(fc.boot(config))
        assert.equal(2, #rules(vm, "postrouting"))
        assert(vm:stop())
      end)
    end)

    it("NAT that cannot be taken back is told of", function ()
      with_nft('in=$(cat)\ncase "$in" in *delete*) echo "not now" >&2; exit 1;; esac\necho "$in" | exec %s "$@"\n', function ()
        local vm = assert(boot { { nat = { subnet = "10.3.0.0/24" } } })
        local failures = assert(vm:stop()).undo_errors
        assert.equal("", (sh("nft delete table inet fc-" .. vm.id)))
        assert.same({ "nftables fc-" .. vm.id, "nft: not now" }, { failures[1].name, failures[1].err.message })
      end)
    end)

    it("a lease that cannot be handed to its VMM fails the start", function ()
      local leases = leaks.run_dir .. "/leases"
      local flow = assert(fc.flow "boot"):insert_before("fcinit.StartInstance", function (vm)
        vm:defer("leases", function () sh(("rmdir %s; mv %s.kept %s"):format(leases, leases, leases)) end)
        sh(("mv %s %s.kept; mkdir %s"):format(leases, leases, leases))
      end)
      local vm, err = fc.boot(bed.config("idle", { network_interfaces = { { iface_id = "net1", nat = { subnet = "10.3.0.0/24" } } } }),
        flow)
      assert.is_nil(vm)
      assert.same({ "fcinit.StartInstance", "EISDIR" }, { err.handler, err.errno })
    end)

    it("IPv6 forwarding is not turned on behind the back of a host", function ()
      sh "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding"
      local none, err = boot { { nat = { subnet = "fd03::/64" } } }
      assert.is_nil(none)
      assert.matches("^config.network_interfaces%[1%].nat.subnet: IPv6 forwarding is off", err.message)
      assert.equal("sysctl -w net.ipv6.conf.all.forwarding=1", err.hint)
    end)

    it("a namespace that is there, one that is made, one of the machine's own", function ()
      assert.equal("", (sh "ip netns add there"))
      finally(function () sh "ip netns del there" end)
      local function place (vm)
        return vm.netns.name, (sh(("readlink /proc/%d/ns/net"):format(vm.pid)):match "%d+"),
          (sh("stat -Lc %i /run/netns/" .. vm.netns.name):match "%d+")
      end
      for wanted, stays in pairs { there = true, made = false, [true] = false } do
        local vm <close> = assert(boot({ { tap = true } }, { netns = wanted }))
        local name, of_vmm, of_name = place(vm)
        assert.equal(wanted == true and "fc-" .. vm.id or wanted, name)
        assert.equal(of_name, of_vmm)
        assert.equal("/run/netns/" .. name, vm.netns.path)
        assert.equal("tun", link(vm.taps[1], name).linkinfo.info_kind)
        assert.is_nil((core.files.look("/sys/class/net/" .. vm.taps[1])))
        assert(vm:stop())
        assert.equal(stays, core.files.look("/run/netns/" .. name) ~= nil)
        if stays then
          assert.is_nil((sh("ip -n there -o link"):match "fc%x+t0"))
        end
      end
    end)

    it("a namespace that another process makes at the same moment is joined", function ()
      local create = network.create_namespace
      finally(function ()
        network.create_namespace = create
        sh "ip netns del made"
      end)
      function network.create_namespace (name)
        network.create_namespace = create
        assert.equal("", (sh("ip netns add " .. name)))
        return create(name)
      end
      local vm <close> = assert(boot({ { tap = true } }, { netns = "made" }))
      assert.is_false(vm.netns.own)
      assert(vm:stop())
      assert.matches("^made", (sh "ip netns list"))
    end)

    it("a namespace whose name is another's by now stays", function ()
      local vm <close> = assert(boot({ { tap = true } }, { netns = "made" }))
      assert.equal("", (sh "ip netns del made && ip netns add made"))
      finally(function () sh "ip netns del made" end)
      assert.is_nil(assert(vm:stop()).undo_errors)
      assert.matches("^made", (sh "ip netns list"))
    end)

    it("a namespace of a machine that is dropped goes where the program ends", function ()
      local out, status = sh(([[lua5.4 -e '
        local fc, bed = require "firecracker", require "spec.support.bed"
        assert(fc.boot(bed.config("idle", { run_dir = %q, netns = true })))']]):format(leaks.run_dir))
      assert.equal(0, status, out)
      assert.equal("", (sh "ip netns list"))
    end)

    it("a namespace without an interface", function ()
      local vm <close> = assert(boot({}, { netns = true }))
      assert.equal("fc-" .. vm.id .. "\n", (sh("ip netns identify " .. vm.pid)))
    end)

    it("an existing tap of a namespace", function ()
      assert.equal("", (sh "ip netns add there && ip -n there tuntap add mode tap tap7"))
      finally(function () sh "ip netns del there" end)
      local vm <close> = assert(boot({ { host_dev_name = "tap7" } }, { netns = "there" }))
      assert(vm:stop())
      assert.is_truthy(link("tap7", "there"))
      local _, err = boot({ { host_dev_name = "tap6" } }, { netns = "there" })
      assert.equal("config.network_interfaces[1].host_dev_name: no interface 'tap6' on this host", err.message)
    end)

    it("an existing tap of a namespace is wanted by a restore as well: the VMM would make it", function ()
      local dir = bed.scratch "restored"
      assert(core.files.mkdir(dir))
      assert.equal("", (sh "ip netns add there && ip -n there tuntap add mode tap tap7"))
      finally(function () sh("ip netns del there; rm -rf " .. dir) end)
      local vm = assert(boot({ { host_dev_name = "tap7" } }, { netns = "there", machine_config = { mem_size_mib = 32 } }))
      assert(vm:snapshot { snapshot_path = dir .. "/one", mem_file_path = dir .. "/memory", pause = true })
      vm:close()
      local function restore (netns)
        return fc.restore { run_dir = leaks.run_dir, timeouts = { shutdown = 0 }, netns = netns,
                            snapshot = { snapshot_path = dir .. "/one" } }
      end
      assert(restore "there"):close()
      assert.equal("", (sh "ip -n there link delete tap7"))
      for _, netns in ipairs { "there", "made", true } do
        local again, err = restore(netns)
        assert.is_nil(again)
        assert.same({ "snapshot", "network_interfaces" }, { err.code, err.field })
        assert.matches("interface 'net1' of the snapshot: no tap 'tap7' in its namespace; name another", err.message)
      end
    end)

    it("NAT from a namespace of the machine's own has a way out; from another it is that one's", function ()
      local vm <close> = assert(boot({ { nat = { subnet = "10.3.0.0/24" } }, { nat = { subnet = "10.4.0.0/24" } } }, { netns = true }))
      local name = vm.netns.name
      assert.equal("up", link(("fc%su"):format(vm.id)).operstate:lower())
      assert.matches("via 169.254.0.2 dev fc" .. vm.id .. "u onlink", sh "ip route show 10.3.0.2", 1, true)
      assert.matches("default via 169.254.0.1 dev uplink", sh(("ip -n %s route"):format(name)), 1, true)
      assert.same({}, rules(vm, "postrouting", name))
      assert.equal(3, #rules(vm, "postrouting"))
      assert.same({ "type filter hook forward priority filter; policy accept;",
        ('iifname "fc%su" ip saddr != { 10.3.0.2, 10.4.0.2 } drop'):format(vm.id),
        ('iifname "fc%su" meta nfproto ipv6 drop'):format(vm.id) }, rules(vm, "forward"))
      assert(vm:stop())
      assert.equal("", (sh "ip netns add there"))
      finally(function () sh "ip netns del there" end)
      local second <close> = assert(boot({ { nat = { subnet = "10.3.0.0/24" } } }, { netns = "there" }))
      assert.same({}, rules(second, "postrouting"))
      assert.equal(2, #rules(second, "postrouting", "there"))
      assert.equal("1\n", (sh "ip netns exec there cat /proc/sys/net/ipv4/ip_forward"))
    end)

    it("IPv6 has no way out of a namespace that the machine makes, also where it is named", function ()
      for _, nat in ipairs { { subnet = "fd03::/64" }, { subnet = "10.3.0.0/24", subnet6 = "fd03::/64" } } do
        local none, err = boot({ { nat = nat } }, { netns = "made" })
        assert.is_nil(none)
        assert.same({ "config", "network_interfaces[1].nat.subnet" .. (nat.subnet6 and "6" or "") }, { err.code, err.field })
        assert.matches("IPv6 has no way out of a namespace of the machine's own", err.message, 1, true)
        assert.equal("", (sh "ip netns list"))
      end
    end)

    it("a name that is taken is refused, and nothing of it is touched", function ()
      assert.equal("", (sh "ip tuntap add mode tap mine"))
      finally(function () sh "ip link del mine" end)
      local none, err = boot { { tap = true }, { tap = true, host_dev_name = "mine" } }
      assert.is_nil(none)
      assert.same({ "network_interfaces[2].tap", "EEXIST", "fcinit.SetupNetwork" }, { err.field, err.errno, err.handler })
      assert.is_truthy(link "mine")
    end)

    it("is undone when any later step fails", function ()
      sh "ip link add br0 type bridge"
      finally(function () sh "ip link del br0" end)
      local flow = assert(fc.flow "boot")
      local mark = state()
      for _, step in ipairs(flow.fcinit) do
        if step.name ~= "fcinit.SetupNetwork" then
          local broken = assert(fc.flow "boot"):insert_before(step.name, function () error "broken" end)
          local vm, err = fc.boot(bed.config("idle", { netns = "made", network_interfaces = {
            { iface_id = "a", tap = true }, { iface_id = "b", nat = { subnet = "10.3.0.0/24" } } } }), broken)
          assert.is_nil(vm)
          assert.is_nil(err.undo_errors)
          assert.equal(mark, state())
        end
      end
    end)

    it("with many machines at once gives each its own", function ()
      fc.run(function ()
        local list = {}
        for i = 1, 12 do
          list[i] = bed.config("idle", { network_interfaces = { { iface_id = "a", nat = { subnet = "10.3.0.0/28" } } } })
        end
        local vms <close> = fc.map(list, fc.boot, { limit = 6 })
        assert.same({}, vms.errors)
        local addresses = {}
        for _, vm in ipairs(vms) do
          addresses[vm.addresses[1].addresses[1]] = true
        end
        local count = 0
        for _ in pairs(addresses) do count = count + 1 end
        assert.equal(12, count)
        local thirteenth <close> = assert(fc.boot(list[1]))
        local none, err = fc.boot(list[1])
        assert.is_nil(none)
        assert.equal("lease", err.code)
        assert.is_truthy(thirteenth)
      end)
    end)

    it("metadata through an interface that allows it, with the addresses in them", function ()
      local vm <close> = assert(boot({ { tap = true, allow_mmds = true, static = { ip = { "10.0.0.2/24", "fd00::2/64" } } } },
        { mmds_addresses = "network", mmds = { a = 1 } }))
      assert.same({ "net1" }, vm:full_config()["mmds_config"].network_interfaces)
      assert.same({ "10.0.0.2/24", "fd00::2/64" }, vm:metadata().network[1].addresses)
      assert.equal(1, vm:metadata().a)
    end)

    it("starts by file as well", function ()
      local vm <close> = assert(fc.boot(bed.config("idle", { netns = true, network_interfaces = {
        { iface_id = "a", nat = { subnet = "10.3.0.0/24" } } } }), { via = "config_file" }))
      assert.equal("tun", link(vm.taps[1], vm.netns.name).linkinfo.info_kind)
      assert.matches(" " .. vm.pid .. ":%d+\n$", bed.read(leaks.run_dir .. "/leases"))
    end)

    it("comes with a restored guest as well: its address is taken as long as its VMM lives", function ()
      local dir = bed.scratch "restored"
      assert(core.files.mkdir(dir))
      finally(function () sh("rm -rf " .. dir) end)
      local function interfaces ()
        return { { iface_id = "net1", nat = { subnet = "10.3.0.0/24" } } }
      end
      local vm = assert(boot(interfaces(), { machine_config = { mem_size_mib = 32 } }))
      assert(vm:snapshot { snapshot_path = dir .. "/one", mem_file_path = dir .. "/memory", pause = true })
      vm:close()
      local again <close> = assert(fc.restore { run_dir = leaks.run_dir, timeouts = { shutdown = 0 },
        network_interfaces = interfaces(), snapshot = { snapshot_path = dir .. "/one" } })
      assert.matches("^10%.3%.0%.2 " .. again.id .. " %S+ " .. again.pid .. ":%d+\n$", bed.read(leaks.run_dir .. "/leases"))
    end)

    it("a restored guest has the address that it remembers, and who restores it is told where that is taken", function ()
      local dir = bed.scratch "restored"
      assert(core.files.mkdir(dir))
      finally(function () sh("rm -rf " .. dir) end)
      local function interfaces (more)
        local nat = { subnet = "10.3.0.0/24", subnet6 = "fd03::/64" }
        for key, value in pairs(more or {}) do
          nat[key] = value
        end
        return { { iface_id = "net1", nat = nat } }
      end
      sh "sysctl -qw net.ipv6.conf.all.forwarding=1"
      local function restore (name, more, unchecked)
        local warnings = {}
        local vm, err = fc.restore { disable_validation = unchecked, run_dir = leaks.run_dir, timeouts = { shutdown = 0 },
          network_interfaces = interfaces(more), snapshot = { snapshot_path = dir .. "/" .. name }, log = function (event)
            warnings[#warnings + 1] = event.event == "warning" and event.message or nil
          end }
        return assert(vm, err), warnings
      end
      local first = assert(boot(interfaces()))
      local vm = assert(boot(interfaces(), { machine_config = { mem_size_mib = 32 } }))
      local own = { "10.3.0.3/24", "fd03::3/64" }
      assert.same(own, vm.addresses[1].addresses)
      local manifest = assert(vm:snapshot { snapshot_path = dir .. "/one", mem_file_path = dir .. "/memory", pause = true })
      assert.same({ net1 = own }, manifest.host.addresses)
      vm:close()
      first:close()
      local again <close>, warnings = restore "one"
      assert.same({ own, {} }, { again.addresses[1].addresses, warnings })
      local other <close>, told = restore "one"
      assert.same({ "10.3.0.2/24", "fd03::2/64" }, other.addresses[1].addresses)
      assert.same({ "config.network_interfaces[1].nat.subnet: the guest of the snapshot has 10.3.0.3, which is taken: " ..
        "it is let out once it has 10.3.0.2", "config.network_interfaces[1].nat.subnet6: the guest of the snapshot has fd03::3, " ..
        "which is taken: it is let out once it has fd03::2" }, told)
      local given <close>, none = restore("one", { address = "10.3.0.77" })
      assert.same({ { "10.3.0.77/24", "fd03::4/64" }, 1 }, { given.addresses[1].addresses, #none })
      local function leases ()
        return bed.read(leaks.run_dir .. "/leases")
      end
      local held = leases()
      local fallen, err = fc.restore { run_dir = leaks.run_dir, network_interfaces = interfaces(),
        snapshot = { snapshot_path = dir .. "/one" },
        log = function (event) return event.event == "warning" and error "no more of this" end }
      assert.is_nil(fallen)
      assert.matches("no more of this", err.message)
      assert.equal(held, leases())
      other:close()
      again:close()
      local unchecked <close> = restore("one", {}, true)
      assert.same(own, unchecked.addresses[1].addresses)
      local elsewhere <close>, nothing = restore("one", { subnet = "10.4.0.0/24" })
      assert.same({ "10.4.0.2/24", 1 }, { elsewhere.addresses[1].addresses[1], #nothing })
    end)

    it("a guest that was restored without a word of its addresses is still known to have them", function ()
      local dir = bed.scratch "restored"
      assert(core.files.mkdir(dir))
      finally(function () sh("rm -rf " .. dir) end)
      local vm = assert(boot({ { nat = { subnet = "10.3.0.0/24", address = "10.3.0.9" } } }, { machine_config = { mem_size_mib = 32 } }))
      assert(vm:snapshot { snapshot_path = dir .. "/one", mem_file_path = dir .. "/memory", pause = true })
      vm:close()
      local again <close> = assert(fc.restore { run_dir = leaks.run_dir, timeouts = { shutdown = 0 },
        network_interfaces = { { iface_id = "net1", tap = true } }, snapshot = { snapshot_path = dir .. "/one" } })
      local manifest = assert(again:snapshot { snapshot_path = dir .. "/two", mem_file_path = dir .. "/memory2", pause = true })
      assert.same({ net1 = { "10.3.0.9/24" } }, manifest.host.addresses)
      assert.same(manifest.host.addresses, fc.snapshot.read(dir .. "/two").host.addresses)
    end)

    it("a dead VMM's network goes, an address not before", function ()
      local vm <close> = assert(boot { { nat = { subnet = "10.3.0.0/30" } } })
      assert(vm:kill())
      assert.same({ signal = 9 }, vm:wait())
      local again <close> = assert(boot { { nat = { subnet = "10.3.0.0/30" } } })
      assert.same({ "10.3.0.2/30" }, again.addresses[1].addresses)
    end)

    it("in a jail the same: taps are its user's, the VMM is in the namespace", function ()
      local base = bed.scratch "jails"
      local jailer = { uid = 1234, gid = 4321, chroot_base_dir = base }
      if not pcall(fc.new, bed.config("idle", { jailer = jailer })) then
        return pending "this build has no jailer"
      end
      assert(core.files.mkdir(base, tonumber("755", 8)))
      local list = { cniVersion = "1.0.0", name = "spec", plugins = { { type = "ptp", ipam = { type = "host-local",
        dataDir = leaks.run_dir .. "-ipam", ranges = { { { subnet = "10.8.0.0/24" } } } } } } }
      finally(function () sh(("rm -rf %s-ipam %s-cache; rmdir %s"):format(leaks.run_dir, leaks.run_dir, base)) end)
      for _, each in ipairs {
        { interface = { tap = true } }, { interface = { nat = { subnet = "10.3.0.0/24" } }, netns = true },
        { interface = { nat = { subnet = "10.3.0.0/24" } }, netns = "made" },
        { interface = { cni = { network_config = list, cache_dir = leaks.run_dir .. "-cache" } } },
      } do
        local vm <close> = assert(boot({ each.interface }, { jailer = jailer, netns = each.netns }))
        local name = vm.netns and vm.netns.name
        local data = link(vm.taps[1], name).linkinfo.info_data
        assert.same({ "1234", "4321" }, { tostring(data.user), tostring(data.group) })
        assert.matches("Uid:\t1234\t", bed.read(("/proc/%d/status"):format(vm.pid)))
        assert.equal(name, (sh("ip netns identify " .. vm.pid):match "%S+"))
        local ended = assert(vm:stop())
        assert(not ended.undo_errors, ended.undo_errors and tostring(ended.undo_errors[1].err))
      end
    end)

    it("each request to the kernel failing in turn leaves what was", function ()
      require "firecracker.core.http"
      require "spec.support.faults".install()
      local faults = require "spec.support.faults"
      sh "ip link add br0 address 06:00:00:00:00:01 type bridge; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"
      finally(function () sh "ip link del br0" end)
      local only = { validation = {}, fcinit = { fc.handlers.fcinit.setup_network } }
      for _, t in ipairs {
        { network_interfaces = { { iface_id = "a", tap = true }, { iface_id = "b", bridge = "br0" },
            { iface_id = "c", nat = { subnet = "10.3.0.0/24", subnet6 = "fd03::/64" } } } },
        { netns = true, network_interfaces = { { iface_id = "a", nat = { subnet = "10.3.0.0/24" } } } },
        { netns = "made", network_interfaces = { { iface_id = "a", nat = { subnet = "10.3.0.0/24" } } } },
      } do
        local vm, count
        for _ = 1, 2 do   -- the first one makes /run/netns what it is
          vm = assert(fc.new(bed.config("idle", t), fc.flow(only)))
          faults.arm("request", 0)
          assert(vm:start())
          count = faults.arm "nothing"
          local ended = assert(vm:stop())
          assert(not ended.undo_errors, ended.undo_errors and tostring(ended.undo_errors[1].err))
        end
        local mark = state()
        assert.is_true(count > 5, count .. " requests")
        for n = 1, count do
          vm = assert(fc.new(bed.config("idle", t), fc.flow(only)))
          faults.arm("request", n)
          local ok, err = vm:start()
          faults.arm "nothing"
          assert(not ok, ("request %d of %d failed, and nobody said so"):format(n, count))
          assert.equal("ENOMEM", err.errno, tostring(err))
          assert(not err.undo_errors, err.undo_errors and tostring(err.undo_errors[1].err))
          local after
          assert(pcall(bed.eventually, function () after = state() return after == mark end, "the state before"),
            ("request %d: before\n%s\nafter\n%s"):format(n, mark, tostring(after)))
        end
      end
    end)

    it("a user who may not make one boots with a tap made for him, and is told what he lacks", function ()
      local dir = bed.scratch "user"
      assert.equal("", (sh "ip tuntap add mode tap user 1234 tap7 && ip link set tap7 up && ip tuntap add mode tap user 1235 tap8"))
      finally(function () sh("rm -rf " .. dir .. "; ip link del tap7; ip link del tap8") end)
      assert(os.execute(("set -e; d=%s; install -d -m 755 -o 1234 $d; cp %s $d/kernel; cp -r lua $d/; " ..
        "cp -rL build/lua/firecracker/flows $d/lua/firecracker/; mkdir $d/lib; cp -r build/firecracker $d/lib/; " ..
        "cp %s $d/firecracker; mknod $d/kvm c 10 232; mknod -m 666 $d/tun c 10 200; chgrp 4321 $d/kvm; chmod 660 $d/kvm; " ..
        "chmod -R go+rX $d/lua $d/lib $d/kernel"):format(
        dir, bed.guest "idle", os.getenv "FIRECRACKER" or "build/vmm/firecracker")))
      local script = bed.write(dir .. "/try.lua", ([[
        local fc = require "firecracker"
        local function try (interface, more)
          interface.iface_id = "a"
          local vm, err = fc.boot { run_dir = %q, boot_source = { kernel_image_path = %q }, timeouts = { shutdown = 0 }, netns = more,
            network_interfaces = { interface } }
          if vm then
            print(vm.state)
            return assert(vm:stop())
          end
          print(err.handler, err.field, err.errno, err.hint and err.hint:match "CAP_[A-Z_]+")
        end
        try { host_dev_name = "tap7", static = { ip = "10.0.0.2/24" } }
        try { tap = true }
        try { nat = { subnet = "10.0.0.0/24" } }
        try({ tap = true }, true)
        try { host_dev_name = "tap8" }
      ]]):format(dir .. "/run", dir .. "/kernel"))
      local out = sh(([[
        d=%s; chmod 644 %s
        export FIRECRACKER=$d/firecracker LUA_PATH="$d/lua/?.lua;$d/lua/?/init.lua" LUA_CPATH="$d/lib/?.so" PATH=$PATH
        unshare --mount sh -ec "mount --bind $d/kvm /dev/kvm; mount --bind $d/tun /dev/net/tun
          exec setpriv --reuid=1234 --regid=1234 --groups 4321 --inh-caps=-all lua5.4 %s"]]):format(dir, script, script))
      assert.equal([[
running
fcinit.SetupNetwork	network_interfaces[1].tap	EPERM	CAP_NET_ADMIN
fcinit.SetupNetwork	network_interfaces[1].nat	EPERM	CAP_NET_ADMIN
fcinit.SetupNetwork	netns	EPERM	CAP_NET_ADMIN
]], (out:gsub("[^\n]*\n$", "")))
      assert.matches("fcinit.CreateNetworkInterfaces\t[^\n]*\n$", out)
    end)

    it("the caller's thread never leaves its namespace", function ()
      local place = sh(("readlink /proc/%d/ns/net"):format(core.process and io.open "/proc/self/stat":read "n"))
      local vm <close> = assert(boot({ { nat = { subnet = "10.3.0.0/24" } } }, { netns = true }))
      assert.equal(place, (sh(("readlink /proc/%d/ns/net"):format(io.open "/proc/self/stat":read "n"))))
      assert.is_truthy(vm)
      assert.is_truthy(network)
    end)
  end)
end)
