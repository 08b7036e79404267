-- Real traffic of real guests, through what a configuration makes.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local linux = require "spec.support.linux"
local sh = require "spec.support.sh"

local QUIET <const> = "console=ttyS0 reboot=k panic=1 quiet loglevel=0 8250.nr_uarts=1 i8042.noaux i8042.nomux"

local function must (command)
  local out, status = sh(command)
  assert(status == 0, command .. ": " .. out)
  return out
end

-- Boot a guest with these interfaces, its command port open.
local function boot (interfaces, more)
  local console, text = bed.collector()
  for i, each in ipairs(interfaces) do
    each.iface_id = "net" .. i
  end
  local config = linux.config { console = console, network_interfaces = interfaces }
  config.boot_source.boot_args = QUIET
  for key, value in pairs(more or {}) do
    config[key] = value
  end
  local flow = assert(fc.flow "boot"):insert_before("fcinit.StartInstance", function (vm)
    vm.vsock_path = vm.directory .. "/vsock"
    return vm.api:request("PUT", "/vsock", { guest_cid = 3, uds_path = "vsock" })
  end)
  local vm = assert(fc.boot(config, flow))
  linux.await(text, "guest ready")
  return vm
end

local function run (vm, command)
  local out, status = linux.run(vm, command)
  assert(status == 0, ("%s: %s (%s)"):format(command, tostring(out), tostring(status)))
  return out
end

-- Debian's kernel leaves ip= to user space: what a kernel with IP_PNP does with it.
local BY_KERNEL <const> = [[arg=$(sed 's/.* ip=\([^ ]*\).*/\1/;t;d' /proc/cmdline); ]] ..   -- a command is one line
  [[[ "$arg" ] || exit 3; IFS=:; set -- $arg; unset IFS; dev=${6:-eth0}; ]] ..
  [[ifconfig $dev $1 netmask $4 up && { [ ! "$3" ] || route add default gw $3 $dev; }]]

-- A command that gets a page; the guest's own wget looks for a list of services, and has none.
local function get (host, path, more)
  return ("(printf 'GET %s HTTP/1.0\\r\\n%s\\r\\n'; sleep 3) | nc %s 80 | sed '1,/^\r*$/d'"):format(path, more or "", host)
end

-- What an agent does with vm.addresses.
local function configure (vm, i)
  local told = vm.addresses[i]
  local lines = { ("ip link set %s up %s"):format(told.if_name, told.mtu and "mtu " .. told.mtu or "") }
  for _, text in ipairs(told.addresses) do
    lines[#lines + 1] = ("ip addr add %s dev %s"):format(text, told.if_name)
  end
  for _, text in ipairs(told.gateways) do
    lines[#lines + 1] = ("ip %s route add default via %s dev %s"):format(text:find ":" and "-6" or "", text, told.if_name)
  end
  lines[#lines + 1] = "sleep 3"   -- IPv6 asks whether anybody has its address
  run(vm, "set -e; " .. table.concat(lines, "; "))
end

-- A web server of two families in a namespace: its pages say who asked.
local SERVER <const> = [[
import http.server, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
  def do_GET(self):
    body = self.client_address[0].replace("::ffff:", "").encode() + b"\n" + b"x" * (1 << 20 if self.path == "/large" else 0)
    self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
  def log_message(self, *a): pass
class Server(http.server.ThreadingHTTPServer):
  address_family = socket.AF_INET6
Server(("::", 80), Handler).serve_forever()
]]

-- Namespaces `host`, where the machines are, and `world`, which knows no way back to them.
local function make_world (name)
  must(([[set -e
    ip netns add %s-host; ip netns add %s-world
    ip -n %s-host link set lo up; ip -n %s-world link set lo up
    ip -n %s-host link add up0 type veth peer name down0 netns %s-world
    ip -n %s-host addr add 192.0.2.1/24 dev up0; ip -n %s-host addr add 2001:db8::1/64 dev up0 nodad; ip -n %s-host link set up0 up
    ip -n %s-world addr add 192.0.2.2/24 dev down0; ip -n %s-world addr add 2001:db8::2/64 dev down0 nodad
    ip -n %s-world link set down0 up
    ip netns exec %s-host sysctl -qw net.ipv6.conf.all.forwarding=1]]):gsub("%%s", name))
end

local function serve (namespace)
  local path = bed.write(bed.scratch "server.py", SERVER)
  local pid = must(("ip netns exec %s python3 %s >/dev/null 2>&1 & echo $!"):format(namespace, path)):match "%d+"
  bed.eventually(function ()
    return sh(("ip netns exec %s cat /proc/net/tcp6"):format(namespace)):find ":0050 0"
  end, "the server", 300)
  return function ()
    sh("kill " .. pid)
    os.remove(path)
  end
end

describe("#linux a guest's network", function ()
  setup(function () sh "ip netns add fcspec0 && ip netns del fcspec0" end)   -- the mount of /run/netns stays
  linux.check(before_each, after_each, teardown, pending)
  local name = leaks.links

  local function in_world (fn)
    linux.need()
    make_world(name)
    local stop
    local ok, err = pcall(function ()
      stop = serve(name .. "-world")
      fn()
    end)
    if stop then stop() end
    sh(("ip netns del %s-host; ip netns del %s-world"):format(name, name))
    assert(ok, err)
  end

  it("goes through NAT to a namespace that knows no way back: ping, HTTP, IPv6, a small MTU", function ()
    in_world(function ()
      local vm <close> = boot({ { tap = { mtu = 1300 }, nat = { subnet = "10.3.0.0/24", subnet6 = "fd03::/64" } } },
        { netns = name .. "-host" })
      run(vm, BY_KERNEL)
      assert.matches("10%.3%.0%.2", run(vm, "ip -4 addr show dev eth0"))
      run(vm, "ping -c 2 -W 20 10.3.0.1")
      run(vm, "ping -c 2 -W 20 192.0.2.2")
      assert.equal("192.0.2.1\n", run(vm, get("192.0.2.2", "/")))
      run(vm, "ip addr flush dev eth0; ip link set eth0 mtu 1300")
      vm.addresses[1].mtu = 1300
      configure(vm, 1)
      assert.equal(tostring((1 << 20) + 10) .. "\n", run(vm, get("192.0.2.2", "/large") .. " | wc -c"))
      run(vm, "ping -c 2 -W 20 2001:db8::2")
      assert.equal("2001:db8::1\n", run(vm, get("2001:db8::2", "/")))
      -- nobody sends in another's name
      run(vm, "ip addr add 10.3.0.77/24 dev eth0")
      assert.not_equal(0, select(2, linux.run(vm, "ping -c 1 -W 3 -I 10.3.0.77 192.0.2.2")))
    end)
  end)

  it("goes through NAT from a namespace of the machine's own, two guests of one subnet reach each other", function ()
    linux.need()
    must(("ip netns add %s-world && ip link add %su type veth peer name down0 netns %s-world"):format(name, name, name))
    must(("ip addr add 192.0.2.1/24 dev %su; ip link set %su up"):format(name, name))
    must(("ip -n %s-world addr add 192.0.2.2/24 dev down0; ip -n %s-world link set down0 up"):format(name, name))
    local stop
    finally(function ()
      if stop then stop() end
      sh(("ip link del %su; ip netns del %s-world"):format(name, name))
    end)
    stop = serve(name .. "-world")
    local one <close> = boot({ { nat = { subnet = "10.3.0.0/24" } } }, { netns = true })
    local two <close> = boot({ { nat = { subnet = "10.3.0.0/24" } } }, { netns = true })
    for _, vm in ipairs { one, two } do
      run(vm, BY_KERNEL)
      assert.equal("192.0.2.1\n", run(vm, get("192.0.2.2", "/")))
    end
    run(one, "ping -c 2 -W 20 10.3.0.3")
    run(two, "ping -c 2 -W 20 10.3.0.2")
  end)

  it("goes through a bridge to another guest: ping, TCP, IPv6", function ()
    linux.need()
    must(("ip netns add %s-host && ip -n %s-host link add br0 type bridge && ip -n %s-host link set br0 up"):format(name, name, name))
    finally(function () sh(("ip netns del %s-host"):format(name)) end)
    local function guest (n)
      return boot({ { bridge = "br0", guest_mac = "06:00:00:00:00:0" .. n,
        static = { ip = { ("10.7.0.%d/24"):format(n), ("fd07::%d/64"):format(n) } } } }, { netns = name .. "-host" })
    end
    local one <close> = guest(1)
    local two <close> = guest(2)
    configure(one, 1)
    configure(two, 1)
    assert.matches("06:00:00:00:00:01", run(one, "cat /sys/class/net/eth0/address"))
    run(one, "ping -c 2 -W 20 10.7.0.2")
    run(two, "ping -c 2 -W 20 fd07::1")
    run(two, "busybox httpd -p 80 -h /tmp </dev/null >/dev/null 2>&1; yes | head -c 1000000 >/tmp/large")
    assert.equal("1000000\n", run(one, get("10.7.0.2", "/large") .. " | wc -c"))
  end)

  for kind, plugin in pairs {
    ptp = { type = "ptp", ipMasq = true, mtu = 1400 },
    bridge = { type = "bridge", bridge = name .. "c", isGateway = true, ipMasq = true },
  } do
    it("goes through CNI's " .. kind, function ()
      in_world(function ()
        -- the world beyond this namespace
        must(("ip -n %s-host link set up0 netns 1 && ip link set up0 name %su && ip addr add 192.0.2.1/24 dev %su && ip link set %su up")
          :format(name, name, name, name))
        plugin.ipam = { type = "host-local", dataDir = leaks.run_dir .. "-ipam", ranges = { { { subnet = "10.8.0.0/24" } } },
                        routes = { { dst = "0.0.0.0/0" } } }
        local list = { cniVersion = "1.0.0", name = "spec", plugins = { plugin, { type = "firewall" } } }
        local vm <close> = boot { { cni = { network_config = list, cache_dir = leaks.run_dir .. "-cache" } } }
        assert.is_true(vm:check_network())
        run(vm, BY_KERNEL)
        run(vm, "ip link set eth0 mtu " .. vm.addresses[1].mtu)
        assert.equal(vm.addresses[1].mac .. "\n", run(vm, "cat /sys/class/net/eth0/address"))
        run(vm, "ping -c 2 -W 20 10.8.0.1")
        assert.equal("192.0.2.1\n", run(vm, get("192.0.2.2", "/")))
        assert.equal(tostring((1 << 20) + 10) .. "\n", run(vm, get("192.0.2.2", "/large") .. " | wc -c"))
        local ended = assert(vm:stop())
        assert(not ended.undo_errors, ended.undo_errors and tostring(ended.undo_errors[1].err))
        sh(("ip link del %su; ip link del %sc; rm -rf %s-ipam %s-cache"):format(name, name, leaks.run_dir, leaks.run_dir))
      end)
    end)
  end

  it("is told of in the metadata", function ()
    linux.need()
    local vm <close> = boot({ { tap = true, allow_mmds = true, static = { ip = { "10.9.0.2/24", "fd09::2/64" }, gateway = "fd09::1" } } },
      { netns = true, mmds_addresses = "network", mmds_config = { version = "V1" } })
    run(vm, "ip link set eth0 up; ip addr add 169.254.1.1/16 dev eth0")
    local told = run(vm, get("169.254.169.254", "/network", "Accept: application/json\\r\\n"))
    local first = core.json.decode(told)[1]
    assert.same({ "10.9.0.2/24", "fd09::2/64" }, first.addresses)
    assert.same({ "fd09::1" }, first.gateways)
  end)
end)
