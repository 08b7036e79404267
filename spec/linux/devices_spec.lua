-- What a guest sees of its devices when the API changes them.
local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local leaks = require "spec.support.leaks"
local linux = require "spec.support.linux"
local sh = require "spec.support.sh"

local PATIENCE <const> = linux.patience
local DAY <const> = 24 * 3600000   -- milliseconds: a bucket that is empty stays so for as long as a spec runs, however slowly

-- Boot a guest with a vsock, and devices of `more`.
local function boot (more)
  more.id = core.files.random_hex(4)
  more.vsock = { guest_cid = 3, uds_path = ("%s/%s/vsock"):format(leaks.run_dir, more.id) }
  local console, text = bed.collector()
  more.console = console
  local vm = assert(fc.boot(linux.config(more)))
  local ok, problem = pcall(bed.eventually, function () return text():find "guest ready" end, "guest ready", PATIENCE)
  if not ok then
    vm:close()
    error(problem, 2)
  end
  return vm
end

-- What a command that must not fail says.
local function run (vm, command)
  local out, status = linux.run(vm, command)
  assert(status == 0, ("%s: %s %s"):format(command, out, status))
  return out
end

local function number (vm, command)
  return (assert(tonumber(run(vm, command))))
end

-- Wait until a number is at least so large.
local function reaches (least, what, fn)
  bed.eventually(function () return fn() >= least end, ("%s: %d (last: %s)"):format(what, least, fn()), PATIENCE)
end

local function tokens (size)
  return { size = size, refill_time = DAY }
end

local LIFTED <const> = { size = 0, refill_time = 0 }

describe("#linux what a guest sees", function ()
  linux.check(before_each, after_each, teardown, pending)

  describe("of its memory", function ()
    it("goes into the balloon and comes back", function ()
      local vm <close> = linux.restore()
      local function total ()
        return number(vm, "free | sed -n 's/^Mem: *\\([0-9]*\\).*/\\1/p'")
      end
      local function inflated (amount)
        assert(vm:update_balloon { amount_mib = amount })
        bed.eventually(function () return vm:balloon_stats().actual_mib == amount end, amount .. " MiB in the balloon", PATIENCE)
        assert.equal(amount, vm:balloon().amount_mib)
      end
      local before = total()
      inflated(16)
      assert.is_true(total() <= before - 15 * 1024)
      assert(vm:update_balloon_stats { stats_polling_interval_s = 1 })
      local seen = bed.eventually(function ()
        local stats = assert(vm:balloon_stats())
        return stats.total_memory and stats.total_memory <= (before - 15 * 1024) * 1024 and stats
      end, "the guest's own statistics", PATIENCE)
      assert.same({ 16, 16, 4096, 4096 }, { seen.target_mib, seen.actual_mib, seen.target_pages, seen.actual_pages })
      assert.is_true(seen.free_memory > 0 and seen.available_memory > 0)
      inflated(0)
      assert.equal(before, total())
    end)
  end)

  describe("of a drive", function ()
    it("is its new size after a rescan, and another file after an update", function ()
      local vm <close> = linux.restore()
      local data, other = vm.directory .. "/data", vm.directory .. "/other"
      local function sectors ()
        return number(vm, "cat /sys/block/vda/size")
      end
      assert.equal(2048, sectors())
      assert(os.execute("truncate -s 2M " .. data))
      assert.equal(2048, sectors())
      assert.is_true(vm:update_drive "data")
      reaches(4096, "sectors", sectors)
      bed.write(other, "another file" .. ("\0"):rep(3 * 512 * 1024 - 12))
      assert.is_true(vm:update_drive("data", { path_on_host = other }))
      bed.eventually(function () return sectors() == 3072 end, "the other file's size", PATIENCE)
      assert.equal("another file", run(vm, "echo 3 >/proc/sys/vm/drop_caches; head -c 12 /dev/vda"))
    end)

    it("comes no faster than its limits, until they are lifted", function ()
      linux.need()
      local path = bed.write(bed.scratch "drive", ("x"):rep(1 << 20))
      finally(function () os.remove(path) end)
      local vm <close> = boot {
        drives = fc.drives.add({}, path, { drive_id = "data", is_read_only = true,
          rate_limiter = fc.rate_limiter { ops = tokens(40) } }),
      }
      local function reads ()
        return number(vm, "read n rest </sys/block/vda/stat; echo $n")
      end
      local function read (count)
        run(vm, "echo 0 >/sys/block/vda/queue/read_ahead_kb; echo 3 >/proc/sys/vm/drop_caches; " ..
          ("dd if=/dev/vda of=/dev/null bs=4096 count=%d >/dev/null 2>&1 & "):format(count))
      end
      local first = reads()
      assert.is_true(first < 40)   -- the guest looks for partitions
      read(100)
      reaches(40, "reads", reads)
      run(vm, "sleep 1")
      assert.equal(40, reads())
      assert.is_true(vm:update_drive("data", { rate_limiter = { ops = LIFTED } }))
      reaches(first + 100, "reads", reads)
      -- and by bytes
      assert.is_true(vm:update_drive("data", { rate_limiter = { bandwidth = tokens(64 << 10) } }))
      local before = reads()
      read(100)
      reaches(before + 16, "reads", reads)
      run(vm, "sleep 1")
      assert.equal(before + 16, reads())
      assert.is_true(vm:update_drive("data", { rate_limiter = { bandwidth = LIFTED } }))
      reaches(before + 100, "reads", reads)
    end)
  end)

  describe("#root of its network", function ()
    local HOST <const>, GUEST <const> = "172.16.99.1", "172.16.99.2"

    local function tap ()
      linux.need()
      local name = leaks.links .. "t"
      local out, status = sh(("ip tuntap add mode tap %s && ip address add %s/30 dev %s && ip link set %s up")
        :format(name, HOST, name, name))
      assert.equal(0, status, out)
      finally(function () sh("ip link delete " .. name) end)
      return name
    end

    local function up (vm)
      run(vm, ("ip link set lo up; ip address add %s/30 dev eth0; ip link set eth0 up; ip route add 169.254.169.254 dev eth0")
        :format(GUEST))
    end

    local TOKEN <const> = 'for i in 1 2 4 8 16 32; do ' ..
      'token=$( (printf "PUT /latest/api/token HTTP/1.1\\r\\nX-metadata-token-ttl-seconds: 600\\r\\n\\r\\n"; sleep $i) | ' ..
      'nc 169.254.169.254 80 | tail -n 1); [ -z "$token" ] || break; done; '

    local GET <const> = "wget -q -O - --header 'Accept: application/json' %s http://169.254.169.254/%s"

    it("are its metadata, of the first version", function ()
      local vm <close> = boot {
        network_interfaces = { { iface_id = "eth0", host_dev_name = tap() } },
        mmds_config = { network_interfaces = { "eth0" }, version = "V1" }, mmds = { name = "one", list = { 1, 2 } },
      }
      up(vm)
      assert.equal('"one"', run(vm, GET:format("", "name")))
      assert(vm:update_metadata { name = fc.null, other = { x = "y" } })
      assert.equal('{"x":"y"}', run(vm, GET:format("", "other")))
      assert.equal(1, select(2, linux.run(vm, GET:format("", "name"))))
    end)

    it("are its metadata, of the second, for whoever has a token", function ()
      local vm <close> = boot {
        network_interfaces = { { iface_id = "eth0", host_dev_name = tap() } },
        mmds_config = { network_interfaces = { "eth0" }, version = "V2" }, mmds = { name = "one" },
      }
      up(vm)
      assert.matches("401", (linux.run(vm, GET:format("", "name") .. " 2>&1")))
      local with_token = TOKEN .. GET:format('--header "X-metadata-token: $token"', "%s")
      assert.equal('"one"', run(vm, with_token:format "name"))
      assert(vm:set_metadata { name = "two" })
      assert.equal('"two"', run(vm, with_token:format "name"))
      assert.matches("401", (linux.run(vm, GET:format("--header 'X-metadata-token: wrong'", "name") .. " 2>&1")))
    end)

    it("comes no faster than its limits, each direction its own, before and after they change", function ()
      -- The Go SDK sends the RX limiter as TX. What goes in here comes out again: in is the guest's count, out the host's.
      local name = tap()
      local vm <close> = boot {
        network_interfaces = { { iface_id = "eth0", host_dev_name = name, guest_mac = "06:00:ac:10:63:02",
          rx_rate_limiter = { bandwidth = tokens(60000) }, tx_rate_limiter = { bandwidth = tokens(30000) } } },
      }
      up(vm)
      assert.equal(0, select(2, sh(("ip neighbour replace %s lladdr 06:00:ac:10:63:02 dev %s"):format(GUEST, name))))
      local function received ()
        return number(vm, "cat /sys/class/net/eth0/statistics/rx_bytes")
      end
      local function sent ()
        return tonumber(bed.read(("/sys/class/net/%s/statistics/rx_bytes"):format(name)):match "%d+")
      end
      local function ping (count)
        local out, status = sh(([[/usr/bin/python3 -SEc '
import socket, struct, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.bind(("%s", 0))
for i in range(%d):
    s.sendto(struct.pack("!BBHHH", 8, 0, 0xf7ff - i, 0, i) + bytes(992), ("%s", 0))
    time.sleep(0.001)']]):format(HOST, count, GUEST))
        assert.equal(0, status, out)
      end
      local SIZE <const> = 1034   -- with its headers
      local function between (low, high, value)
        assert.is_true(low <= value and value <= high, ("%d is not between %d and %d"):format(value, low, high))
      end
      ping(100)
      reaches(60000 - 2 * SIZE, "bytes in", received)
      reaches(30000 - 2 * SIZE, "bytes out", sent)
      run(vm, "sleep 1")
      between(60000 - 2 * SIZE, 60000, received())
      between(30000 - 2 * SIZE, 30000, sent())
      -- the other way round; the guest keeps some fifty answers that cannot go out, and drops more
      assert.is_true(vm:update_network_interface("eth0", { tx_rate_limiter = { bandwidth = LIFTED } }))
      reaches(56 * SIZE, "bytes out", sent)
      between(60000 - 2 * SIZE, 60000, received())
      local out = sent()
      assert.is_true(vm:update_network_interface("eth0", { rx_rate_limiter = { bandwidth = tokens(40000) },
                                                           tx_rate_limiter = { bandwidth = tokens(10000) } }))
      ping(60)
      reaches(100000 - 4 * SIZE, "bytes in", received)
      reaches(out + 10000 - 2 * SIZE, "bytes out", sent)
      run(vm, "sleep 1")
      between(100000 - 4 * SIZE, 100000, received())
      between(out + 10000 - 2 * SIZE, out + 10000 + SIZE, sent())
      assert.is_true(vm:update_network_interface("eth0", { rx_rate_limiter = { bandwidth = LIFTED },
                                                           tx_rate_limiter = { bandwidth = LIFTED } }))
      reaches(158 * SIZE, "bytes in", received)
      reaches(out + 40000, "bytes out", sent)
    end)
  end)

  it("of its processor is what a template leaves, one of a file too", function ()
    linux.need()
    local template = bed.write(bed.scratch "cpu", [[{ "cpuid_modifiers": [ { "leaf": "0x1", "subleaf": "0x0", "flags": 0,
      "modifiers": [ { "register": "ecx", "bitmap": "0bx0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" } ] } ] }]])
    finally(function () os.remove(template) end)
    local plain <close> = linux.restore()
    assert.equal(0, select(2, linux.run(plain, "grep -qw rdrand /proc/cpuinfo")))
    local vm <close> = boot { cpu_config = template }
    assert.equal(1, select(2, linux.run(vm, "grep -qw rdrand /proc/cpuinfo")))
  end)
end)
