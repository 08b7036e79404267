-- CNI: Debian's plugins, and plugins that write down what they are given.
local bed = require "spec.support.bed"
local cni = require "firecracker.network.cni"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local result = require "firecracker.network.cni.result"
local sh = require "spec.support.sh"
local state = require "spec.support.network_state"

local json = core.json
local HOST_LOCAL <const> = leaks.run_dir .. "-ipam"

local function plugin (type, more)
  local t = { type = type }
  for key, value in pairs(more or {}) do
    t[key] = value
  end
  return t
end

local function ipam (subnet)
  return { type = "host-local", dataDir = HOST_LOCAL, ranges = { { { subnet = subnet } } }, routes = { { dst = "0.0.0.0/0" } } }
end

local function network (...)
  return { cniVersion = "1.0.0", name = "spec", plugins = { ... } }
end

local function config (list, cni_more, more)
  local options = { network_config = list, cache_dir = leaks.run_dir .. "-cache" }
  for key, value in pairs(cni_more or {}) do
    options[key] = value
  end
  local t = { network_interfaces = { { iface_id = "net1", cni = options } } }
  for key, value in pairs(more or {}) do
    t[key] = value
  end
  return bed.config("idle", t)
end

-- A plugin that writes down its environment and its input, does `action`, and answers.
local RECORDER <const> = [[#!/bin/sh
echo "== $(basename $0) $CNI_COMMAND" >>%s/log
env | grep -v '^PWD=\|^SHLVL=\|^_=\|^OLDPWD=' | sort >%s/env
cat >%s/$(basename $0).$CNI_COMMAND
%s
]]

local function recorder (dir, name, action)
  bed.write(("%s/%s"):format(dir, name), RECORDER:format(dir, dir, dir, action or ""))
  sh(("chmod +x %s/%s"):format(dir, name))
end

-- What a plugin does that makes a link of the namespace: a real one.
local MAKE <const> = [[
if [ $CNI_COMMAND = ADD ]; then
  ip -n $(basename $CNI_NETNS) link add $CNI_IFNAME type bridge || exit 1
  ip -n $(basename $CNI_NETNS) link set $CNI_IFNAME up
  echo '{"cniVersion":"1.0.0","interfaces":[{"name":"'$CNI_IFNAME'","sandbox":"'$CNI_NETNS'","mac":"06:00:00:00:00:07"}],
    "ips":[{"address":"10.1.0.7/24","gateway":"10.1.0.1","interface":0},{"address":"fd01::7/64","interface":0}],
    "routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"}],"dns":{"nameservers":["10.1.0.53"],"search":["x.test"],"domain":"test"}}'
else ip -n $(basename $CNI_NETNS) link del $CNI_IFNAME 2>/dev/null; true
fi]]

local function stop (vm)
  local ended = assert(vm:stop())
  assert(not ended.undo_errors, ended.undo_errors and tostring(ended.undo_errors[1].err))
end

describe("a CNI network", function ()
  local function load (files, options)
    return sh.tmpdir(function (dir)
      for name, value in pairs(files) do
        sh(("mkdir -p $(dirname %s/%s)"):format(dir, name))
        bed.write(dir .. "/" .. name, type(value) == "string" and value or json.encode(value))
      end
      local t = { conf_dir = { dir }, network_name = "n", bin_path = { "/usr/bin", "/bin" } }
      for key, value in pairs(options or {}) do
        t[key] = value
      end
      local list, err = cni.load(t)
      return list, err, dir
    end)
  end

  local function list_of (name, version, ...)
    return { name = name, cniVersion = version, plugins = json.array { ... } }
  end

  it("is found as libcni finds it: lists first, by the names of their files, then single plugins", function ()
    local one, two = plugin "true", plugin "false"
    assert.same({ one }, load { ["20.conflist"] = list_of("n", "1.0.0", two), ["10.conflist"] = list_of("n", "1.0.0", one),
      ["00.conf"] = { name = "n", cniVersion = "1.0.0", type = "cat" }, ["05.conflist"] = list_of("m", "1.0.0", two) }.plugins)
    local single = load { ["b.json"] = { name = "n", cniVersion = "0.4.0", type = "cat", x = 1 }, ["a.txt"] = "{" }
    assert.same({ { name = "n", cniVersion = "0.4.0", type = "cat", x = 1 } }, single.plugins)
    assert.equal("0.4.0", single.version)
    local loose = load { ["a.conflist"] = list_of("n", "1.0.0", one), ["n/10.conf"] = { type = "cat" }, ["n/20.conf"] = { type = "false" } }
    assert.same({ "true", "cat", "false" }, { loose.plugins[1].type, loose.plugins[2].type, loose.plugins[3].type })
    local inlined = list_of("n", "1.0.0", one)
    inlined.loadOnlyInlinedPlugins = true
    assert.equal(1, #load({ ["a.conflist"] = inlined, ["n/10.conf"] = { type = "cat" } }).plugins)
  end)

  it("takes the newest version that it offers and we know", function ()
    for version, offered in pairs { ["1.1.0"] = { "1.0.0", { "0.4.0", "1.1.0", "1.2.0" } }, ["1.0.0"] = { "1.0.0", { "9.0.0", "x" } },
                                    ["0.3.1"] = { nil, { "0.3.1" } } } do
      local list = list_of("n", offered[1], plugin "true")
      list.cniVersions = json.array(offered[2])
      assert.equal(version, load { ["a.conflist"] = list }.version)
    end
  end)

  for message, files in pairs {
    ["no network 'n' in DIR"] = {},
    ["DIR/a.conflist: it has no plugins"] = { ["a.conflist"] = list_of("n", "1.0.0") },
    ["DIR/a.conflist: plugins[1].type: name of a plugin expected"] = { ["a.conflist"] = list_of("n", "1.0.0", { type = "../../bin/sh" }) },
    ["DIR/a.conflist: plugins[2].type: name of a plugin expected"] = { ["a.conflist"] = list_of("n", "1.0.0", plugin "true", {}) },
    ["DIR/a.conflist: cniVersion: 0.3.0 to 1.1.0 expected, got 0.2.0"] = { ["a.conflist"] = list_of("n", "0.2.0", plugin "true") },
    ["DIR/a.conflist: cniVersion: 0.3.0 to 1.1.0 expected, got nil"] = { ["a.conflist"] = list_of("n", nil, plugin "true") },
    ["network n: no program no-such-plugin in /usr/bin:/bin"] = { ["a.conflist"] = list_of("n", "1.0.0", plugin "no-such-plugin") },
  } do
    it("is refused: " .. message, function ()
      local none, err, dir = load(files)
      assert.is_nil(none)
      assert.equal(message, (err.message:gsub(dir:gsub("%p", "%%%0"), "DIR")))
    end)
  end

  it("is refused when a file of the directory is no JSON, as libcni does", function ()
    local none, err, dir = load { ["a.conflist"] = "{", ["b.conflist"] = list_of("n", "1.0.0", plugin "true") }
    assert.is_nil(none)
    assert.matches(dir .. "/a.conflist", err.message, 1, true)
  end)
end)

describe("the result of a plugin", function ()
  local sample = {
    cniVersion = "1.0.0",
    interfaces = { { name = "br0", mac = "06:00:00:00:00:01" }, { name = "eth0", mac = "06:00:00:00:00:02", sandbox = "/run/netns/x" } },
    ips = { { address = "10.0.0.2/24", gateway = "10.0.0.1", interface = 1 }, { address = "10.9.0.1/24", interface = 0 },
            { address = "fd00::2/64" } },
    routes = { { dst = "0.0.0.0/0" }, { dst = "10.5.0.0/16", gw = "10.0.0.9" } },
    dns = { nameservers = { "10.0.0.53" }, search = { "a.test" }, domain = "test" },
  }

  it("is the interface of our name in our namespace", function ()
    assert.same({ mac = "06:00:00:00:00:02", addresses = { "10.0.0.2/24", "fd00::2/64" }, gateways = { "10.0.0.1" },
      nameservers = { "10.0.0.53" }, routes = { { dst = "0.0.0.0/0" }, { dst = "10.5.0.0/16", gw = "10.0.0.9" } }, search = { "a.test" },
      domain = "test" }, result.read(sample, "eth0", "/run/netns/x", "vm1"))
  end)

  it("is the guest's own where a plugin made its tap", function ()
    local with = json.decode(json.encode(sample))
    with.interfaces[3] = { name = "tap0", sandbox = "/run/netns/x" }
    with.interfaces[4] = { name = "tap0", sandbox = "vm1", mac = "06:00:00:00:00:09" }
    with.ips[4] = { address = "10.0.0.7/24", interface = 3 }
    local found = result.read(with, "eth0", "/run/netns/x", "vm1")
    assert.same({ "tap0", "06:00:00:00:00:09", { "fd00::2/64", "10.0.0.7/24" } }, { found.tap, found.mac, found.addresses })
  end)

  it("is refused where it says nothing of us, or nonsense", function ()
    local function refused (message, change)
      local bad = json.decode(json.encode(sample))
      change(bad)
      local none, err = result.read(bad, "eth0", "/run/netns/x", "vm1")
      assert.is_nil(none)
      assert.same({ "cni", "the result: " .. message }, { err.code, err.message })
    end
    refused("no interface 'eth0' in /run/netns/x", function (t) t.interfaces[2].name = "eth1" end)
    refused("ips[0].address: '10.0.0.2' is no address", function (t) t.ips[1].address = "10.0.0.2" end)
    refused("ips[0].address: address expected", function (t) t.ips[1] = {} end)
    refused("ips[0].gateway: 'x' is no address", function (t) t.ips[1].gateway = "x" end)
    refused("interfaces: 'tap 0' is no name of a tap", function (t) t.interfaces[3] = { name = "tap 0", sandbox = "vm1" } end)
    refused("interfaces.mac: 'x' is no address", function (t) t.interfaces[2].mac = "x" end)
    refused("routes: list expected", function (t) t.routes = "x" end)
    refused("dns.nameservers: '' is no address", function (t) t.dns.nameservers = { "" } end)
  end)

  -- Whatever a plugin says, the outcome is a table with addresses that parse, or an error.
  it("survives mutation", function ()
    local seed = math.random(1 << 30)
    math.randomseed(seed)
    local address = require "firecracker.network.address"
    local texts, taken, refused = json.encode(sample), 0, 0
    local pieces = { "null", "{}", "[]", '"x"', "1e99", "-1", "true", '"10.0.0.2/24"', '"\\u0000"', "[[]]", '{"a":1}' }
    for _ = 1, 1500 do
      local text = texts
      for _ = 1, math.random(3) do
        local at, to = math.random(#text), math.random(6)
        if math.random(2) == 1 then
          local values = {}
          for from, value, after in text:gmatch '():("[^"]*")()' do values[#values + 1] = { from, after, value } end
          local one = #values > 0 and values[math.random(#values)]
          if one then text = text:sub(1, one[1]) .. pieces[math.random(#pieces)] .. text:sub(one[2]) end
        else
          text = text:sub(1, at - 1) .. text:sub(at + to)
        end
      end
      local value = json.decode(text)
      if type(value) == "table" then
        local ok, found, err = pcall(result.read, value, "eth0", "/run/netns/x", "vm1")
        assert(ok, ("seed %d: %s: %s"):format(seed, text, tostring(found)))
        if found then
          taken = taken + 1
          for _, each in ipairs(found.addresses) do assert(address.cidr(each), text) end
          for _, each in ipairs(found.gateways) do assert(address.parse(each), text) end
        else
          refused = refused + 1
          assert(err.code == "cni", ("seed %d: %s: %s"):format(seed, text, tostring(err)))
        end
      end
    end
    assert.is_true(taken > 20 and refused > 20, taken .. " taken, " .. refused .. " refused")
  end)
end)

require "spec.support.isolated" (describe, it, "spec/network/cni_spec.lua", function ()
  describe("a machine in a CNI network", function ()
    leaks.check(before_each, after_each, teardown)
    local before, dir

    local function now ()
      return state { ("find %s -name '[0-9]*.*' 2>/dev/null"):format(HOST_LOCAL),
        ("find %s-cache -type f 2>/dev/null"):format(leaks.run_dir),
                     "iptables-save | grep -i '10\\.[19]\\.'" }
    end

    before_each(function ()
      sh("rm -rf " .. HOST_LOCAL)
      dir = sh "mktemp -d":match "%S+"
      before = now()
    end)
    after_each(function ()
      local last
      local ok = pcall(bed.eventually, function () last = now() return last == before end, "the state before")
      assert(ok, ("the state before:\n%s\nbut:\n%s"):format(before, last))
      sh("rm -rf " .. dir)
    end)
    teardown(function ()
      sh(("rm -rf %s %s-cache"):format(HOST_LOCAL, leaks.run_dir))
    end)

    it("of ptp, host-local and firewall", function ()
      local vm <close> = assert(fc.boot(config(network(plugin("ptp", { ipMasq = true, mtu = 1400, ipam = ipam "10.1.0.0/24" }),
        plugin "firewall"))))
      local told = vm.addresses[1]
      assert.same({ "10.1.0.2/24" }, told.addresses)
      assert.same({ "10.1.0.1" }, told.gateways)
      assert.equal(1400, told.mtu)
      assert.equal("fc-" .. vm.id, vm.netns.name)
      local inside = "ip -n fc-" .. vm.id
      assert.equal(told.mac, sh(inside .. " -br link show eth0"):match "(%x%x:%S+)")
      assert.equal(told.mac, vm:full_config().network_interfaces[1].guest_mac)
      assert.matches("mtu 1400", sh(inside .. " link show " .. vm.taps[1]))
      for from, to in pairs { eth0 = vm.taps[1], [vm.taps[1]] = "eth0" } do
        assert.matches("mirred %(Egress Redirect to device " .. to .. "%) stolen",
          sh(("tc -n fc-%s filter show dev %s ingress"):format(vm.id, from)))
      end
      assert.matches("ip=10.1.0.2::10.1.0.1:255.255.255.0:::off::", vm.config.boot_source.boot_args, 1, true)
      assert.is_true(vm:check_network())
      sh(inside .. " addr del 10.1.0.2/24 dev eth0")
      local ok, err = vm:check_network()
      assert.is_nil(ok)
      assert.same({ "cni" }, { err.code })
      assert.matches("^network_interfaces%[1%].cni: plugin ptp of network spec %(CHECK%): ", err.message)
      sh(inside .. " addr add 10.1.0.2/24 dev eth0")   -- by which the plugin finds its rules
      stop(vm)
    end)

    it("of bridge, portmap and firewall, two machines", function ()
      local list = network(plugin("bridge", { bridge = "cni0", isGateway = true, ipMasq = true, ipam = ipam "10.1.0.0/24" }),
        plugin("portmap", { capabilities = { portMappings = true } }), plugin "firewall")
      finally(function () sh "ip link del cni0"; before = now() end)   -- the plugin keeps its bridge
      local ports = { capability_args = { portMappings = json.array { { hostPort = 8080, containerPort = 80, protocol = "tcp" } } } }
      local one <close> = assert(fc.boot(config(list, ports)))
      local two <close> = assert(fc.boot(config(list)))
      assert.same({ "10.1.0.2/24", "10.1.0.3/24" }, { one.addresses[1].addresses[1], two.addresses[1].addresses[1] })
      assert.equal(2, select(2, sh "bridge link":gsub("master cni0", "")))
      assert.matches("10.1.0.2:80", sh "iptables-save -t nat", 1, true)
      stop(one)
      assert.is_nil((sh "iptables-save":find("10.1.0.2", 1, true)))
      stop(two)
    end)

    it("gives its plugins CNI's variables and PATH, nothing else, and the results of those before", function ()
      recorder(dir, "first", MAKE)
      recorder(dir, "second", [[if [ $CNI_COMMAND = ADD ]; then python3 -c '
import json,sys; print(json.dumps(json.load(open(sys.argv[1]))["prevResult"]))' ]] .. dir .. [[/second.ADD; fi]])
      local vm <close> = assert(fc.boot(config(
        { cniVersions = json.array { "1.0.0" }, name = "spec", plugins = { plugin("first", { capabilities = { ips = true,
          x = false } }), plugin "second" } },
        { bin_path = dir, args = { B = "2", A = "1" }, if_name = "net7", vm_if_name = "ens3",
          capability_args = { ips = json.array { "a" }, x = 1 } })))
      assert.same({ "10.1.0.7/24", "fd01::7/64" }, vm.addresses[1].addresses)
      assert.same({ "ens3", "06:00:00:00:00:07", { "10.1.0.53" }, { "x.test" }, "test", { { dst = "0.0.0.0/0", gw = "10.1.0.1" } } },
        { vm.addresses[1].if_name, vm.addresses[1].mac, vm.addresses[1].nameservers, vm.addresses[1].search, vm.addresses[1].domain,
          vm.addresses[1].routes })
      assert.equal(([[
CNI_ARGS=A=1;B=2
CNI_COMMAND=ADD
CNI_CONTAINERID=%s
CNI_IFNAME=net7
CNI_NETNS=/run/netns/fc-%s
CNI_PATH=%s
PATH=%s
]]):format(vm.id, vm.id, dir, require "firecracker.network.command".path()), bed.read(dir .. "/env"))
      local input = json.decode(bed.read(dir .. "/first.ADD"))
      assert.same({ name = "spec", cniVersion = "1.0.0", type = "first", capabilities = { ips = true, x = false },
        runtimeConfig = { ips = { "a" } } }, input)
      local second = json.decode(bed.read(dir .. "/second.ADD"))
      assert.equal("10.1.0.7/24", second.prevResult.ips[1].address)
      assert.is_nil(second.runtimeConfig)
      assert(vm:check_network())
      assert.same(second.prevResult, json.decode(bed.read(dir .. "/first.CHECK")).prevResult)
      local kept = json.decode(bed.read(("%s-cache/results/spec-%s-net7"):format(leaks.run_dir, vm.id)))
      assert.same({ "cniCacheV1", vm.id, "net7", "spec", second.prevResult, { { "A", "1" }, { "B", "2" } } },
        { kept.kind, kept.containerId, kept.ifName, kept.networkName, kept.result,
          kept.cniArgs[1][1] == "A" and kept.cniArgs or { kept.cniArgs[2], kept.cniArgs[1] } })
      assert.equal("spec", json.decode((sh(("echo %s | base64 -d"):format(kept.config)))).name)
      stop(vm)
      assert.same(second.prevResult, json.decode(bed.read(dir .. "/first.DEL")).prevResult)
      assert.equal("== first ADD\n== second ADD\n== first CHECK\n== second CHECK\n== second DEL\n== first DEL\n", bed.read(dir .. "/log"))
    end)

    it("are asked for as long as the caller has time", function ()
      recorder(dir, "first", MAKE .. "\nif [ $CNI_COMMAND = CHECK ]; then exec sleep 30; fi")
      local vm <close> = assert(fc.boot(config(network(plugin "first"), { bin_path = dir })))
      local ok, err = vm:check_network { timeout = 0.05 }
      assert.is_nil(ok)
      assert.equal("timeout", err.code)
      stop(vm)
    end)

    it("does the redirect itself where tc-redirect-tap is not installed, and leaves it to that where it is", function ()
      recorder(dir, "first", MAKE)
      local list = network(plugin "first", plugin "tc-redirect-tap")
      local vm <close> = assert(fc.boot(config(list, { bin_path = dir })))
      assert.equal(("fc%st0"):format(vm.id), vm.taps[1])
      stop(vm)
      recorder(dir, "tc-redirect-tap", [[
        case $CNI_COMMAND in
          ADD) ip -n $(basename $CNI_NETNS) tuntap add mode tap tap9
            python3 -c '
import json,sys
r=json.load(open(sys.argv[1]))["prevResult"]
r["interfaces"] += [{"name":"tap9","sandbox":sys.argv[2]},{"name":"tap9","sandbox":sys.argv[3],"mac":"06:00:00:00:00:08"}]
r["ips"] = [dict(r["ips"][0],interface=2)]
print(json.dumps(r))' ]] .. dir .. [[/tc-redirect-tap.ADD $CNI_NETNS $CNI_CONTAINERID ;;
          DEL) ip -n $(basename $CNI_NETNS) link del tap9 ;;
        esac]])
      local theirs <close> = assert(fc.boot(config(list, { bin_path = dir })))
      assert.same({ "tap9", "06:00:00:00:00:08", { "10.1.0.7/24" } },
        { theirs.taps[1], theirs.addresses[1].mac, theirs.addresses[1].addresses })
      assert.equal("", (sh(("tc -n fc-%s qdisc show dev eth0 ingress"):format(theirs.id))))
    end)

    it("whose plugin names a tap that is not there, or no tap, is refused: the VMM would make one", function ()
      recorder(dir, "first", MAKE)
      local function boot (add)
        recorder(dir, "tc-redirect-tap", ([[
          netns=$(basename $CNI_NETNS)
          case $CNI_COMMAND in
            ADD) %s
              printf '{"cniVersion":"1.0.0","interfaces":[{"name":"tap9","sandbox":"%%s"}],"ips":[]}' $CNI_CONTAINERID ;;
            DEL) ip -n $netns link del tap9 2>/dev/null; true ;;
          esac]]):format(add))
        return fc.boot(config(network(plugin "first", plugin "tc-redirect-tap"), { bin_path = dir }))
      end
      for add, message in pairs { [":"] = "no interface 'tap9' on this host",
                                  ["ip -n $netns link add tap9 type bridge"] = "'tap9' is no tap" } do
        local none, err = boot(add)
        assert.is_nil(none)
        assert.same({ code = "cni", field = "network_interfaces[1].cni" }, { code = err.code, field = err.field, hint = err.hint })
        assert.equal("fcinit.SetupNetwork: config.network_interfaces[1].cni: the result: " .. message, err.message)
        assert.is_nil(err.undo_errors)
      end
      local vm <close> = assert(boot "ip -n $netns tuntap add mode tap tap9")
      assert.equal("tap9", vm.taps[1])
      assert.matches("^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$", vm.addresses[1].mac)
      stop(vm)
    end)

    it("that fails says what the plugin said, and every plugin gets its DEL", function ()
      recorder(dir, "first", MAKE)
      recorder(dir, "second", [[if [ $CNI_COMMAND = ADD ]; then echo '{"code":7,"msg":"no more","details":"of it"}'; exit 1; fi]])
      local none, err = fc.boot(config(network(plugin "first", plugin "second"), { bin_path = dir }))
      assert.is_nil(none)
      assert.same({ "cni", "network_interfaces[1].cni", "fcinit.SetupNetwork: config.network_interfaces[1].cni: " ..
        "plugin second of network spec (ADD): no more; of it" }, { err.code, err.field, err.message })
      assert.equal("== first ADD\n== second ADD\n== second DEL\n== first DEL\n", bed.read(dir .. "/log"))
      recorder(dir, "second", [[echo nonsense; [ $CNI_COMMAND != ADD ] ]])
      none, err = fc.boot(config(network(plugin "first", plugin "second"), { bin_path = dir }))
      assert.is_nil(none)
      assert.matches("plugin second of network spec %(ADD%): status 1$", err.message)
      recorder(dir, "second", [[echo nonsense]])
      none, err = fc.boot(config(network(plugin "first", plugin "second"), { bin_path = dir }))
      assert.is_nil(none)
      assert.matches("its result is no object", err.message)
      assert.is_nil(err.undo_errors)
    end)

    it("of a start that is cancelled or too late gets its DEL all the same", function ()
      recorder(dir, "first", MAKE .. "\nif [ $CNI_COMMAND = ADD ]; then touch " .. dir .. "/slow; exec >/dev/null; sleep 60; fi")
      fc.run(function ()
        local vm = assert(fc.new(config(network(plugin "first"), { bin_path = dir })))
        local task = fc.spawn(vm.start, vm)
        bed.eventually(function () return core.files.look(dir .. "/slow") end, "the plugin")
        assert.is_true(task:cancel())
        local _, err = task:wait()
        assert.equal("cancelled", err.code)
      end)
      assert.equal("== first ADD\n== first DEL\n", bed.read(dir .. "/log"))
      local vm, err = assert(fc.new(config(network(plugin "first"), { bin_path = dir }))):start { timeout = 2 }
      assert.is_nil(vm)
      assert.equal("timeout", err.code)
      assert.equal(("== first ADD\n== first DEL\n"):rep(2), bed.read(dir .. "/log"))
    end)

    it("whose DEL hangs or fails is told of, and the rest is undone", function ()
      recorder(dir, "first", MAKE)
      recorder(dir, "second",
        [[case $CNI_COMMAND in ADD) sed 's/.*//' /dev/null; cat ]] .. dir .. [[/answer ;; DEL) exec sleep 60 ;; esac]])
      bed.write(dir .. "/answer", '{"cniVersion":"1.0.0","ips":[{"address":"10.1.0.7/24"}]}')
      local vm <close> = assert(fc.boot(config(network(plugin "first", plugin "second"), { bin_path = dir },
        { timeouts = { shutdown = 0, stop = 2 } })))    -- in which the plugin begins, on a busy machine too
      local ended = assert(vm:stop { timeout = 10 })
      assert.equal(1, #ended.undo_errors)
      assert.same({ "CNI network spec", "timeout" }, { ended.undo_errors[1].name, ended.undo_errors[1].err.code })
      assert.matches("second DEL\n", bed.read(dir .. "/log"))
      sh(("rm -rf %s-cache"):format(leaks.run_dir))
    end)

    it("is attached again after a crash: what was left is detached first", function ()
      recorder(dir, "first", MAKE)
      assert.equal("", (sh "ip netns add there"))
      finally(function () sh "ip netns del there"; before = now() end)
      local t = config(network(plugin "first"), { bin_path = dir }, { id = "fixed", netns = "there" })
      bed.write(dir .. "/host.lua", ([[
        local fc = require "firecracker"
        local vm = assert(fc.boot(require "firecracker.core".json.decode(%q)))
        print "up"
        os.execute("kill -9 " .. vm.pid .. " " .. io.open "/proc/self/stat":read "n")]]):format(json.encode(t)))
      local out = sh(("LUA_PATH=%s LUA_CPATH=%s lua5.4 %s/host.lua"):format(sh.quote(package.path), sh.quote(package.cpath), dir))
      assert.matches("^up", out)
      sh(("rm -rf %s"):format(leaks.run_dir))
      sh "ip -n there link show | grep -o 'fc[0-9a-f]*t0' | head -1 | xargs ip -n there link del"
      local vm <close> = assert(fc.boot(t))
      assert.equal("== first ADD\n== first DEL\n== first ADD\n", bed.read(dir .. "/log"))
      stop(vm)
      recorder(dir, "first", MAKE)
      bed.write(dir .. "/log", "")
      t.network_interfaces[1].cni.force = true
      local forced <close> = assert(fc.boot(t))
      assert.equal("== first DEL\n== first ADD\n", bed.read(dir .. "/log"))
      assert.is_truthy(forced)
    end)
  end)
end)
