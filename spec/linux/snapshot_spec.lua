-- Snapshots of real Linux guests: what a guest has in memory, its vsock and its network come back; in another process, twice at
-- once, from a diff merged onto its base, from a page fault handler.

local bed = require "spec.support.bed"
local core = require "firecracker.core"
local fc = require "firecracker"
local host = require "spec.support.host"
local leaks = require "spec.support.leaks"
local linux = require "spec.support.linux"
local sh = require "spec.support.sh"
local uffd = require "spec.support.uffd"

local files = core.files

describe("#linux a snapshot of a guest", function ()
  linux.check(before_each, after_each, teardown, pending)

  local dir
  before_each(function ()
    dir = bed.scratch "snapshots"
    assert(files.mkdir(dir))
  end)
  after_each(function ()
    sh("rm -rf " .. sh.quote(dir))
  end)

  local function run (vm, command)
    local output, status = linux.run(vm, command)
    assert.equal(0, status, tostring(output) .. ": " .. command)
    return (output:gsub("\n$", ""))
  end

  local COUNTER <const> = "(i=0; while :; do i=$((i+1)); echo $i >/tmp/next; mv /tmp/next /tmp/count; sleep 0.2; done) " ..
    "</dev/null >/dev/null 2>&1 & dd if=/dev/urandom of=/tmp/noise bs=1M count=8 2>/dev/null; md5sum /tmp/noise"

  local function count (vm)
    return assert(tonumber(run(vm, "cat /tmp/count")))
  end

  -- It counts on, and its memory is as it was.
  local function goes_on (vm, from, noise)
    local first = count(vm)
    assert.is_true(first >= from, ("%d, after %d"):format(first, from))
    bed.eventually(function () return count(vm) > first end, "the guest's count", 120)
    assert.equal(noise, run(vm, "md5sum /tmp/noise"))
  end

  local function taps (n)
    local names = {}
    for i = 1, n do
      names[i] = leaks.links .. i
      local address = ("172.16.%d.1"):format(90 + i)
      local out, status = sh(("ip tuntap add mode tap %s && ip address add %s/24 dev %s && ip link set %s up")
        :format(names[i], address, names[i], names[i]))
      assert.equal(0, status, out)
    end
    finally(function ()
      for _, name in ipairs(names) do
        sh("ip link delete " .. name)
      end
    end)
    return names
  end

  local function pings (i)
    local out, status = sh(("busybox ping -c 3 -W 60 172.16.%d.2"):format(90 + i))
    assert.equal(0, status, out)
  end

  local function memory (name)
    return { mem_backend = { backend_type = "File", backend_path = dir .. "/" .. name } }
  end

  it("goes on where it stood: memory, vsock and network; another process, a merged diff, two at once #root", function ()
    linux.need()
    local names = taps(2)
    -- its dirty pages are not tracked: that keeps a guest under an emulated host from booting
    local vm = linux.boot { network_interfaces = { { iface_id = "eth0", host_dev_name = names[1] } } }
    local up = "ip address flush dev eth0; ip address add 172.16.%d.2/24 dev eth0; ip link set eth0 up"
    run(vm, up:format(91))
    pings(1)
    local noise = run(vm, COUNTER)
    bed.eventually(function () return linux.run(vm, "cat /tmp/count"):find "%d" end, "the counter", 120)
    local based = count(vm)
    assert(vm:snapshot { snapshot_path = dir .. "/base", mem_file_path = dir .. "/base.memory", pause = true, hashes = true })
    goes_on(vm, based, noise)
    pings(1)
    sh(("cp %s/data %s/data"):format(vm.directory, dir))
    vm:close()

    -- another process
    local out = host("", ([[
      local linux = require "spec.support.linux"
      local vm <close> = linux.load(%q, %q, { verify = true })
      print((linux.run(vm, "cat /tmp/count")):match "%%d+")
      print((linux.run(vm, "md5sum /tmp/noise; cat /tmp/late 2>/dev/null; echo over")))
      vm:close()
      require "firecracker.core".files.remove_directory(require "spec.support.leaks".run_dir)]]):format(dir .. "/base", dir .. "/data"))
    local number, rest = out:match "^(%d+)\n(.*)$"
    assert.is_true(number and tonumber(number) >= based, out)
    assert.equal(noise .. "\nover\n\n", rest)

    -- what changed since
    local changed = linux.load(dir .. "/base", dir .. "/data", { track_dirty_pages = true })
    goes_on(changed, based, noise)
    run(changed, "echo late >/tmp/late; dd if=/dev/urandom of=/tmp/noise bs=1M count=4 seek=2 conv=notrunc 2>/dev/null")
    local noise_later, later = run(changed, "md5sum /tmp/noise"), count(changed)
    assert(changed:pause())
    assert(changed:snapshot { snapshot_path = dir .. "/diff", mem_file_path = dir .. "/diff.memory", snapshot_type = "Diff" })
    sh(("cp %s/data %s/data"):format(changed.directory, dir))
    changed:close()

    -- the base, and the diff merged onto it, at once: each its own tap, socket and drive
    assert(fc.snapshot.rebase(dir .. "/base.memory", dir .. "/diff.memory", { into = dir .. "/merged.memory" }))
    local first <close> = linux.load(dir .. "/base", dir .. "/data")
    local second <close> = linux.load(dir .. "/diff", dir .. "/data", memory "merged.memory",
      { network_interfaces = { { iface_id = "eth0", host_dev_name = names[2] } } })
    goes_on(first, based, noise)
    goes_on(second, later, noise_later)
    assert.equal("late", run(second, "cat /tmp/late"))
    assert.same({ "", 1 }, { linux.run(first, "cat /tmp/late 2>/dev/null") })
    run(second, up:format(92))
    pings(2)
    pings(1)
    assert.equal("over\n", linux.echo(first, "over"))
  end)

  it("comes from a page fault handler", function ()
    linux.need()
    if not files.look "/dev/userfaultfd" then
      pending "no /dev/userfaultfd here"
    end
    local vm <close> = linux.restore()
    local noise = run(vm, COUNTER)
    assert(vm:pause())
    assert(vm:snapshot { snapshot_path = dir .. "/one", mem_file_path = dir .. "/one.memory" })
    sh(("cp %s/data %s/data"):format(vm.directory, dir))
    vm:close()
    local handler <close> = uffd(dir, dir .. "/one.memory")
    local again = linux.load(dir .. "/one", dir .. "/data", { mem_backend = { backend_type = "Uffd", backend_path = handler.path } })
    goes_on(again, 1, noise)
    again:close()
    assert.is_number(handler:copied())
  end)
end)
